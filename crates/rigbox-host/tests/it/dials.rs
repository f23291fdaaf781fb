//! Who is let in to which port of a workspace, asked through the agent's sockets.

use rigbox_fabric::dial::{DialClient, DialError, DialRefusal, DialStream, Purpose};
use rigbox_types::{
    AccountId, ApiKeyId, Credential, Desired, KeyScopes, Observed, Principal, Right,
    authz::{Resource, Standing, authorise},
};
use tokio::io::AsyncReadExt as _;

use crate::{
    wire::plug,
    world::{World, assignment},
};

/// Dials into the first workspace.
async fn dial(
    world: &World,
    socket: &str,
    (purpose, port): (Purpose, u16),
) -> Result<DialStream, DialError> {
    let (id, owner) = (assignment(1, Desired::Running).workspace, AccountId::from_random([1; 16]));
    let credential = Credential::Key(ApiKeyId::from_random([1; 16]));
    let (standing, scopes) = (Standing::User, KeyScopes::full());
    let who = Principal::Key { credential, account: owner, standing, scopes };
    let resource = Resource::Workspace { id: id.clone(), owner, granted: None };
    let to = authorise(&who, Right::WorkspaceEnter, &resource, id).unwrap();
    let client = DialClient::Local(world.data().join(socket));
    client.dial(to, port.try_into().unwrap(), purpose).await
}

fn code(dialed: Result<DialStream, DialError>) -> DialRefusal {
    match dialed {
        Err(DialError::Refused(refused)) => refused.code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ssh_gateway_reaches_port_22_by_a_socket_of_its_own_and_nothing_else() {
    // The test itself is the gateway.
    let uid = rustix::process::geteuid().as_raw();
    let mut world = World::new(&format!("ssh_uid = {uid}\n")).await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let (id, control) = (wanted.workspace.clone(), &world.control);
    control.wait_for(&id, control.assign(wanted), Observed::Running).await;
    let (tag, slot) = (world.tag(), world.slot(&id));
    let guest = plug(&format!("rb-{tag}-{slot}"), format!("rbt-{tag}-guest1"));
    let ssh = "run/dial-ssh.sock";
    assert_eq!(code(dial(&world, ssh, (Purpose::Ssh, 22)).await), DialRefusal::PortClosed);
    guest.serve(22);
    guest.serve(80);
    let mut stream = dial(&world, ssh, (Purpose::Ssh, 22)).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "172.16.0.1");
    // Whichever socket it comes by.
    for socket in [ssh, "run/dial.sock"] {
        for asked in
            [(Purpose::Ssh, 80), (Purpose::App, 80), (Purpose::App, 22), (Purpose::Health, 22)]
        {
            assert_eq!(
                code(dial(&world, socket, asked).await),
                DialRefusal::Forbidden,
                "{asked:?}"
            );
        }
    }
}
