use std::{net::SocketAddr, path::Path, process::Stdio};

use rigbox_ssh::Forward;
use rigbox_test_ports::free_address;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    process::{Child, Command},
    task::JoinSet,
};

use crate::world::{World, good, output, until, within};

/// A server that sends back what it gets, after its name.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, name));
        }
    });
    address
}

async fn answer<S>(stream: S, name: &'static str)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite,
{
    let (mut input, mut output) = tokio::io::split(stream);
    output.write_all(name.as_bytes()).await.unwrap();
    // The other side may have left.
    drop(tokio::io::copy(&mut input, &mut output).await);
    drop(output.shutdown().await);
}

/// That the server at the other end is that one, and sends back what it gets until it is told the end.
async fn talks<S>(stream: S, name: &str, bytes: usize)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let (mut input, mut output) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..bytes).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let expected = [name.as_bytes(), &sent].concat();
    let writing = tokio::spawn(async move {
        output.write_all(&sent).await.unwrap();
        output.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    within("what was sent", input.read_to_end(&mut got)).await.unwrap();
    writing.await.unwrap();
    assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
}

/// A client that only forwards, and is ended with the value.
fn forwarding(world: &World, arguments: &[&str]) -> Child {
    let mut ssh = world.tool("ssh");
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes"]);
    ssh.args(["-N", "-T"]).args(arguments).arg("work");
    ssh.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn unix(path: &Path) -> UnixStream {
    until("the socket", async || UnixStream::connect(path).await.is_ok()).await;
    UnixStream::connect(path).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s10_ports_are_forwarded_by_the_workspace() {
    let world = World::new().await;
    let there = echo("there").await;
    let here = free_address().unwrap();
    let _ssh = forwarding(&world, &["-L", &format!("{here}:localhost:{}", there.port())]);
    until("the port", async || TcpStream::connect(here).await.is_ok()).await;
    let mut talking = JoinSet::new();
    for _ in 0..20 {
        let stream = TcpStream::connect(here).await.unwrap();
        talking.spawn(talks(stream, "there", 300_000));
    }
    talking.join_all().await;
    let expected = Forward::Tcp { host: "localhost".to_owned(), port: there.port().into() };
    assert!(world.people.noted.lock().unwrap().contains(&expected));
    // Whoever connects is a process of the workspace: the gateway opens no connection of its own.
    assert!(world.guest.log().contains("server_request_direct_tcpip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_and_output_are_forwarded() {
    let world = World::new().await;
    let there = echo("there").await;
    let mut ssh = world.tool("ssh");
    ssh.args(["-W", &there.to_string(), "work"]);
    let mut ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let both = tokio::io::join(ssh.stdout.take().unwrap(), ssh.stdin.take().unwrap());
    let (mut input, mut output) = tokio::io::split(both);
    output.write_all(b" and back").await.unwrap();
    let mut got = [0; 14];
    within("the answer", input.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"there and back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_workspace_comes_to_the_client() {
    let world = World::new().await;
    let here = echo("here").await;
    let mut ssh = forwarding(&world, &["-R", &format!("0:{here}")]);
    let mut lines = BufReader::new(ssh.stderr.take().unwrap()).lines();
    let port: u16 = loop {
        let line = within("the port", lines.next_line()).await.unwrap().unwrap();
        if let Some(rest) = line.strip_prefix("Allocated port ") {
            break rest.split(' ').next().unwrap().parse().unwrap();
        }
    };
    for bytes in [0, 1, 1_000_000] {
        talks(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), "here", bytes).await;
    }
    assert_eq!(*world.people.noted.lock().unwrap(), [Forward::Listen("localhost:0".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_an_editor_has_many_channels_and_a_second_connection() {
    let world = World::new().await;
    let there = echo("there").await;
    let (one, two) = (free_address().unwrap(), free_address().unwrap());
    let _first = forwarding(&world, &["-D", &one.to_string()]);
    let _second = forwarding(&world, &["-D", &two.to_string()]);
    let mut talking = JoinSet::new();
    for proxy in [one, two] {
        until("the proxy", async || TcpStream::connect(proxy).await.is_ok()).await;
        for bytes in 0..40 {
            talking.spawn(async move {
                talks(through(proxy, there).await, "there", bytes * 1_000).await;
            });
        }
    }
    talking.join_all().await;
}

/// A connection through a SOCKS 5 proxy (RFC 1928).
async fn through(proxy: SocketAddr, to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(&[5, 1, 0]).await.unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    let port = to.port().to_be_bytes();
    stream.write_all(&[&[5, 1, 0, 1, 127, 0, 0, 1][..], &port].concat()).await.unwrap();
    let mut answer = [0; 10];
    within("the proxy's answer", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[1], 0);
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_forwarded_both_ways() {
    let world = World::new().await;
    let server = UnixListener::bind(world.path("server")).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = server.accept().await.unwrap();
            tokio::spawn(answer(stream, "socket"));
        }
    });
    let (here, there) = (world.path("here"), world.path("there"));
    let server = world.path("server").display().to_string();
    let local = format!("{}:{server}", here.display());
    let remote = format!("{}:{server}", there.display());
    let _ssh = forwarding(&world, &["-L", &local, "-R", &remote]);
    for path in [here, there.clone()] {
        talks(unix(&path).await, "socket", 500_000).await;
    }
    let noted = world.people.noted.lock().unwrap();
    assert!(noted.contains(&Forward::Socket(server)));
    assert!(noted.contains(&Forward::Listen(there.display().to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_there_is_refused_by_the_workspace() {
    let world = World::new().await;
    let nowhere = free_address().unwrap();
    let said = world.run(&["-W", &nowhere.to_string(), "work"]).await;
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && text.contains("open failed: connect failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_agent_is_there_in_the_workspace() {
    let world = World::new().await;
    let socket = world.path("agent");
    let mut agent = Command::new("ssh-agent");
    let agent = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
    let _agent = agent.kill_on_drop(true).spawn().unwrap();
    until("the agent", async || UnixStream::connect(&socket).await.is_ok()).await;
    let mut add = Command::new("ssh-add");
    add.arg("-q").arg(world.path("key")).env("SSH_AUTH_SOCK", &socket);
    good(output(&mut add).await);
    let option = format!("IdentityAgent={}", socket.display());
    let arguments = ["-A", "-o", &option, "work", "ssh-add -L; ssh -o BatchMode=yes -V"];
    let said = good(world.run(&arguments).await);
    let public = std::fs::read_to_string(world.path("key.pub")).unwrap();
    let public = public.split_whitespace().nth(1).unwrap();
    assert!(said.contains(public), "{said}");
    let without = world.run(&["-a", "work", "ssh-add -L"]).await;
    assert!(!without.status.success());
}
