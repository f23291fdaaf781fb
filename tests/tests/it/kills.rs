//! `kill -9` of every process of the platform, in any order, while users work.
#![expect(clippy::indexing_slicing, reason = "a test fails loudly")]
#![expect(clippy::print_stderr, reason = "a failing order is run again by its seed")]

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rigbox_tests::{
    client::Answer,
    platform::{BOOT_LIMIT, Platform, START_LIMIT},
    wait,
};
use serde_json::json;

/// How many processes are killed, and how many operations users do meanwhile.
const KILLS: usize = 50;
/// See [`KILLS`].
const OPERATIONS: usize = 20;

/// A small generator (xorshift) with a printed seed: a failing order can be run again with
/// `RIGBOX_TEST_SEED`.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("RIGBOX_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
        eprintln!("RIGBOX_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

/// Calls until the API answers with something that is not its own trouble.
fn insist(platform: &Platform, method: &str, path: &str, body: Option<&str>, key: &str) -> Answer {
    let header = format!("Idempotency-Key: {key}");
    wait::until(
        &format!("{method} {path}"),
        START_LIMIT,
        || {
            let client = platform.client()?;
            client.call_raw(method, path, body.map(str::as_bytes), &[header.as_str()])
        },
        |answer| answer.status < 500,
    )
    .unwrap()
}

/// The value of the drift metric.
fn drift(platform: &Platform) -> anyhow::Result<String> {
    let output = platform.rigbox(&["status", "--metrics"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("rigbox_host_drift"));
    Ok(line.unwrap_or_default().to_owned())
}

#[test]
fn fifty_kills_during_twenty_operations_lose_nothing_and_leak_nothing() {
    let platform = Platform::start().unwrap();
    let witness = platform.spawn("witness").unwrap();
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let before = platform.sh(&witness, boot).unwrap().stdout;
    let killed = AtomicUsize::new(0);

    let wanted = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut dice = Dice::new();
            while killed.load(Ordering::Relaxed) < KILLS {
                kill_one(&platform, dice.below(5));
                killed.fetch_add(1, Ordering::Relaxed);
            }
        });
        let wanted = operations(&platform);
        killer.join().unwrap();
        wanted
    });

    for (id, status) in &wanted {
        wait::until(id, BOOT_LIMIT, || platform.status(id), |seen| seen == status).unwrap();
    }
    // Nobody is there who was not asked for, or asked for once and made twice.
    let listed = platform.client().unwrap().get("/workspaces?max_results=200").unwrap();
    let live = wanted.values().filter(|status| **status != "gone").count();
    assert_eq!(listed.at("/vms").as_array().unwrap().len(), live + 1, "{}", listed.text);
    let after = wait::until(
        "the witness to answer",
        BOOT_LIMIT,
        || Ok(platform.sh(&witness, boot)?.stdout),
        |_| true,
    );
    assert_eq!(after.unwrap(), before, "the witness lived through it");
    wait::until(
        "no drift",
        Duration::from_secs(120),
        || drift(&platform),
        |line| line.ends_with(" 0"),
    )
    .unwrap();
    platform.down().unwrap();
    assert_eq!(platform.leftovers().unwrap(), Vec::<String>::new());
}

/// Kills one process, chosen by a number below five, and sees it come back. The supervisor is killed
/// half as often as each role, because everything of the platform ends with it.
fn kill_one(platform: &Platform, choice: usize) {
    let role = match choice {
        0 => {
            platform.kill_supervisor().unwrap();
            return platform.up().unwrap();
        }
        1 | 2 => "control",
        _ => "host",
    };
    let before = wait::until(role, START_LIMIT, || platform.role(role), |_| true).unwrap();
    platform.kill_role(role).unwrap();
    wait::until(role, START_LIMIT, || platform.role(role), |now| *now != before).unwrap();
}

/// Does the operations and returns where each workspace should end.
fn operations(platform: &Platform) -> HashMap<String, &'static str> {
    let mut dice = Dice::new();
    let mut wanted: HashMap<String, &'static str> = HashMap::new();
    for n in 0..OPERATIONS {
        let live: Vec<_> = wanted
            .iter()
            .filter(|(_, status)| **status != "gone")
            .map(|(id, _)| id.clone())
            .collect();
        let key = format!("kills-{}-{n}", std::process::id());
        if live.len() < 3 {
            let body = json!({"name": format!("k-{n}"), "template_id": "tiny"}).to_string();
            let made = insist(platform, "POST", "/workspaces", Some(&body), &key);
            assert_eq!(made.status, 201, "{}", made.text);
            wanted.insert(made.text_at("/vm/id"), "provisioned");
            continue;
        }
        let id = live[dice.below(live.len())].clone();
        let (method, path, status) = match (wanted[&id], dice.below(4)) {
            ("running", 0) => ("DELETE", format!("/workspaces/{id}?force=true"), "gone"),
            ("running", _) => ("POST", format!("/workspaces/{id}/stop"), "stopped"),
            (_, 0) => ("DELETE", format!("/workspaces/{id}"), "gone"),
            _ => ("POST", format!("/workspaces/{id}/start"), "running"),
        };
        // A start or stop is refused while the one before is under way: a user waits for it.
        let settled = ["provisioned", "running", "stopped", "failed", "gone"];
        wait::until(
            &id,
            BOOT_LIMIT,
            || platform.status(&id),
            |seen| settled.contains(&seen.as_str()),
        )
        .unwrap();
        let answer = insist(platform, method, &path, None, &key);
        // The answer to a first try may have been lost with its process: then it is done already.
        let done = answer.text_at("/error/code") == "invalid_state" || answer.status == 404;
        assert!(answer.status == 200 || done, "{method} {path}: {} {}", answer.status, answer.text);
        wanted.insert(id, status);
    }
    wanted
}
