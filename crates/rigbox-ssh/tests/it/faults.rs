//! Sessions that break at any point, and what is left of them: nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rigbox_ssh::Limits;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    runtime::Handle,
    task::JoinSet,
};

use crate::{
    raw::{Key, Offer, Raw, message},
    world::{World, descriptors, until},
};

/// How many faulted sessions there are in the ordinary run.
const SESSIONS: usize = 500;
/// How many there are at once.
const AT_ONCE: usize = 16;
/// How many are broken before it is counted what there is.
const WARM_UP: usize = 200;
/// Strangers of one address that the gateway has room for.
const STRANGERS: usize = 32;

fn sessions() -> usize {
    std::env::var("RIGBOX_TEST_SSH_FAULTS").map_or(SESSIONS, |count| count.parse().unwrap())
}

/// Numbers that look like chance, and are the same in each run (xorshift).
#[derive(Clone, Copy)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_sessions_leave_no_task_no_descriptor_and_no_memory() {
    let limits = Limits {
        login_grace: Duration::from_secs(3),
        farewell: Duration::from_millis(200),
        strangers_of_address: STRANGERS,
        of_address: 2 * STRANGERS,
        ..Limits::default()
    };
    let world = Arc::new(World::with(limits).await);
    let key = Arc::new(Key::new());
    world.people.knows(key.public.clone(), true);
    let odd = odd_workspace().await;
    *world.people.elsewhere.lock().unwrap() = Some(odd);
    until("quiet", async || world.guest.sessions() == 0).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    break_sessions(&world, &key, 0..WARM_UP).await;
    settled(&world, tasks).await;
    let (before, memory_before) = (descriptors(), memory_kib());
    break_sessions(&world, &key, WARM_UP..WARM_UP + sessions()).await;
    settled(&world, tasks).await;
    let after = descriptors();
    let more: Vec<_> = after.difference(&before).collect();
    assert!(after.len() <= before.len(), "{more:?}");
    let memory = memory_kib();
    assert!(memory < memory_before * 3 / 2 + 8 * 1024, "{memory_before} KiB, then {memory} KiB");
    // No place is taken by anybody who has gone.
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        let mut raw = Raw::connect(world.address).await;
        raw.hello().await.unwrap();
        strangers.push(raw);
    }
    drop(strangers);
    *world.people.elsewhere.lock().unwrap() = None;
    assert_eq!(world.says("echo in").await, "in\n");
}

/// That nothing runs but what ran at the beginning.
async fn settled(world: &World, tasks: usize) {
    until("the end of all tasks", async || {
        Handle::current().metrics().num_alive_tasks() <= tasks && world.guest.sessions() == 0
    })
    .await;
}

async fn break_sessions(world: &Arc<World>, key: &Arc<Key>, numbers: std::ops::Range<usize>) {
    let mut breaking = JoinSet::new();
    for number in numbers {
        if breaking.len() == AT_ONCE {
            breaking.join_next().await.unwrap().unwrap();
        }
        breaking.spawn(broken(Arc::clone(world), Arc::clone(key), number));
    }
    while let Some(done) = breaking.join_next().await {
        done.unwrap();
    }
}

/// One session that breaks in some way.
async fn broken(world: Arc<World>, key: Arc<Key>, number: usize) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ u64::try_from(number * 7_919 + 1).unwrap());
    let mut raw = Raw::connect(world.address).await;
    let fault = chance.below(64);
    let all = async {
        match fault {
            // Cut at any byte before somebody is in, the first ones included.
            0..36 => {
                raw.budget = Some(chance.below(900));
                raw.hello().await?;
                raw.exchange(&Offer::default()).await?;
                raw.knock().await?;
                raw.send(&key.named("work", false)).await?;
                raw.next().await?;
            }
            // Says nothing, or no more, until the gateway has had enough.
            36 => raw.is_closed().await,
            37 => {
                raw.hello().await?;
                raw.exchange(&Offer::default()).await?;
                raw.is_closed().await;
            }
            // Says something that is none.
            38..46 => {
                raw.hello().await?;
                raw.exchange(&Offer::default()).await?;
                let noise: Vec<u8> =
                    (0..chance.below(200)).map(|_| chance.below(256).try_into().unwrap()).collect();
                raw.write(&noise).await?;
            }
            // A workspace that breaks off at any byte.
            46..56 => {
                raw.hello().await?;
                raw.exchange(&Offer::default()).await?;
                raw.knock().await?;
                raw.enter(&key, "work").await?;
                raw.is_closed().await;
            }
            // Looks at the menu, and chooses or not.
            56..60 => menu(&mut raw, &key, &mut chance).await?,
            _ => inside(&world, &mut raw, &key, &mut chance).await?,
        }
        Ok::<(), std::io::Error>(())
    };
    // What the gateway ends first is a broken session too.
    drop(all.await);
    if chance.below(2) == 0 {
        // A reset instead of a good end.
        sockopt::set_socket_linger(&raw.stream, Some(Duration::ZERO)).unwrap();
    }
}

/// A session in the menu that breaks at any byte, some of them after a choice.
async fn menu(raw: &mut Raw, key: &Key, chance: &mut Chance) -> std::io::Result<()> {
    raw.hello().await?;
    raw.exchange(&Offer::default()).await?;
    raw.knock().await?;
    raw.enter(key, "rig").await?;
    raw.budget = Some(chance.below(400));
    let window = u32::try_from(chance.below(1_000)).unwrap();
    raw.send(&message(90).string("session").number(0).number(window).number(1 << 15)).await?;
    let terminal = message(98).number(0).string("pty-req").byte(0).string("xterm");
    raw.send(&terminal.bytes(&[0; 16]).string([0])).await?;
    raw.send(&message(98).number(0).string("shell").byte(0)).await?;
    raw.send(&message(94).number(0).string("3\rno such\r1\r")).await?;
    raw.next().await?;
    Ok(())
}

/// A session with the real workspace that breaks while something runs in it.
async fn inside(
    world: &World,
    raw: &mut Raw,
    key: &Key,
    chance: &mut Chance,
) -> std::io::Result<()> {
    raw.hello().await?;
    raw.exchange(&Offer::default()).await?;
    raw.knock().await?;
    raw.enter(key, "real").await?;
    raw.send(&message(90).string("session").number(0).number(1 << 21).number(1 << 15)).await?;
    raw.send(&message(98).number(0).string("exec").byte(0).string("cat /dev/zero")).await?;
    for _ in 0..chance.below(20) {
        raw.next().await?;
    }
    match chance.below(3) {
        0 => world.guest.kill(),
        1 => {
            raw.budget = Some(chance.below(5_000));
            while raw.send(&message(94).number(0).string([0; 500])).await.is_ok() {}
        }
        _ => {}
    }
    Ok(())
}

/// A workspace whose connections break at any byte, some of them with noise.
async fn odd_workspace() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut chance = Chance(0x1234_5678_9abc_def1);
        while let Ok((mut stream, _)) = listener.accept().await {
            let (greets, reads) = (chance.below(4), chance.below(900));
            tokio::spawn(async move {
                if greets > 0 {
                    stream.write_all(b"SSH-2.0-odd\r\n").await?;
                }
                if greets > 1 {
                    stream.write_all(&Raw::clear(&Offer::for_servers().message())).await?;
                }
                let mut read = vec![0; reads + 1];
                stream.read_exact(&mut read).await?;
                if greets > 2 {
                    stream.write_all(&read).await?;
                }
                Ok::<(), std::io::Error>(())
            });
        }
    });
    address
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
