use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use rigbox_fabric::{
    Peer,
    dial::{
        DialClient, DialError, DialListener, DialRefusal, DialRefused, DialRequest, DialStream,
        Dialer, Port, Purpose, router,
    },
};
use rigbox_types::{
    AccountId, ApiKeyId, Authorised, Credential, KeyScopes, Principal, Right, WorkspaceId,
    authz::{Resource, Standing, authorise},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;

use crate::{
    kit::{dir, serve_local},
    tls::client_of_a_host,
};

/// Stands for a guest: port 80 is an echo, everything else is closed.
struct Guest {
    workspace: WorkspaceId,
    echo: SocketAddr,
}

#[async_trait]
impl Dialer for Guest {
    async fn dial(&self, _: &Peer, request: &DialRequest) -> Result<TcpStream, DialRefused> {
        let refused = |code| DialRefused { code, message: "not that one".to_owned() };
        if request.workspace != self.workspace {
            return Err(refused(DialRefusal::UnknownWorkspace));
        }
        if request.port.number() != 80 || request.purpose != Purpose::App {
            return Err(refused(DialRefusal::PortClosed));
        }
        TcpStream::connect(self.echo).await.map_err(|_| refused(DialRefusal::Internal))
    }
}

async fn guest() -> Arc<Guest> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echo = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
    Arc::new(Guest { workspace: workspace(1), echo })
}

fn workspace(n: u8) -> WorkspaceId {
    WorkspaceId::from_random([n; 8])
}

fn may(n: u8, right: Right) -> Authorised<WorkspaceId> {
    let account = AccountId::from_random([1; 16]);
    let credential = Credential::Key(ApiKeyId::from_random([1; 16]));
    let scopes = KeyScopes::full();
    let who = Principal::Key { credential, account, standing: Standing::User, scopes };
    let resource = Resource::Workspace { id: workspace(n), owner: account, granted: None };
    authorise(&who, right, &resource, workspace(n)).unwrap()
}

fn enter(n: u8) -> Authorised<WorkspaceId> {
    may(n, Right::WorkspaceEnter)
}

fn port(number: u16) -> Port {
    Port::try_from(number).unwrap()
}

async fn echoes(mut stream: DialStream) {
    let sent = vec![7; 300_000];
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut back = Vec::new();
    let write = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(write, read.read_to_end(&mut back));
    read.unwrap();
    assert_eq!(back, sent);
}

async fn check(client: &DialClient) {
    echoes(client.dial(enter(1), port(80), Purpose::App).await.unwrap()).await;
    for (dialed, code) in [
        (client.dial(enter(2), port(80), Purpose::App).await, DialRefusal::UnknownWorkspace),
        (client.dial(enter(1), port(81), Purpose::App).await, DialRefusal::PortClosed),
        (client.dial(enter(1), port(80), Purpose::Ssh).await, DialRefusal::PortClosed),
    ] {
        let Err(DialError::Refused(refused)) = dialed else { panic!("not refused") };
        assert_eq!(refused, DialRefused { code, message: "not that one".to_owned() });
    }
    let looked = may(1, Right::WorkspaceRead);
    let dialed = client.dial(looked, port(80), Purpose::App).await;
    assert!(matches!(dialed, Err(DialError::WrongRight)));
}

#[tokio::test]
async fn on_one_machine_the_socket_itself_is_passed() {
    let (_dir, path) = dir();
    let path = path.join("dial.sock");
    let shutdown = CancellationToken::new();
    let listener = DialListener::bind(&path, None).await.unwrap();
    let ended = tokio::spawn(listener.serve(guest().await, shutdown.clone()));
    let client = DialClient::Local(path.clone());
    check(&client).await;
    // What was passed on does not need the host any more.
    let stream = client.dial(enter(1), port(80), Purpose::App).await.unwrap();
    shutdown.cancel();
    ended.await.unwrap();
    assert!(!path.exists());
    echoes(stream).await;
    let dialed = client.dial(enter(1), port(80), Purpose::App).await;
    assert!(matches!(dialed, Err(DialError::Host(_))));
}

#[tokio::test]
async fn between_machines_the_bytes_go_through_the_fabric() {
    let client = client_of_a_host(router(guest().await)).await;
    check(&DialClient::Remote(Box::new(client))).await;
}

#[tokio::test]
async fn a_host_without_the_workspace_in_its_routes_refuses() {
    let served = serve_local(axum::Router::new()).await;
    let client = DialClient::Remote(Box::new(served.client.clone()));
    let dialed = client.dial(enter(1), port(80), Purpose::App).await;
    let Err(DialError::Fabric(error)) = dialed else { panic!("not refused") };
    assert_eq!(error.refusal().unwrap().status, 404);
}

#[tokio::test]
async fn many_dials_at_once_get_a_socket_each() {
    let (_dir, path) = dir();
    let path = path.join("dial.sock");
    let listener = DialListener::bind(&path, None).await.unwrap();
    tokio::spawn(listener.serve(guest().await, CancellationToken::new()));
    let dials = (0..100).map(|_| {
        let client = DialClient::Local(path.clone());
        tokio::spawn(async move {
            echoes(client.dial(enter(1), port(80), Purpose::App).await.unwrap()).await;
        })
    });
    for dial in futures_util::future::join_all(dials).await {
        dial.unwrap();
    }
}

#[tokio::test]
async fn nonsense_is_not_answered_and_harms_nobody() {
    let (_dir, path) = dir();
    let path = path.join("dial.sock");
    let listener = DialListener::bind(&path, None).await.unwrap();
    tokio::spawn(listener.serve(guest().await, CancellationToken::new()));
    let long = vec![b'x'; 100_000];
    for said in [b"".as_slice(), b"\n", b"{}\n", b"{\"workspace\":\"ws-1\"}\n", &long] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // The host may close before it has read everything.
        drop(stream.write_all(said).await);
        drop(stream.shutdown().await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        assert!(answer.is_empty());
    }
    check(&DialClient::Local(path)).await;
}
