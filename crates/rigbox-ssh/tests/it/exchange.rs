//! Renewals of keys, message by message.

use rigbox_ssh::Limits;

use crate::{
    raw::{Key, Offer, Raw, message, number},
    world::World,
};

fn ping() -> crate::raw::Message {
    message(192).string("ping")
}

fn keepalive() -> crate::raw::Message {
    message(80).string("keepalive@openssh.com").byte(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_what_is_asked_meanwhile_is_answered_afterwards() {
    let limits = Limits { rekey_after: std::time::Duration::from_millis(5), ..Limits::default() };
    let world = World::with(limits).await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut raw = Raw::inside(world.address, &key).await;
    for _ in 0..10 {
        // The gateway begins as soon as it reads; until our own offer is sent we may go on.
        let theirs = loop {
            raw.send(&ping()).await.unwrap();
            let said = raw.receive().await.unwrap();
            if said[0] == 20 {
                break said;
            }
        };
        raw.send(&ping()).await.unwrap();
        raw.send(&keepalive()).await.unwrap();
        let ours = Offer::default().message();
        raw.send(&ours).await.unwrap();
        raw.agree(&ours, &theirs).await.unwrap();
        let mut kinds = Vec::new();
        while !kinds.iter().any(|kind| [81, 82].contains(kind)) {
            let said = raw.receive().await.unwrap();
            if said[0] == 20 {
                let ours = Offer::default().message();
                raw.send(&ours).await.unwrap();
                raw.agree(&ours, &said).await.unwrap();
                continue;
            }
            kinds.push(said[0]);
        }
        assert!(kinds.contains(&193), "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_client_that_never_renews_its_keys_keeps_nothing_but_itself() {
    let limits = Limits { rekey_bytes: 1 << 16, ..Limits::default() };
    let world = World::with(limits).await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut raw = Raw::inside(world.address, &key).await;
    let open = message(90).string("session").number(0).number(1 << 30).number(1 << 15);
    raw.send(&open).await.unwrap();
    let mut confirmed = loop {
        let said = raw.next().await.unwrap();
        if said[0] != 80 {
            break said;
        }
    };
    assert_eq!(confirmed.remove(0), 91);
    assert_eq!(number(&mut &confirmed[..]), 0);
    let run = message(98).number(0).string("exec").byte(0).string("head -c 10000000 /dev/zero");
    raw.send(&run).await.unwrap();
    // The gateway asks for new keys, says nothing more, and serves others.
    while raw.next().await.unwrap()[0] != 20 {}
    assert_eq!(world.says("echo in").await, "in\n");
    raw.send(&ping()).await.unwrap();
    drop(raw);
    crate::world::until("the end of its session", async || world.guest.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_turn_ends_the_connection() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    for odd in [message(21), message(30).string([9; 32]), message(31), message(49), message(52)] {
        let mut raw = Raw::inside(world.address, &key).await;
        raw.send(&odd).await.unwrap();
        raw.rest().await;
    }
    // Once keys are under way nothing else is heard.
    for odd in [keepalive(), ping(), message(94).number(0).string("data"), message(21)] {
        let mut raw = Raw::inside(world.address, &key).await;
        raw.send(&Offer::default().message()).await.unwrap();
        raw.send(&odd).await.unwrap();
        raw.rest().await;
    }
    crate::world::until("the end of the sessions", async || world.guest.sessions() == 0).await;
}
