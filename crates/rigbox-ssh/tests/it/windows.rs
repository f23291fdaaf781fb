//! Windows and packets as no good client has them, and channels that nobody reads.

use crate::{
    raw::{Key, Raw, message, number, take},
    world::{World, until},
};

/// A session within a connection, by the client's number, which is the server's as well.
async fn open(raw: &mut Raw, channel: u32, window: u32, packet: u32) {
    let open = message(90).string("session").number(channel).number(window).number(packet);
    raw.send(&open).await.unwrap();
    let said = loop {
        let said = answer(raw).await;
        // Others go on meanwhile.
        if !(93..=98).contains(&said[0]) {
            break said;
        }
    };
    assert_eq!(said[0], 91, "{said:?}");
    let mut rest = &said[1..];
    assert_eq!((number(&mut rest), number(&mut rest)), (channel, channel));
}

async fn execute(raw: &mut Raw, channel: u32, command: &str) {
    let run = message(98).number(channel).string("exec").byte(1).string(command);
    raw.send(&run).await.unwrap();
    loop {
        let said = answer(raw).await;
        match said[0] {
            99 if number(&mut &said[1..]) == channel => return,
            // Windows and data of others.
            93..=98 => {}
            other => panic!("{other}"),
        }
    }
}

/// The next message that is about a channel.
async fn answer(raw: &mut Raw) -> Vec<u8> {
    loop {
        let said = raw.next().await.unwrap();
        if said[0] != 80 {
            return said;
        }
    }
}

/// The next data of a channel, until its end.
async fn data(raw: &mut Raw, channel: u32) -> Option<Vec<u8>> {
    loop {
        let said = answer(raw).await;
        let mut rest = &said[1..];
        let of = number(&mut rest);
        match said[0] {
            _ if of != channel => {}
            93 | 98 | 99 => {}
            94 => return Some(take(&mut rest).to_vec()),
            _ => return None,
        }
    }
}

async fn inside(world: &World) -> Raw {
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    Raw::inside(world.address, &key).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_window_of_one_byte_gets_all_byte_by_byte() {
    let world = World::new().await;
    let mut raw = inside(&world).await;
    open(&mut raw, 0, 1, 1 << 15).await;
    execute(&mut raw, 0, "echo 0123456789; echo end").await;
    let mut got = Vec::new();
    while let Some(more) = data(&mut raw, 0).await {
        assert_eq!(more.len(), 1);
        got.extend(more);
        raw.send(&message(93).number(0).number(1)).await.unwrap();
    }
    assert_eq!(got, b"0123456789\nend\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_packets_of_one_byte_are_kept_to() {
    let world = World::new().await;
    let mut raw = inside(&world).await;
    open(&mut raw, 0, 1 << 20, 1).await;
    execute(&mut raw, 0, "head -c 3000 /dev/zero").await;
    let mut got = 0;
    while let Some(more) = data(&mut raw, 0).await {
        assert_eq!(more.len(), 1);
        got += 1;
    }
    assert_eq!(got, 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_window_or_a_packet_of_nothing_stops_its_own_channel_alone() {
    let world = World::new().await;
    let mut raw = inside(&world).await;
    for (channel, window, packet) in [(0, 0, 1 << 15), (1, 1 << 20, 0), (2, 0, 0)] {
        open(&mut raw, channel, window, packet).await;
        execute(&mut raw, channel, "cat /dev/zero").await;
    }
    open(&mut raw, 3, 1 << 20, 1 << 15).await;
    execute(&mut raw, 3, "echo goes on").await;
    assert_eq!(data(&mut raw, 3).await.unwrap(), b"goes on\n");
    assert_eq!(world.says("echo others too").await, "others too\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_channel_that_nobody_reads_stands_in_nobodys_way() {
    let world = World::new().await;
    let mut raw = inside(&world).await;
    open(&mut raw, 0, 1 << 20, 1 << 15).await;
    execute(&mut raw, 0, "head -c 3000000 /dev/zero; sleep 1000").await;
    for channel in 1..50 {
        open(&mut raw, channel, 1 << 20, 1 << 15).await;
        execute(&mut raw, channel, &format!("echo {channel}")).await;
        let said = data(&mut raw, channel).await.unwrap();
        assert_eq!(said, format!("{channel}\n").into_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_more_than_the_window_allows_is_the_workspaces_to_refuse() {
    let world = World::new().await;
    let mut raw = inside(&world).await;
    open(&mut raw, 0, 1 << 20, 1 << 15).await;
    execute(&mut raw, 0, "sleep 1000").await;
    // OpenSSH grants two MiB, and notes what comes beyond.
    let chunk = message(94).number(0).string(vec![0; 30_000]);
    for _ in 0..300 {
        raw.send(&chunk).await.unwrap();
    }
    until("what was too much", async || world.guest.log().contains("rcvd too much data")).await;
    raw.send(&message(98).number(0).string("signal").byte(0).string("TERM")).await.unwrap();
    until("the signal", async || world.guest.log().contains("req signal")).await;
    assert_eq!(world.says("echo others go on").await, "others go on\n");
    for odd in [
        message(94).number(7).string("to nobody"),
        message(97).number(1_000_000),
        message(91),
        message(90).string("session"),
    ] {
        let mut raw = inside(&world).await;
        raw.send(&odd).await.unwrap();
        let said = raw.rest().await;
        assert!(said.iter().any(|each| each[0] == 1), "{odd:?}: {said:?}");
    }
    let mut raw = inside(&world).await;
    open(&mut raw, 0, 1 << 20, 1 << 15).await;
    raw.send(&message(93).number(0).number(u32::MAX)).await.unwrap();
    let said = raw.rest().await;
    assert!(said.iter().any(|each| each[0] == 1), "an overflow: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_client_that_never_reads_costs_little() {
    const SESSIONS: usize = 4;
    let world = World::new().await;
    let mut idle = Vec::new();
    for _ in 0..SESSIONS {
        let mut raw = inside(&world).await;
        // More than fits into all buffers between the two ends.
        open(&mut raw, 0, 1 << 25, 1 << 15).await;
        execute(&mut raw, 0, "head -c 30000000 /dev/zero; sleep 1000").await;
        idle.push(raw);
    }
    // Others are served all the same, again and again, and what is held does not grow.
    let before = memory();
    for _ in 0..20 {
        assert_eq!(world.says("echo in").await, "in\n");
    }
    let after = memory();
    assert!(after < before + 32 * 1024, "{before} KiB, then {after} KiB");
}

/// What this process has in memory, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_early_data_is_kept() {
    let world = World::new().await;
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    for _ in 0..10 {
        let mut raw = Raw::at_the_door(world.address).await;
        // Everything at once, before anybody has said that we are in.
        let request = key.request(&raw.session, "work");
        let mut all = raw.packet(&request);
        for message in [
            message(90).string("session").number(0).number(1 << 20).number(1 << 15),
            message(98).number(0).string("exec").byte(0).string("cat; exit 3"),
            message(94).number(0).string("early"),
            message(96).number(0),
        ] {
            let packet = raw.packet(&message);
            all.extend(packet);
        }
        raw.write(&all).await.unwrap();
        assert_eq!(raw.next().await.unwrap(), [52]);
        assert_eq!(answer(&mut raw).await[0], 91);
        assert_eq!(data(&mut raw, 0).await.unwrap(), b"early");
        let mut status = None;
        loop {
            let said = answer(&mut raw).await;
            if said[0] == 98 {
                let mut rest = &said[5..];
                assert_eq!(take(&mut rest), b"exit-status");
                status = Some(number(&mut &rest[1..]));
            } else if said[0] == 97 {
                break;
            }
        }
        assert_eq!(status, Some(3), "before the end of the channel");
    }
}
