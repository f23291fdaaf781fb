//! How sessions end before their time, and how those are told who are not let in.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
};

use crate::{
    raw::{Key, Raw, message},
    world::{World, until, within},
};

/// A session that runs, whose command has begun.
async fn session(world: &World, command: &str) -> Child {
    let mut ssh = world.tool("ssh");
    ssh.args(["work", &format!("echo begun; {command}")]);
    let ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut ssh = ssh.spawn().unwrap();
    let mut said = BufReader::new(ssh.stdout.take().unwrap());
    let mut line = String::new();
    within("the beginning", said.read_line(&mut line)).await.unwrap();
    assert_eq!(line, "begun\n");
    // Goes on being read, as far as anything comes.
    tokio::spawn(async move { tokio::io::copy(&mut said, &mut tokio::io::sink()).await });
    ssh
}

/// What the client says at its end, which is not a good one.
async fn ended(ssh: Child) -> String {
    let said = within("the end of the session", ssh.wait_with_output()).await.unwrap();
    assert_eq!(said.status.code(), Some(255));
    String::from_utf8(said.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s10_a_session_ends_with_the_right_to_it() {
    let world = World::new().await;
    let idle = session(&world, "sleep 1000").await;
    let talking = session(&world, "cat /dev/zero").await;
    let unread = session(&world, "sleep 1000; cat").await;
    let mut uploading = session(&world, "cat >/dev/null").await;
    let mut input = uploading.stdin.take().unwrap();
    tokio::spawn(async move { tokio::io::copy(&mut tokio::io::repeat(7), &mut input).await });
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut never_reads = Raw::inside(world.address, &key).await;
    world.people.revoke();
    for ssh in [idle, talking, unread, uploading] {
        let text = ended(ssh).await;
        assert!(text.contains("the right to this session has ended"), "{text}");
    }
    let last = never_reads.rest().await.pop().unwrap();
    assert_eq!(last[0], 1);
    until("the workspace's end of them", async || world.guest.sessions() == 0).await;
    // Whoever comes now has a right of their own.
    assert_eq!(world.says("echo in").await, "in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_ends_ends_its_sessions() {
    let world = World::new().await;
    let sessions = [session(&world, "sleep 1000").await, session(&world, "cat /dev/zero").await];
    world.guest.kill();
    for ssh in sessions {
        let text = ended(ssh).await;
        assert!(text.contains("the session has ended"), "{text}");
    }
    assert_eq!(world.says("echo in").await, "in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_ends_its_session() {
    let world = World::new().await;
    let mut ssh = session(&world, "sleep 1000").await;
    ssh.kill().await.unwrap();
    let mut ssh = session(&world, "cat /dev/zero").await;
    ssh.kill().await.unwrap();
    until("the workspace's end of it", async || world.guest.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_says_so_and_waits_for_nobody() {
    let mut world = World::new().await;
    let ssh = session(&world, "sleep 1000").await;
    let talking = session(&world, "cat /dev/zero").await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let _never_reads = Raw::inside(world.address, &key).await;
    let _stranger = Raw::with_keys(world.address).await;
    world.shutdown.cancel();
    for ssh in [ssh, talking] {
        let text = ended(ssh).await;
        assert!(text.contains("the gateway ends"), "{text}");
    }
    within("the end of the gateway", world.serving.take().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_workspace_with_another_host_key_is_not_entered() {
    let world = World::new().await;
    let said = world.run(&["changed@gateway", "true"]).await;
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(255));
    assert!(text.contains("cannot be entered now"), "{text}");
    until("the workspace's end of it", async || world.guest.sessions() == 0).await;
    assert!(!world.guest.log().contains("Accepted"), "nothing was shown to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_the_workspaces_host_keys_are_not_told_as_the_gateways() {
    let world = World::new().await;
    let log = world.run(&["-v", "-o", "UpdateHostKeys=yes", "work", "true"]).await;
    let text = String::from_utf8_lossy(&log.stderr);
    assert!(log.status.success() && !text.contains("rtype hostkeys"), "{text}");
    let known = std::fs::read_to_string(world.path("known_hosts")).unwrap();
    assert_eq!(known.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_let_in_now_is_told_why() {
    let world = World::new().await;
    for (user, expected) in [
        ("distrusted", "cannot be entered now"),
        ("stopped", "start it: rig start stopped"),
        ("away", "try again in a moment"),
    ] {
        let said = world.run(&[&format!("{user}@gateway"), "true"]).await;
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(255));
        assert!(text.contains(expected), "{user}: {text}");
    }
    *world.people.elsewhere.lock().unwrap() = Some(closing().await);
    let said = world.run(&["work", "true"]).await;
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("cannot be entered now"), "{text}");
}

/// Something that closes each connection, as a workspace does that is starting.
async fn closing() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn s15_what_is_typed_is_not_kept_waiting() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut raw = Raw::inside(world.address, &key).await;
    let typing = async {
        let mut took = Vec::new();
        for _ in 0..300 {
            let began = Instant::now();
            raw.send(&message(80).string("keepalive@openssh.com").byte(1)).await.unwrap();
            assert!([81, 82].contains(&after_host_keys(&mut raw).await[0]));
            took.push(began.elapsed());
        }
        took
    };
    let mut took = within("the last key", typing).await;
    took.sort();
    // With Nagle's algorithm and delayed answers each would take forty milliseconds; on a busy machine some
    // take as long, too, but hardly nine in ten.
    let tenth = took[took.len() / 10];
    assert!(tenth < Duration::from_millis(30), "{tenth:?}");
}

async fn after_host_keys(raw: &mut Raw) -> Vec<u8> {
    loop {
        let said = raw.next().await.unwrap();
        if said[0] != 80 {
            return said;
        }
    }
}
