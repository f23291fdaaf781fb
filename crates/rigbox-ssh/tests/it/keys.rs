use std::{path::PathBuf, process::Output};

use crate::{
    raw::{Key, Raw, ask},
    world::{World, good, public},
};

/// What somebody gets who shows these keys, in this order.
async fn with_keys(world: &World, keys: &[PathBuf], options: &[&str]) -> Output {
    let config = std::fs::read_to_string(world.path("ssh_config")).unwrap();
    let without: Vec<&str> = config.lines().filter(|line| !line.contains("IdentityFile")).collect();
    std::fs::write(world.path("without"), without.join("\n")).unwrap();
    let mut ssh = tokio::process::Command::new("ssh");
    ssh.arg("-F").arg(world.path("without"));
    for key in keys {
        ssh.arg("-i").arg(key);
    }
    crate::world::output(ssh.args(options).args(["work", "echo in"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_all_kinds_that_can_be_verified_are_let_in() {
    let world = World::new().await;
    for (name, kind) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("rsa-2048", &["-t", "rsa", "-b", "2048"]),
        ("rsa-4096", &["-t", "rsa", "-b", "4096"]),
    ] {
        let key = world.key(name, kind);
        let stranger = with_keys(&world, std::slice::from_ref(&key), &[]).await;
        assert_eq!(stranger.status.code(), Some(255), "{name}: not known yet");
        world.people.knows(public(&key), true);
        let mut algorithms = vec![""];
        if name.starts_with("rsa") {
            algorithms = vec!["rsa-sha2-256", "rsa-sha2-512"];
        }
        for algorithm in algorithms {
            let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
            let options = if algorithm.is_empty() { vec![] } else { vec!["-o", &option] };
            let said = with_keys(&world, std::slice::from_ref(&key), &options).await;
            assert_eq!(good(said), "in\n", "{name} {algorithm}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_verified_are_refused_and_the_next_one_is_let_in() {
    let world = World::new().await;
    let good_one = world.path("key");
    for (name, kind, option) in [
        ("p521", &["-t", "ecdsa", "-b", "521"][..], "LogLevel=ERROR"),
        ("rsa-1024", &["-t", "rsa", "-b", "1024"], "RequiredRSASize=1024"),
        ("rsa-sha1", &["-t", "rsa", "-b", "2048"], "PubkeyAcceptedAlgorithms=ssh-rsa,ssh-ed25519"),
    ] {
        let key = world.key(name, kind);
        world.people.knows(public(&key), true);
        let alone = with_keys(&world, std::slice::from_ref(&key), &["-o", option]).await;
        let text = String::from_utf8_lossy(&alone.stderr);
        assert_eq!(alone.status.code(), Some(255), "{name}");
        assert!(text.contains("Permission denied (publickey)"), "{name}: {text}");
        let both = with_keys(&world, &[key, good_one.clone()], &["-o", option]).await;
        assert_eq!(good(both), "in\n", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_wrong_keys_before_the_right_one_do_no_harm() {
    let world = World::new().await;
    let mut keys: Vec<PathBuf> =
        (0..12).map(|number| world.key(&format!("wrong-{number}"), &["-t", "ed25519"])).collect();
    keys.push(world.path("key"));
    assert_eq!(good(with_keys(&world, &keys, &[]).await), "in\n");
    // The same of a client that signs with each without asking first.
    let mut raw = Raw::at_the_door(world.address).await;
    for _ in 0..12 {
        assert_eq!(raw.enter(&Key::new(), "work").await.unwrap()[0], 51);
    }
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    assert_eq!(raw.enter(&key, "work").await.unwrap(), [52]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_a_key_that_is_only_named_lets_nobody_in() {
    let world = World::new().await;
    let (known, own) = (Key::new(), Key::new());
    world.people.knows(known.public.clone(), true);
    let mut raw = Raw::at_the_door(world.address).await;
    raw.send(&known.named("work", false)).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 60);
    // Signed by one, named another.
    let request = known.named("work", true);
    let signed = crate::raw::message(0).string(&raw.session).bytes(&request)[1..].to_vec();
    raw.send(&request.string(own.sign(&signed))).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 51);
    assert_eq!(raw.enter(&own, "work").await.unwrap()[0], 51);
    assert_eq!(world.people.entered.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(raw.enter(&known, "work").await.unwrap(), [52]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s12_a_signature_is_good_for_its_own_connection_alone() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let one = Raw::at_the_door(world.address).await;
    let mut other = Raw::at_the_door(world.address).await;
    other.send(&key.request(&one.session, "work")).await.unwrap();
    assert_eq!(other.next().await.unwrap()[0], 51);
    // What the workspace sees is the gateway's own key of this session.
    let text = world.says("cat /proc/$PPID/environ >/dev/null 2>&1; echo in").await;
    assert_eq!(text, "in\n");
    let log = world.guest.log();
    assert!(log.contains("Accepted publickey for") && log.contains("ED25519-CERT"), "{log}");
    assert!(!log.contains(&fingerprint(&public(&world.path("key")))), "{log}");
}

fn fingerprint(key: &[u8]) -> String {
    rigbox_ssh::PublicKey::new(key).unwrap().fingerprint()
}

#[tokio::test(flavor = "multi_thread")]
async fn s02_no_other_way_lets_anybody_in_and_none_helps_another() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut raw = Raw::at_the_door(world.address).await;
    let attempts = [
        ask("work", "none"),
        ask("work", "password").byte(0).string(""),
        ask("work", "password").byte(1).string("old").string("new"),
        ask("work", "keyboard-interactive").string("").string(""),
        ask("work", "hostbased").string("ssh-ed25519").string(&key.public),
        ask("work", "gssapi-with-mic").number(0),
    ];
    for attempt in attempts {
        raw.send(&attempt).await.unwrap();
        let answer = raw.next().await.unwrap();
        assert_eq!(answer[0], 51);
        assert!(answer.ends_with(b"publickey\0"), "{answer:?}");
    }
    // Named for one user, signed for another: each request is its own.
    raw.send(&key.named("work", false)).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 60);
    assert_eq!(raw.enter(&key, "foreign").await.unwrap()[0], 51);
    let for_another = key.request(&raw.session, "foreign");
    let signature = &for_another[for_another.len() - 87..];
    let forged = [&key.named("work", true)[..], signature].concat();
    raw.send(&forged).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 51);
    assert_eq!(raw.enter(&key, "work").await.unwrap(), [52]);
    // Who is in stays who they are.
    raw.send(&key.request(&raw.session.clone(), "foreign")).await.unwrap();
    raw.send(&crate::raw::message(80).string("keepalive@openssh.com").byte(1)).await.unwrap();
    assert!([81, 82].contains(&raw.next().await.unwrap()[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_what_does_not_exist_and_what_is_somebody_elses_look_the_same() {
    let world = World::new().await;
    let (owner, other, stranger) = (Key::new(), Key::new(), Key::new());
    world.people.knows(owner.public.clone(), true);
    world.people.knows(other.public.clone(), false);
    let mut raw = Raw::at_the_door(world.address).await;
    let mut seen = Vec::new();
    for (key, user) in [(&owner, "no-such"), (&other, "work"), (&other, "no-such")] {
        raw.send(&key.named(user, false)).await.unwrap();
        let named = raw.next().await.unwrap();
        seen.push((named[0], raw.enter(key, user).await.unwrap()));
    }
    assert!(seen.iter().all(|each| *each == seen[0]), "{seen:?}");
    assert_eq!(seen[0].0, 60);
    for user in ["work", "no-such"] {
        raw.send(&stranger.named(user, false)).await.unwrap();
        assert_eq!(raw.next().await.unwrap(), seen[0].1);
        assert_eq!(raw.enter(&stranger, user).await.unwrap(), seen[0].1);
    }
}
