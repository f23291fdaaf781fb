use std::{process::Command, sync::Arc};

use crate::{
    pty::Terminal,
    raw::{Key, Raw, message, number, take},
    world::{World, good, until},
};

const PROMPT: &str = "number or name, q to leave: ";

/// A person in a terminal who asks for the menu.
fn person(world: &World, options: &[&str]) -> Terminal {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(world.path("ssh_config")).args(options).args(["-tt", "rig@gateway"]);
    Terminal::start(&ssh)
}

/// Has somebody sit in front of a terminal, which blocks.
async fn sits(world: &Arc<World>, doing: impl FnOnce(&World) + Send + 'static) {
    let world = Arc::clone(world);
    tokio::task::spawn_blocking(move || doing(&world)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_chosen_by_number_and_the_session_goes_on_there() {
    let world = Arc::new(World::new().await);
    sits(&world, |world| {
        let mut person = person(world, &["-o", "SetEnv=RIGBOX_TEST=a-value"]);
        let seen = person.wait_for(PROMPT);
        assert!(seen.contains("   1  my work  running  work\r\n"), "{seen}");
        assert!(seen.contains("something else to know\r\n"), "{seen}");
        // The terminal's newest size is the one that counts.
        person.resize(132, 50);
        person.type_in("1\r");
        person.wait_for("entering my work\r\n");
        person.type_in("echo $RIGBOX_TEST $TERM $(stty size) in $((40 + 2))\r");
        person.wait_for("a-value xterm 50 132 in 42\r\n");
        person.resize(90, 30);
        person.type_in("clear; stty size; head -c 3000000 /dev/zero | tr '\\0' x | wc -c\r");
        person.wait_for("30 90\r\n");
        person.wait_for("3000000\r\n");
        person.type_in("exit 7\r");
        assert_eq!(person.end(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_chosen_by_name_and_what_is_typed_ahead_gets_there() {
    let world = Arc::new(World::new().await);
    sits(&world, |world| {
        let mut person = person(world, &[]);
        person.wait_for(PROMPT);
        person.type_in("worx\x7fk\recho ahead $((1 + 1)); exit 5\r");
        person.wait_for("ahead 2\r\n");
        assert_eq!(person.end(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_both_ways_through_a_session_of_the_menu() {
    let world = Arc::new(World::new().await);
    sits(&world, |world| {
        let mut person = person(world, &[]);
        person.wait_for(PROMPT);
        person.type_in("1\r");
        // More than a window each way: the two ends have to agree on it.
        person.type_in("stty -echo -icanon min 1; echo re'ady'; head -c 5000000 | wc -c\r");
        person.wait_for("ready\r\n");
        let block = "x".repeat(100_000);
        for _ in 0..50 {
            person.type_in(&block);
        }
        person.wait_for("5000000\r\n");
        person.type_in("head -c 9000000 /dev/zero | tr '\\0' y; echo; echo all; exit 6\r");
        person.wait_for("all\r\n");
        assert_eq!(person.end(), 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_entered_is_said_and_asked_again() {
    let world = Arc::new(World::new().await);
    sits(&world, |world| {
        let mut person = person(world, &[]);
        person.wait_for(PROMPT);
        for (typed, said) in [
            ("2", "start it: rig start stopped"),
            ("3", "cannot be entered now"),
            ("4", "it is not there any more"),
            ("nothing", "there is no nothing"),
            ("", "choose one"),
        ] {
            person.type_in(&format!("{typed}\r"));
            person.wait_for(said);
        }
        person.type_in("1\r");
        person.type_in("exit 3\r");
        assert_eq!(person.end(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_menu_is_left_with_a_key() {
    let world = Arc::new(World::new().await);
    sits(&world, |world| {
        for keys in ["q\r", "\x03", "\x04", "ab\x03"] {
            let mut person = person(world, &[]);
            person.wait_for(PROMPT);
            person.type_in(keys);
            assert_eq!(person.end(), 0, "{keys:?}");
        }
    })
    .await;
    assert_eq!(world.guest.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_there_is_a_list() {
    let world = World::new().await;
    let list = "my work  running  work\nstopped  off      stopped\nchanged  running  changed\n\
                gone     running  gone\nsomething else to know\n";
    assert_eq!(good(world.run(&["-T", "rig@gateway"]).await), list);
    for options in [&["rig@gateway", "uptime"][..], &["-t", "rig@gateway", "uptime"]] {
        let said = world.run(options).await;
        assert_eq!(said.status.code(), Some(1));
        // A program that reads what its command writes is not told a list.
        assert_eq!(String::from_utf8_lossy(&said.stdout), "");
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(told.contains(list) && told.contains("the menu runs no commands"), "{told}");
    }
    // Nothing else is served.
    let mut sftp = world.tool("sftp");
    let said = crate::world::output(sftp.args(["-b", "/dev/null", "rig@gateway"])).await;
    assert_eq!(said.status.code(), Some(255));
    let said = world.run(&["-W", "localhost:22", "rig@gateway"]).await;
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("administratively prohibited"), "{text}");
    assert_eq!(world.guest.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_menu_ends_with_the_right_to_it() {
    let world = Arc::new(World::new().await);
    sits(&world, |world| {
        let mut person = person(world, &[]);
        person.wait_for(PROMPT);
        world.people.revoke();
        person.wait_for("the right to this session has ended");
        assert_eq!(person.end(), 255);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_is_piped_in_is_one() {
    let world = World::new().await;
    for (typed, code) in [("1\\nexit 9\\n", 9), ("2\\n", 0), ("", 0)] {
        let script = format!("printf '{typed}' | {} -tt rig@gateway", world.ssh());
        let mut shell = tokio::process::Command::new("sh");
        let said = crate::world::output(shell.arg("-c").arg(script)).await;
        let text = String::from_utf8_lossy(&said.stdout);
        assert_eq!(said.status.code(), Some(code), "{typed}: {text}");
    }
}

async fn looks(world: &World) -> Raw {
    let key = Key::new();
    world.people.knows(key.public.clone(), true);
    let mut raw = Raw::at_the_door(world.address).await;
    assert_eq!(raw.enter(&key, "rig").await.unwrap(), [52]);
    raw
}

fn open(channel: u32, window: u32, packet: u32) -> crate::raw::Message {
    message(90).string("session").number(channel).number(window).number(packet)
}

fn terminal() -> crate::raw::Message {
    message(98).number(0).string("pty-req").byte(1).string("xterm").bytes(&[0; 16]).string([0])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_session_and_odd_messages_are_refused() {
    let world = World::new().await;
    let mut raw = looks(&world).await;
    raw.send(&message(80).string("tcpip-forward").byte(1).string("").number(0)).await.unwrap();
    assert_eq!(raw.next().await.unwrap(), [82]);
    raw.send(&open(7, 1 << 20, 1 << 15)).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[..9], [91, 0, 0, 0, 7, 0, 0, 0, 0]);
    raw.send(&open(8, 1 << 20, 1 << 15)).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[..9], [92, 0, 0, 0, 8, 0, 0, 0, 1]);
    let subsystem = message(98).number(0).string("subsystem").byte(1).string("sftp");
    let forwarding = message(98).number(0).string("x11-req").byte(1);
    let long = message(98).number(0).string("env").byte(1).string("A").string(vec![b'x'; 40_000]);
    for odd in [subsystem, forwarding, long] {
        raw.send(&odd).await.unwrap();
        assert_eq!(raw.next().await.unwrap(), [100, 0, 0, 0, 7]);
    }
    for odd in [
        message(94).number(0).string(vec![0; 5_000]),
        message(94).number(1).string("to another channel"),
        message(98).number(0).string("shell"),
        message(91).number(0).number(0).number(0).number(0),
        message(90),
    ] {
        let mut raw = looks(&world).await;
        raw.send(&open(7, 1 << 20, 1 << 15)).await.unwrap();
        raw.send(&odd).await.unwrap();
        raw.is_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_menu_keeps_to_the_clients_window() {
    let world = World::new().await;
    let mut raw = looks(&world).await;
    raw.send(&open(7, 10, 3)).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 91);
    raw.send(&terminal()).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 99);
    raw.send(&message(98).number(0).string("shell").byte(1)).await.unwrap();
    assert_eq!(raw.next().await.unwrap()[0], 99);
    let (mut seen, mut left) = (Vec::new(), 10);
    // A little more room each time it is used up, until all is there; then a choice.
    while !seen.ends_with(PROMPT.as_bytes()) {
        if left == 0 {
            raw.send(&message(93).number(0).number(17)).await.unwrap();
            left = 17;
        }
        let said = raw.next().await.unwrap();
        assert_eq!(said[0], 94, "{said:?}");
        let mut rest = &said[1..];
        assert_eq!(number(&mut rest), 7);
        let text = take(&mut rest);
        assert!(text.len() <= 3.min(left));
        left -= text.len();
        seen.extend_from_slice(text);
    }
    raw.send(&message(93).number(0).number(100)).await.unwrap();
    raw.send(&message(94).number(0).string("1\rexit 4\r")).await.unwrap();
    until("the workspace", async || world.guest.sessions() == 1).await;
    raw.send(&message(93).number(0).number(1 << 20)).await.unwrap();
    let status = loop {
        let said = raw.next().await.unwrap();
        let mut rest = &said[1..];
        if said[0] == 98 && number(&mut rest) == 7 && take(&mut rest) == b"exit-status" {
            break number(&mut &rest[1..]);
        }
    };
    assert_eq!(status, 4);
}
