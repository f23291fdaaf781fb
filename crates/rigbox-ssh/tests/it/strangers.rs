//! What those are allowed who have not been let in.

use std::time::Duration;

use rigbox_ssh::Limits;

use crate::{
    raw::{Key, Raw, ask, message},
    world::{World, until, within},
};

const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn s16_who_takes_too_long_to_be_let_in_is_not_waited_for() {
    // Within which keys are exchanged on a busy machine, too.
    let grace = Duration::from_secs(5);
    let world = World::with(Limits { login_grace: grace, ..Limits::default() }).await;
    let silent = Raw::connect(world.address).await;
    let mut greets = Raw::connect(world.address).await;
    greets.hello().await.unwrap();
    for mut raw in [silent, greets, Raw::with_keys(world.address).await] {
        raw.is_closed().await;
    }
    // Who keeps asking is not waited for either: a refusal takes a while, and all attempts together take
    // longer than this.
    let world = World::with(Limits { login_grace: SHORT, ..Limits::default() }).await;
    let key = Key::new();
    world.people.knows(key.public.clone(), false);
    let mut asks = Raw::at_the_door(world.address).await;
    let mut refused = 0;
    while asks.enter(&key, "work").await.is_ok_and(|answer| answer[0] == 51) {
        refused += 1;
    }
    asks.is_closed().await;
    assert!(refused < 5, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_a_workspace_that_does_not_answer_is_not_waited_for() {
    // Within which a login itself must come to its end.
    let grace = Duration::from_secs(10);
    let world = World::with(Limits { login_grace: grace, ..Limits::default() }).await;
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    *world.people.elsewhere.lock().unwrap() = Some(mute.local_addr().unwrap());
    let arguments = ["work", "true"];
    let (said, accepted) =
        tokio::join!(world.run(&arguments), within("a connection to it", mute.accept()));
    assert_eq!(said.status.code(), Some(255));
    let (_stream, _) = accepted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_one_stranger_too_many_is_told_so_and_others_go_on() {
    let limits = Limits { strangers_of_address: 3, ..Limits::default() };
    let world = World::with(limits).await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut inside = Raw::inside(world.address, &key).await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(Raw::at_the_door(world.address).await);
    }
    let mut one_more = Raw::connect(world.address).await;
    assert!(one_more.line().await.unwrap().starts_with(b"too many connections"));
    one_more.is_closed().await;
    // Who is in already is not disturbed.
    inside.send(&message(80).string("keepalive@openssh.com").byte(1)).await.unwrap();
    assert!([81, 82].contains(&inside.next().await.unwrap()[0]));
    assert_eq!(strangers[0].enter(&key, "work").await.unwrap(), [52]);
    strangers.pop();
    until("room again", async || {
        let mut raw = Raw::connect(world.address).await;
        raw.line().await.is_ok_and(|line| line.starts_with(b"SSH-2.0-"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_attempts_are_counted() {
    let world = World::new().await;
    let mut raw = Raw::at_the_door(world.address).await;
    let mut refused = 0;
    let last = loop {
        raw.send(&ask("work", "none")).await.unwrap();
        let answer = raw.next().await;
        match answer {
            Ok(answer) if answer[0] == 51 => refused += 1,
            last => break last.unwrap(),
        }
    };
    assert_eq!((refused, last[0]), (64, 1), "{last:?}");
    raw.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_signatures_that_lead_nowhere_are_counted_and_take_the_same_time() {
    let world = World::new().await;
    let (key, other) = (Key::new(), Key::new());
    world.people.knows(key.public.clone(), false);
    let mut raw = Raw::at_the_door(world.address).await;
    let mut answers = Vec::new();
    for at in 0..6 {
        let session = if at % 2 == 0 { raw.session.clone() } else { other.public.clone() };
        raw.send(&key.request(&session, "work")).await.unwrap();
        answers.push(raw.next().await.unwrap()[0]);
    }
    assert_eq!(answers, [51, 51, 51, 51, 51, 1]);
    raw.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_asks_for_something_else_is_not_heard() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let long = "u".repeat(256);
    let no_service = message(50).string("work").string("ssh-other").string("none");
    for odd in [
        message(90).string("session").number(0).number(1 << 20).number(1 << 15),
        message(80).string("tcpip-forward").byte(1).string("localhost").number(22),
        message(5).string("ssh-connection"),
        ask(&long, "none"),
        no_service,
        message(50),
        message(50).number(u32::MAX),
        message(52),
        message(61).number(1),
        message(21),
        message(30).string([9; 32]),
        message(200),
        message(192).string("ping"),
    ] {
        let mut raw = Raw::at_the_door(world.address).await;
        raw.send(&odd).await.unwrap();
        let said = raw.rest().await;
        assert!(said.iter().all(|each| each[0] == 7 || each[0] == 1), "{odd:?}: {said:?}");
    }
    let mut raw = Raw::with_keys(world.address).await;
    raw.send(&key.request(&raw.session.clone(), "work")).await.unwrap();
    assert!(raw.rest().await.iter().all(|each| each[0] != 52));
    assert_eq!(world.people.entered.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_key_or_signature_lets_nobody_in() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let session = Raw::at_the_door(world.address).await.session;
    let request = key.request(&session, "work");
    let named = key.named("work", true);
    for odd in [
        named.clone(),
        named.clone().string(""),
        named.clone().string([0; 83]),
        named.clone().string("ssh-ed25519"),
        ask("work", "publickey").byte(1).string("ssh-ed25519").string("").string(""),
        ask("work", "publickey").byte(1).string("ssh-ed25519").string(vec![0; 5_000]).string(""),
        ask("work", "publickey")
            .byte(1)
            .string("ecdsa-sha2-nistp256")
            .string(&key.public)
            .string(""),
        request.clone().byte(0),
    ] {
        let mut raw = Raw::at_the_door(world.address).await;
        raw.send(&odd).await.unwrap();
        // Refused or closed.
        assert!(raw.next().await.map_or(true, |answer| answer[0] == 51), "{odd:?}");
    }
    assert_eq!(world.people.entered.load(std::sync::atomic::Ordering::Relaxed), 0);
}
