//! What disks, the database and clocks can do to the proxy: calls are refused, or go on, and each is charged
//! once.

use std::{
    convert::Infallible,
    process::Command,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use camino::{Utf8Path, Utf8PathBuf};
use http::StatusCode;
use rigbox_ai_proxy::RunError;
use rigbox_store::{Store, SystemClock, accounts::Profile};
use rigbox_test_providers::Behaviour;
use serde_json::{Value, json};

use crate::kit::World;

/// Names the directory that a child of [`a_full_disk_refuses_calls_and_loses_none`] has its journal in.
const SMALL_DISK: &str = "RIGBOX_TEST_AI_SMALL_DISK";

/// What a call costs.
const MINI: i64 = 56_000;

const DAY: i64 = 24 * 3_600 * 1_000_000;

fn chat() -> Value {
    json!({ "model": "openai/gpt-4.1-mini", "max_tokens": 100,
        "messages": [{ "role": "user", "content": "hello" }] })
}

async fn world() -> World {
    let world = World::new(Some(1_000)).await;
    let counts = Behaviour { input: Some(1_000), output: Some(100), ..Behaviour::default() };
    world.providers.set_behaviour(counts);
    world
}

async fn ask(world: &World) -> StatusCode {
    world.post("/v1/chat/completions", &chat()).await.status
}

/// Segments of the journal, and what was put aside of it.
fn segments(world: &World) -> Vec<Utf8PathBuf> {
    let files = world.journal.read_dir_utf8().unwrap().map(|file| file.unwrap().into_path());
    let mut files: Vec<_> = files.filter(|file| file.file_name() != Some("lock")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_full_disk_refuses_calls_and_loses_none() {
    assert!(rustix::process::geteuid().is_root(), "needs root, to mount a small disk");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    // The mount is in a namespace of the child's own and goes with it.
    let script = format!("mount -t tmpfs -o size=64k none '{path}' && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "bad_days::on_a_small_disk", "--nocapture"])
        .env(SMALL_DISK, path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("was full and is not"), "{said}");
}

/// The child of [`a_full_disk_refuses_calls_and_loses_none`]; of no use by itself.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_disk() {
    let Ok(path) = std::env::var(SMALL_DISK) else { return };
    let mut world = world().await;
    world.stop().await;
    world.journal = Utf8Path::new(&path).join("journal");
    world.start().await;
    assert_eq!(ask(&world).await, StatusCode::OK);
    let mut paid = 1;
    let filler = Utf8Path::new(&path).join("filler");
    std::fs::write(&filler, vec![0; 64 * 1024]).unwrap_err();
    // Until no beginning fits any more; of the last ones no end did.
    loop {
        match ask(&world).await {
            StatusCode::OK => paid += 1,
            status => break assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    assert_eq!(ask(&world).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.charged().await, paid * MINI);
    // One that starts now does not come to serve, and says why.
    world.stop().await;
    let error = world.fail().await;
    assert!(matches!(error, RunError::Journal(_)), "{error}");
    std::fs::remove_file(filler).unwrap();
    world.start().await;
    assert_eq!(ask(&world).await, StatusCode::OK);
    // Nobody was refused after anything was sent, and nothing was charged again.
    assert_eq!(world.charged().await, (paid + 1) * MINI);
    assert_eq!(i64::try_from(world.providers.requests().len()).unwrap(), paid + 1);
    assert_eq!(segments(&world).len(), 1);
    world.is_whole().await;
    println!("was full and is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_put_aside_and_charges_nobody_again() {
    let mut world = world().await;
    for _ in 0..3 {
        assert_eq!(ask(&world).await, StatusCode::OK);
    }
    world.stop().await;
    // Each line in turn, the head too, with others around it.
    let [segment] = &segments(&world)[..] else { panic!("{:?}", segments(&world)) };
    let good = std::fs::read(segment).unwrap();
    let lines: Vec<_> = good.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 7);
    for damaged in 0..lines.len() {
        let mut lines: Vec<_> = lines.iter().map(|line| line.to_vec()).collect();
        let middle = lines[damaged].len() / 2;
        lines[damaged][middle] ^= 0x10;
        for path in segments(&world) {
            std::fs::remove_file(path).unwrap();
        }
        std::fs::write(segment, lines.concat()).unwrap();
        std::fs::write(world.journal.join("lost+found"), "no segment").unwrap();
        world.start().await;
        assert_eq!(world.charged().await, 3 * MINI, "line {damaged}");
        world.stop().await;
        let is_aside = segments(&world).iter().any(|path| path.extension() == Some("damaged"));
        assert!(is_aside, "line {damaged}");
    }
    world.start().await;
    assert_eq!(ask(&world).await, StatusCode::OK);
    assert_eq!(world.charged().await, 4 * MINI);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_before_its_account_was_made_is_served_although_calls_of_it_are_left() {
    let mut world = world().await;
    assert_eq!(ask(&world).await, StatusCode::OK);
    world.stop().await;
    assert_eq!(segments(&world).len(), 1);
    world.url = format!("sqlite:{}", world.path("before.db")).parse().unwrap();
    world.start().await;
    world.stop().await;
    // They are kept for the database that knows who pays.
    let is_kept = |path: &Utf8PathBuf| path.extension() == Some("unposted");
    assert!(segments(&world).iter().any(is_kept), "{:?}", segments(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_has_no_directory_ends_the_start() {
    let mut world = world().await;
    world.stop().await;
    world.journal = world.path("no directory");
    std::fs::write(&world.journal, "a file").unwrap();
    let error = world.fail().await;
    assert!(matches!(error, RunError::Journal(_)), "{error}");
}

/// Holds the database of a world against everybody else who writes, until it is let go.
async fn hold_database(world: &World) -> (SyncSender<()>, tokio::task::JoinHandle<()>) {
    let other = Store::open(&world.url, std::sync::Arc::new(SystemClock)).await.unwrap();
    let account = world.account;
    let (has_it, is_held) = tokio::sync::oneshot::channel();
    let (let_go, waits): (SyncSender<()>, Receiver<()>) = sync_channel(1);
    let holding = tokio::spawn(async move {
        let edit = move |_: &_, _: &mut Profile| {
            has_it.send(()).unwrap();
            waits.recv().ok();
            Ok::<_, Infallible>(())
        };
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(other.accounts().change(account, edit))
        })
        .unwrap();
    });
    is_held.await.unwrap();
    (let_go, holding)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_go_on_while_somebody_else_holds_the_database() {
    let world = world().await;
    assert_eq!(ask(&world).await, StatusCode::OK);
    let (let_go, holding) = hold_database(&world).await;
    // What was leased ahead is for some of them; their charges wait.
    for _ in 0..4 {
        assert_eq!(ask(&world).await, StatusCode::OK);
    }
    // And what was not waits for the database, or is refused for the time.
    let large = json!({ "model": "claude-sonnet-4-5", "max_tokens": 20_000,
        "messages": [{ "role": "user", "content": "hello" }] });
    let asking = world.post("/v1/messages", &large);
    let letting_go = async {
        world.providers.requests_when(|all| all.len() >= 5).await;
        drop(let_go);
        holding.await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, letting_go);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let claude = 1_000 * 300 + 100 * 1_500;
    assert_eq!(world.charged().await, 5 * MINI + claude);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_changes_no_charge() {
    let mut world = world().await;
    assert_eq!(ask(&world).await, StatusCode::OK);
    for days in [-1, -400, 40] {
        world.clock.turn(days * DAY);
        assert_eq!(ask(&world).await, StatusCode::OK);
        world.stop().await;
        assert_eq!(world.balance().await.held.micro(), 0);
        world.start().await;
        assert_eq!(ask(&world).await, StatusCode::OK);
    }
    assert_eq!(world.charged().await, 7 * MINI);
    world.is_whole().await;
}
