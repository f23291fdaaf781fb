use std::process::Stdio;

use ring::digest::{Context, Digest, SHA256};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use rigbox_ssh::Limits;

use crate::world::{PATIENCE, World};

const MIB: usize = 1 << 20;

/// How much goes each way. The ordinary run is short; a gibibyte is what has to work.
fn amount() -> usize {
    std::env::var("RIGBOX_TEST_SSH_BULK_MIB").map_or(16, |mib| mib.parse().unwrap())
}

/// Writes so many MiB, none of which is like another; their digest.
async fn fill(mut to: impl AsyncWrite + Unpin, mib: usize) -> Digest {
    let mut block: Vec<u8> =
        (0..MIB).map(|at| u8::try_from(at * at / 255 % 256).unwrap()).collect();
    let mut context = Context::new(&SHA256);
    for number in 0..mib {
        block[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        context.update(&block);
        to.write_all(&block).await.unwrap();
    }
    to.shutdown().await.unwrap();
    context.finish()
}

async fn empty(mut from: impl AsyncRead + Unpin) -> (usize, Digest) {
    let (mut buffer, mut context, mut all) = (vec![0; MIB], Context::new(&SHA256), 0);
    loop {
        let read = from.read(&mut buffer).await.unwrap();
        if read == 0 {
            return (all, context.finish());
        }
        all += read;
        context.update(&buffer[..read]);
    }
}

/// Sends to a session that sends it back, both ways at once; what the client notes meanwhile.
async fn there_and_back(world: &World, options: &[&str]) -> String {
    let mib = amount();
    let mut ssh = world.tool("ssh");
    let log = world.path("client.log");
    ssh.args(["-v", "-E"]).arg(&log).args(options).args(["work", "cat"]);
    let mut ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (input, output) = (ssh.stdin.take().unwrap(), ssh.stdout.take().unwrap());
    let sent = tokio::spawn(fill(input, mib));
    let patience = PATIENCE * u32::try_from(1 + mib / 64).unwrap();
    let (all, came) = timeout(patience, empty(output)).await.unwrap_or_else(|_| {
        let log = std::fs::read_to_string(&log).unwrap();
        panic!("it stands still: {}", &log[log.len().saturating_sub(2_000)..])
    });
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(all, mib * MIB, "{}", &log[log.len().saturating_sub(2_000)..]);
    assert_eq!(came.as_ref(), sent.await.unwrap().as_ref());
    assert!(ssh.wait().await.unwrap().success());
    log
}

fn renewals(log: &str) -> usize {
    log.matches("SSH2_MSG_KEXINIT received").count() - 1
}

const CIPHERS: [&str; 3] =
    ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"];

#[tokio::test(flavor = "multi_thread")]
async fn s05_keys_are_renewed_by_the_client_while_much_goes_both_ways() {
    let world = World::new().await;
    for cipher in CIPHERS {
        let log = there_and_back(&world, &["-c", cipher, "-o", "RekeyLimit=1M"]).await;
        let renewals = renewals(&log);
        assert!(renewals >= amount(), "{cipher}: {renewals}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_keys_are_renewed_by_us_while_much_goes_both_ways() {
    let limits = Limits { rekey_bytes: 1 << 20, ..Limits::default() };
    let world = World::with(limits).await;
    for cipher in CIPHERS {
        let log = there_and_back(&world, &["-c", cipher]).await;
        let (client, guest) = (renewals(&log), renewals(&world.guest.log()));
        // Each direction would have been enough for as many; one renewal is for both.
        assert!(client >= amount() / 2 && guest >= amount() / 2, "{cipher}: {client}, {guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_keys_are_renewed_by_all_at_once() {
    let limits = Limits { rekey_bytes: 1 << 20, ..Limits::default() };
    let world = World::with(limits).await;
    let log = there_and_back(&world, &["-o", "RekeyLimit=1M"]).await;
    assert!(renewals(&log) >= amount() / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_keys_are_renewed_after_a_time() {
    let limits = Limits { rekey_after: std::time::Duration::from_millis(20), ..Limits::default() };
    let world = World::with(limits).await;
    let log = there_and_back(&world, &[]).await;
    let (client, guest) = (renewals(&log), renewals(&world.guest.log()));
    assert!(client > 1 && guest > 1, "{client}, {guest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_one_way_at_a_time() {
    let world = World::new().await;
    let bytes = amount() * MIB;
    let mut ssh = world.tool("ssh");
    ssh.args(["work", "wc -c"]);
    let mut ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    fill(ssh.stdin.take().unwrap(), amount()).await;
    let said = ssh.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), bytes.to_string());
    let mut ssh = world.tool("ssh");
    ssh.args(["work", &format!("head -c {bytes} /dev/zero")]);
    let mut ssh = ssh.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(empty(ssh.stdout.take().unwrap()).await.0, bytes);
    assert!(ssh.wait().await.unwrap().success());
}
