//! What somebody sends who does not keep to the protocol.

use tokio::io::AsyncWriteExt as _;

use crate::{
    raw::{Key, Offer, Raw, ask, message},
    world::World,
};

/// That nothing of it was in the way of others.
async fn still_serves(world: &World) {
    assert_eq!(world.says("echo in").await, "in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_a_greeting_that_is_none_ends_the_connection() {
    let world = World::new().await;
    for greeting in [
        b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec(),
        b"SSH-1.5-old\r\n".to_vec(),
        b"SSH-2.0-\x07bell\r\n".to_vec(),
        b"hello\r\nSSH-2.0-late\r\n".to_vec(),
        [b"SSH-2.0-".to_vec(), vec![b'x'; 300], b"\r\n".to_vec()].concat(),
        b"\0\0\0\0\0\0\0\0\r\n".to_vec(),
        vec![b'x'; 4_000_000],
    ] {
        let mut raw = Raw::connect(world.address).await;
        // The connection may be closed before all of it was sent.
        drop(raw.stream.write_all(&greeting).await);
        raw.is_closed().await;
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_a_packet_length_is_not_believed() {
    let world = World::new().await;
    for length in [0, 1, 3, 11, 35_004, 262_145, 0x7fff_ffff, 0xffff_ffff] {
        let mut raw = Raw::connect(world.address).await;
        raw.hello().await.unwrap();
        let packet = raw.sealed(length, vec![0; 64]);
        raw.write(&packet).await.unwrap();
        raw.is_closed().await;
        let mut raw = Raw::at_the_door(world.address).await;
        let packet = raw.sealed(length, vec![0; 64]);
        raw.write(&packet).await.unwrap();
        raw.is_closed().await;
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_padding_that_leaves_nothing_ends_the_connection() {
    let world = World::new().await;
    for body in [vec![0; 16], vec![3; 16], vec![15; 16], vec![255; 16]] {
        let mut raw = Raw::at_the_door(world.address).await;
        let packet = raw.sealed(16, body);
        raw.write(&packet).await.unwrap();
        raw.is_closed().await;
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_was_changed_ends_the_connection() {
    let world = World::new().await;
    for at in [4, 5, 20, 35] {
        let mut raw = Raw::with_keys(world.address).await;
        let mut packet = raw.packet(&message(5).string("ssh-userauth"));
        packet[at] ^= 1;
        raw.write(&packet).await.unwrap();
        raw.is_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_what_is_to_be_ignored_is_bounded_before_somebody_is_let_in() {
    let world = World::new().await;
    let extensions = message(7).number(1).string("x").string(vec![b'y'; 1_000]);
    for flood in [
        message(2).string(vec![0; 1_000]),
        message(3).number(1),
        message(4).byte(0).string("debug").string(""),
        extensions,
    ] {
        let mut raw = Raw::at_the_door(world.address).await;
        let mut sent = 0;
        while sent < 10_000 && raw.send(&flood).await.is_ok() {
            sent += 1;
        }
        raw.is_closed().await;
        // Some of it does no harm.
        let mut raw = Raw::at_the_door(world.address).await;
        for _ in 0..100 {
            raw.send(&flood).await.unwrap();
        }
        raw.send(&ask("work", "none")).await.unwrap();
        assert_eq!(raw.next().await.unwrap()[0], 51);
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_with_nothing_in_common_ends_the_connection() {
    let world = World::new().await;
    let offer = Offer::default;
    for odd in [
        Offer { kex: "diffie-hellman-group14-sha256", ..offer() },
        Offer { kex: "", ..offer() },
        Offer { kex: ",,,", ..offer() },
        Offer { host_key: "ssh-rsa", ..offer() },
        Offer { cipher: "aes256-ctr", ..offer() },
        Offer { cipher: "none", ..offer() },
        Offer { compression: "zlib,zlib@openssh.com", ..offer() },
    ] {
        let mut raw = Raw::connect(world.address).await;
        raw.hello().await.unwrap();
        raw.send(&odd.message()).await.unwrap();
        let said = raw.rest().await;
        assert!(said.iter().all(|each| each[0] == 20 || each[0] == 1), "{said:?}");
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_none_ends_the_connection() {
    let world = World::new().await;
    let good = Offer::default().message().to_vec();
    let lie = [&good[..17], &[0xff, 0xff, 0xff, 0xff], &good[21..]].concat();
    let long = [&good[..], b"more"].concat();
    let not_text = [&good[..17], &[0, 0, 0, 2, 0xff, 0xfe], &good[17..]].concat();
    let many = message(20).bytes(&[0; 16]).string(vec![b','; 30_000]).to_vec();
    for odd in [good[..17].to_vec(), good[..40].to_vec(), lie, long, not_text, many, vec![20]] {
        let mut raw = Raw::connect(world.address).await;
        raw.hello().await.unwrap();
        raw.send(&odd).await.unwrap();
        raw.rest().await;
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_a_public_key_that_is_none_ends_the_exchange() {
    let world = World::new().await;
    let low_order = {
        let mut point = [0; 32];
        point[0] = 1;
        point
    };
    for point in [&[][..], &[9; 31], &[9; 33], &[0; 32], &low_order, &[9; 10_000]] {
        let mut raw = Raw::connect(world.address).await;
        raw.hello().await.unwrap();
        raw.send(&Offer::default().message()).await.unwrap();
        raw.send(&message(30).string(point)).await.unwrap();
        let said = raw.rest().await;
        assert!(said.iter().all(|each| each[0] != 31), "{}: {said:?}", point.len());
    }
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s17_nothing_slips_into_a_strict_exchange() {
    let world = World::new().await;
    let ignored = message(2).string("");
    // Before the offer.
    let mut raw = Raw::connect(world.address).await;
    raw.hello().await.unwrap();
    raw.send(&ignored).await.unwrap();
    raw.send(&Offer::default().message()).await.unwrap();
    raw.rest().await;
    // Between the offer and the keys.
    let strict = Offer::default();
    let lax = Offer { kex: "curve25519-sha256,ext-info-c", ..strict.clone() };
    for (offer, is_let) in [(strict, false), (lax, true)] {
        let mut raw = Raw::connect(world.address).await;
        raw.hello().await.unwrap();
        let ours = offer.message();
        raw.send(&ours).await.unwrap();
        raw.send(&ignored).await.unwrap();
        let theirs = raw.receive().await.unwrap();
        if is_let {
            raw.agree(&ours, &theirs).await.unwrap();
            raw.knock().await.unwrap();
        } else {
            raw.is_closed().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s17_chacha_needs_a_strict_exchange() {
    let world = World::new().await;
    let option = ["-c", "chacha20-poly1305@openssh.com"];
    assert!(world.run(&[&option[..], &["work", "true"]].concat()).await.status.success());
    let mut raw = Raw::connect(world.address).await;
    raw.hello().await.unwrap();
    let kex = "curve25519-sha256";
    let lax = Offer { kex, cipher: "chacha20-poly1305@openssh.com", ..Offer::default() };
    raw.send(&lax.message()).await.unwrap();
    assert_eq!(raw.rest().await.len(), 1, "the gateway's offer alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_guess_of_the_exchange_is_left_out() {
    let world = World::new().await;
    let kex = "other-kex,curve25519-sha256,kex-strict-c-v00@openssh.com";
    let mut raw = Raw::connect(world.address).await;
    raw.hello().await.unwrap();
    let ours = Offer { kex, guess_follows: true, ..Offer::default() }.message();
    raw.send(&ours).await.unwrap();
    raw.send(&message(30).string("a wrong guess")).await.unwrap();
    let theirs = raw.receive().await.unwrap();
    raw.agree(&ours, &theirs).await.unwrap();
    raw.knock().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_keys_are_not_renewed_for_strangers() {
    let world = World::new().await;
    let mut raw = Raw::at_the_door(world.address).await;
    raw.send(&Offer::default().message()).await.unwrap();
    assert!(raw.rest().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_at_any_byte_ends() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    // How much a good client sends.
    let raw = Raw::inside(world.address, &key).await;
    let whole = raw.sent;
    drop(raw);
    let mut cutting = tokio::task::JoinSet::new();
    for budget in 0..whole {
        if cutting.len() == 16 {
            cutting.join_next().await.unwrap().unwrap();
        }
        let (address, key) = (world.address, key.request(b"", "work"));
        cutting.spawn(async move {
            let mut raw = Raw::connect(address).await;
            raw.budget = Some(budget);
            let all = async {
                raw.hello().await?;
                raw.exchange(&Offer::default()).await?;
                raw.knock().await?;
                // Of another session: as long as the right one.
                raw.send(&key).await
            };
            assert!(all.await.is_err(), "{budget}");
            raw.is_closed().await;
        });
    }
    cutting.join_all().await;
    still_serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_said_to_be_unknown_and_a_ping_is_answered() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut raw = Raw::inside(world.address, &key).await;
    raw.send(&message(200).string("what")).await.unwrap();
    // Version, offer, exchange and its end are counted anew; then two requests came before this.
    assert_eq!(raw.receive().await.unwrap(), [3, 0, 0, 0, 2]);
    raw.send(&message(192).string("ping")).await.unwrap();
    assert_eq!(*raw.receive().await.unwrap(), *message(193).string("ping"));
    raw.send(&message(52)).await.unwrap();
    raw.rest().await;
}
