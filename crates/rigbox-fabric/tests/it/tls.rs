use std::{os::unix::fs::PermissionsExt, sync::Arc};

use axum::{Extension, Json, Router, routing::get};
use camino::Utf8Path;
use rigbox_fabric::{
    Accepts, Address, Client, ClientAuth, FabricError, Listener, Peer, ServerAuth,
    identity::{Identity, IdentityError, PeerName, PlatformCa},
    serve,
};
use rigbox_types::{HostId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::kit::dir;

const TWO_YEARS_MICROS: i64 = 2 * 365 * 24 * 3_600 * 1_000_000;

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

pub(crate) fn host(n: u8) -> PeerName {
    PeerName::Host(HostId::from_random([n; 8]))
}

pub(crate) fn identity(ca: &PlatformCa, name: &PeerName, at: Timestamp) -> Arc<Identity> {
    let (_dir, path) = dir();
    ca.issue(name, at).unwrap().save(&path).unwrap();
    Arc::new(Identity::load(&path).unwrap())
}

pub(crate) fn ca() -> PlatformCa {
    let (_dir, path) = dir();
    PlatformCa::open_or_create(&path, now()).unwrap()
}

/// Serves a router to hosts, as `name`.
async fn served(identity: Arc<Identity>, accepts: Accepts, router: Router) -> Address {
    let auth = ServerAuth::Tls { identity, accepts };
    let address = "https://127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(address, &auth).await.unwrap();
    let address = listener.address().clone();
    tokio::spawn(serve(listener, router, CancellationToken::new()));
    address
}

pub(crate) async fn client_of_a_host(router: Router) -> Client {
    let ca = ca();
    let server = identity(&ca, &host(1), now());
    let address = served(server, Accepts::Control, router).await;
    let identity = identity(&ca, &PeerName::Control, now());
    Client::new(address, &ClientAuth::Tls { identity, expect: host(1) }).unwrap()
}

/// Asks control, as `client`, who it takes us for.
async fn ask(
    ca: &PlatformCa,
    client: Arc<Identity>,
    (server, expect): (&PeerName, &PeerName),
) -> Result<String, FabricError> {
    let who = |Extension(peer): Extension<Peer>| async move { Json(format!("{peer:?}")) };
    let router = Router::new().route("/", get(who));
    let address = served(identity(ca, server, now()), Accepts::Hosts, router).await;
    let auth = ClientAuth::Tls { identity: client, expect: expect.clone() };
    Client::new(address, &auth).unwrap().get("/").await
}

#[tokio::test]
async fn a_host_and_control_know_each_other() {
    let ca = ca();
    let client = identity(&ca, &host(7), now());
    let control = &PeerName::Control;
    let answer = ask(&ca, client, (control, control)).await.unwrap();
    let expected = Peer::Host(HostId::from_random([7; 8]));
    assert_eq!(answer, format!("{expected:?}"));
}

#[tokio::test]
async fn only_the_expected_part_is_asked() {
    let ca = ca();
    let client = identity(&ca, &host(7), now());
    let error = ask(&ca, client, (&host(8), &PeerName::Control)).await.unwrap_err();
    assert!(matches!(error, FabricError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stranger_a_lapsed_certificate_and_the_wrong_part_are_not_answered() {
    let (ours, other) = (ca(), ca());
    let long_ago = Timestamp::from_micros(now().as_micros() - TWO_YEARS_MICROS);
    let control = &PeerName::Control;
    for client in [
        identity(&other, &host(7), now()),
        identity(&ours, &host(7), long_ago),
        identity(&ours, control, now()),
    ] {
        let error = ask(&ours, client, (control, control)).await.unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
    }
    // The other way round: a client of another platform does not talk to our control.
    let error = ask(&ours, identity(&other, &host(7), now()), (control, control)).await;
    assert!(error.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn the_ca_is_the_same_after_a_restart_even_one_in_its_making() {
    let (_dir, path) = dir();
    let first = PlatformCa::open_or_create(&path, now()).unwrap();
    let client = identity(&first, &host(7), now());
    let again = PlatformCa::open_or_create(&path, now()).unwrap();
    let control = &PeerName::Control;
    ask(&again, client.clone(), (control, control)).await.unwrap();
    // Killed after the key and before the certificate: the key is the CA.
    std::fs::remove_file(path.join("ca.crt")).unwrap();
    let again = PlatformCa::open_or_create(&path, now()).unwrap();
    ask(&again, client, (control, control)).await.unwrap();
}

#[test]
fn files_are_private_and_a_key_that_is_not_is_refused() {
    let (_dir, path) = dir();
    let ca = PlatformCa::open_or_create(&path, now()).unwrap();
    ca.issue(&PeerName::Control, now()).unwrap().save(&path).unwrap();
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
    expose(&path.join("identity.key"));
    assert!(matches!(Identity::load(&path), Err(IdentityError::Exposed { mode: 0o640, .. })));
    expose(&path.join("ca.key"));
    let reopened = PlatformCa::open_or_create(&path, now());
    assert!(matches!(reopened, Err(IdentityError::Exposed { .. })));
}

#[test]
fn only_our_own_names_are_names() {
    for name in [PeerName::Control, host(3)] {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    for text in ["", "rigbox://", "rigbox://host/", "rigbox://host/x", "https://control"] {
        assert!(text.parse::<PeerName>().is_err(), "{text}");
    }
}

fn expose(path: &Utf8Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
}
