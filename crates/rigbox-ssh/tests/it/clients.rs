//! Clients other than OpenSSH's, each of a version of its own.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
    process::Command,
};

use crate::world::{World, good, output};

/// Where `scripts/setup --dev` puts what tests need.
fn tools() -> PathBuf {
    let cache = || {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        home.unwrap().join("rigbox/tools")
    };
    std::env::var_os("RIGBOX_TOOLS").map_or_else(cache, PathBuf::from).join("ssh-clients")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Servers that send back what they get: a port, and a socket in the world's folder.
async fn echo(world: &World) -> String {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = port.accept().await {
            tokio::spawn(async move {
                let (mut input, mut output) = stream.split();
                drop(tokio::io::copy(&mut input, &mut output).await);
            });
        }
    });
    let socket = UnixListener::bind(world.path("echo")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let (mut input, mut output) = stream.split();
                drop(tokio::io::copy(&mut input, &mut output).await);
            });
        }
    });
    address.port().to_string()
}

async fn python(name: &str) {
    let world = World::new().await;
    let echo = echo(&world).await;
    let mut python = Command::new(tools().join("venv/bin/python"));
    python.arg(script(name)).arg(world.address.port().to_string());
    python.arg(world.path("key")).arg(world.path("known_hosts")).arg(echo);
    let said = good(output(python.arg(world.folder.path())).await);
    assert_eq!(said, "ok\n", "scripts/setup --dev installs it");
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_paramiko() {
    python("with_paramiko.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_asyncssh() {
    python("with_asyncssh.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_ssh2_of_npm() {
    let world = World::new().await;
    let echo = echo(&world).await;
    let mut node = Command::new(tools().join("node"));
    node.arg(script("with_ssh2.mjs")).arg(tools()).arg(world.address.port().to_string());
    node.arg(world.path("key")).arg(STANDARD.encode(&world.host_key)).arg(echo);
    let said = good(output(node.arg(world.folder.path())).await);
    assert_eq!(said, "ok\n", "scripts/setup --dev installs it");
}

/// dropbear's client, which has keys of its own form.
fn dbclient(world: &World) -> Command {
    let mut dbclient = Command::new("dbclient");
    dbclient.args(["-y", "-y", "-T", "-i"]).arg(world.path("dropbear-key"));
    dbclient.args(["-p", &world.address.port().to_string()]);
    dbclient.env("HOME", world.folder.path()).kill_on_drop(true);
    dbclient
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_dropbear() {
    let world = World::new().await;
    let mut convert = Command::new("dropbearconvert");
    convert.args(["openssh", "dropbear"]).arg(world.path("key")).arg(world.path("dropbear-key"));
    good(output(&mut convert).await);
    let said = output(dbclient(&world).args(["work@127.0.0.1", "echo out; exit 3"])).await;
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(3), &b"out\n"[..]));
    let mut cat = dbclient(&world);
    cat.args(["work@127.0.0.1", "cat"]);
    let mut cat = cat
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let (mut input, sent) = (cat.stdin.take().unwrap(), bytes.clone());
    let writing = tokio::spawn(async move { input.write_all(&sent).await });
    // Not to its end: this client does not always end when its last bytes are taken late, although it was
    // told that the channel is closed and has answered.
    let mut got = vec![0; bytes.len()];
    crate::world::within("all of it", cat.stdout.as_mut().unwrap().read_exact(&mut got))
        .await
        .unwrap();
    writing.await.unwrap().unwrap();
    assert!(got == bytes);
    // Through a forwarded port, and with somebody's key.
    let echo = echo(&world).await;
    let to = format!("localhost:{echo}");
    let mut through = dbclient(&world);
    through.args(["-B", &to, "work@127.0.0.1"]);
    let through = through.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut through = through.spawn().unwrap();
    through.stdin.as_mut().unwrap().write_all(b"there").await.unwrap();
    let mut got = [0; 5];
    let answer = through.stdout.as_mut().unwrap().read_exact(&mut got);
    crate::world::within("the answer", answer).await.unwrap();
    assert_eq!(&got, b"there");
    let said = output(dbclient(&world).args(["foreign@127.0.0.1", "true"])).await;
    assert!(!said.status.success());
}
