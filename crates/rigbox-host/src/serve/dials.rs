//! Opens connections into workspaces for parts that may. The host judges too: it has the last word
//! about what is reached, and a part that was taken over reaches no more than its own kind of port.

use std::{io, sync::Arc};

use async_trait::async_trait;
use rigbox_fabric::{
    Peer,
    dial::{DialRefusal, DialRefused, DialRequest, Dialer, Purpose},
};
use rigbox_types::Observed;
use tokio::net::TcpStream;

use crate::{Config, host::Host, metrics::count, net::dial};

/// The guest's own SSH server.
const SSH_PORT: u16 = 22;

/// The dialer of a host.
pub(crate) struct Dials {
    host: Arc<Host>,
}

impl Dials {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host }
    }
}

#[async_trait]
impl Dialer for Dials {
    async fn dial(&self, peer: &Peer, request: &DialRequest) -> Result<TcpStream, DialRefused> {
        judge(&self.host.config, peer, request)
            .map_err(|why| refused(DialRefusal::Forbidden, why))?;
        let Some(view) = self.host.table.view(&request.workspace) else {
            return Err(refused(
                DialRefusal::UnknownWorkspace,
                "this host does not have that workspace",
            ));
        };
        let (Observed::Running, Some(namespace)) = (view.observed, view.namespace) else {
            return Err(refused(DialRefusal::NotRunning, "the workspace does not run"));
        };
        count(&self.host.metrics.dials_total);
        let port = request.port.number();
        let connected = dial::connect(&namespace, port).await.and_then(|stream| {
            if request.purpose == Purpose::Ssh {
                dial::keep_alive(&stream)?;
            }
            Ok(stream)
        });
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                refused(DialRefusal::PortClosed, &format!("nothing listens at port {port}"))
            }
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => {
                refused(DialRefusal::TimedOut, "the workspace does not answer")
            }
            _ => {
                tracing::warn!(workspace = %request.workspace, %error, "dial failed");
                refused(DialRefusal::Internal, "the connection could not be opened")
            }
        })
    }
}

/// Says why this peer may not open this port for this purpose, whatever the workspace.
fn judge(config: &Config, peer: &Peer, request: &DialRequest) -> Result<(), &'static str> {
    let is = |part: Option<u32>| matches!(peer, Peer::Local { uid, .. } if Some(*uid) == part);
    let (purpose, is_ssh_port) = (request.purpose, request.port.number() == SSH_PORT);
    if let Peer::Host(_) = peer {
        return Err("a host may not dial into another's workspace");
    }
    if is(config.edge_uid) && purpose != Purpose::App {
        return Err("the edge reaches apps alone");
    }
    // Whoever visits an app is not let in to the guest's own server: that is the gateway's.
    if is(config.edge_uid) && is_ssh_port {
        return Err("port 22 is no app");
    }
    if is(config.ssh_uid) && purpose != Purpose::Ssh {
        return Err("the SSH gateway reaches SSH alone");
    }
    if purpose == Purpose::Ssh && !is_ssh_port {
        return Err("SSH sessions go to port 22");
    }
    Ok(())
}

fn refused(code: DialRefusal, message: &str) -> DialRefused {
    DialRefused { code, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use rigbox_types::{HostId, WorkspaceId};

    use super::*;

    const EDGE: u32 = 2;
    const SSH: u32 = 3;

    fn check(peer: &Peer, purpose: Purpose, port: u16) -> bool {
        let text = format!(
            "data = '/d'\nid = 'host-aaaaaaaa'\nregion = 'local'\ncontrol = 'unix:/d/c.sock'\n\
             listen = 'unix:/d/h.sock'\ncontrol_uid = 1\nedge_uid = {EDGE}\nssh_uid = {SSH}\n"
        );
        let config: Config = toml::from_str(&text).unwrap();
        let workspace = WorkspaceId::from_random([1; 8]);
        let request = DialRequest { workspace, port: port.try_into().unwrap(), purpose };
        judge(&config, peer, &request).is_ok()
    }

    #[test]
    fn each_part_reaches_its_own_kind_of_port_and_no_other() {
        let [root, control, edge, ssh] = [0, 1, EDGE, SSH].map(|uid| Peer::Local { uid, pid: 1 });
        let host = Peer::Host(HostId::from_random([1; 8]));
        for (purpose, port, may) in [
            (Purpose::App, 80, [true, true, true, false]),
            (Purpose::App, 22, [true, true, false, false]),
            (Purpose::Health, 80, [true, true, false, false]),
            (Purpose::Health, 22, [true, true, false, false]),
            (Purpose::Ssh, 22, [true, true, false, true]),
            (Purpose::Ssh, 80, [false, false, false, false]),
        ] {
            for (peer, may) in [&root, &control, &edge, &ssh].into_iter().zip(may) {
                assert_eq!(check(peer, purpose, port), may, "{peer:?} {purpose:?} {port}");
            }
            assert!(!check(&host, purpose, port));
        }
    }
}
