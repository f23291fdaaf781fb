//! The whole platform backed up while it runs, and restored where there is none.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::Context as _;
use rigbox_tests::{
    client::Client,
    platform::{BOOT_LIMIT, Platform, text},
    wait,
};
use serde_json::{Value, json};

fn backup(platform: &Platform, to: &Path) -> Value {
    let words = ["backup", to.to_str().unwrap(), "--with-images", "--json"];
    let output = platform.rigbox(&words).output().unwrap();
    assert!(output.status.success(), "{}\n{}", text(&output), platform.story());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn whole(platform: &Platform) -> bool {
    let output = platform.rigbox(&["audit", "verify", "--json"]).output().unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    verdict.pointer("/whole") == Some(&Value::Bool(true))
}

/// Waits until a workspace runs here: until its host has looked, its status is that of the backup.
fn answers(platform: &Platform, id: &str) {
    let answer = wait::until(id, BOOT_LIMIT, || platform.sh(id, "echo here"), |_| true);
    let story = || format!("{}\n{}", platform.failure(id), platform.story());
    answer.with_context(story).unwrap();
}

/// What a backup says of a workspace's disk.
fn disk<'v>(backup: &'v Value, id: &str) -> &'v Value {
    let all = backup.pointer("/workspaces").and_then(Value::as_array).unwrap();
    let is_it = |workspace: &&Value| workspace.pointer("/id").and_then(Value::as_str) == Some(id);
    all.iter().find(is_it).and_then(|workspace| workspace.pointer("/disk")).unwrap()
}

#[test]
fn a_platform_of_two_accounts_is_restored_on_a_clean_machine_and_goes_on() {
    let platform = Platform::start().unwrap();
    let operator = platform.client().unwrap();
    // One workspace of the operator's, running, with a script; one of another account, stopped.
    let script = json!({"name": "mark", "content": "echo once >> ~/ran"});
    let script = operator.post("/setup-scripts", &script).unwrap();
    assert_eq!(script.status, 201, "{}", script.text);
    let body = json!({
        "name": "one", "template_id": "tiny", "setup_script_ids": [script.at("/id")],
    });
    let one = operator.post("/workspaces", &body).unwrap();
    assert_eq!(one.status, 201, "{}", one.text);
    let one = one.text_at("/vm/id");
    let account = json!({"email": "ann@example.com", "plan": "pro", "api_key": true});
    let account = operator.post("/users", &account).unwrap();
    assert_eq!(account.status, 201, "{}", account.text);
    let key = account.text_at("/api_key");
    let ann = operator.with_key(Some(&key));
    let two = ann.post("/workspaces", &json!({"name": "two", "template_id": "tiny"})).unwrap();
    let two = two.text_at("/vm/id");
    let sh = |client: &Client, id: &str, script: &str| {
        let body = json!({"command": ["/bin/sh", "-c", script], "user": "root"});
        let answer = client.post(&format!("/workspaces/{id}/exec"), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text_at("/stdout")
    };
    for (client, id) in [(&operator, &one), (&ann, &two)] {
        client.post(&format!("/workspaces/{id}/start"), &json!({})).unwrap();
        platform.wait_status(id, "running").unwrap();
    }
    sh(&ann, &two, "echo of two > /root/kept; sync");
    ann.post(&format!("/workspaces/{two}/stop"), &json!({})).unwrap();
    platform.wait_status(&two, "stopped").unwrap();
    let never = platform.create("never-started").unwrap();

    // Not written out by anybody but the backup.
    let ran = || Ok(sh(&operator, &one, "cat /home/developer/ran"));
    wait::until("the script", BOOT_LIMIT, ran, |ran| ran == "once\n").unwrap();
    sh(&operator, &one, "echo of one > /root/kept");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("platform.tar.zst");
    let made = backup(&platform, &file);
    assert_eq!(disk(&made, &one), "frozen", "{made}");
    assert_eq!(disk(&made, &two), "at_rest", "{made}");
    assert_eq!(disk(&made, &never), "none", "{made}");
    // The guest goes on, and what it does now is not in the backup.
    sh(&operator, &one, "echo late > /root/late; sync");
    // Disks of hundreds of megabytes with a few of data.
    let size = std::fs::metadata(&file).unwrap().len();
    let disks = made["disk_bytes"].as_u64().unwrap();
    assert!(size < 1 << 30 && disks < 1 << 30, "{size} {disks}");
    platform.down().unwrap();
    // Also where nothing runs; and nothing of it stays on the machine.
    let at_rest = backup(&platform, &folder.path().join("at-rest.tar.zst"));
    assert_eq!(disk(&at_rest, &one), "at_rest", "{at_rest}");
    assert_eq!(platform.leftovers().unwrap(), Vec::<String>::new());

    let restored = platform.restored(&file).unwrap();
    assert!(whole(&restored));
    restored.up().unwrap();
    // Nobody starts it: it was running.
    answers(&restored, &one);
    let operator = restored.client().unwrap();
    assert_eq!(
        sh(&operator, &one, "cat /root/kept /home/developer/ran; ls /root/late"),
        "of one\nonce\n"
    );
    let ann = operator.with_key(Some(&key));
    assert_eq!(ann.get(&format!("/workspaces/{two}")).unwrap().text_at("/vm/status"), "stopped");
    assert_eq!(ann.get(&format!("/workspaces/{one}")).unwrap().status, 404);
    assert_eq!(ann.post(&format!("/workspaces/{two}/start"), &json!({})).unwrap().status, 200);
    restored.wait_status(&two, "running").unwrap();
    assert_eq!(sh(&ann, &two, "cat /root/kept"), "of two\n");
    assert_eq!(restored.status(&never).unwrap(), "provisioned");
    assert!(whole(&restored));
    restored.down().unwrap();
    assert_eq!(restored.leftovers().unwrap(), Vec::<String>::new());
}

#[test]
fn a_backup_amid_changes_or_killed_leaves_every_workspace_startable() {
    let platform = Platform::start().unwrap();
    let kept = platform.spawn("kept").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copies = platform.data().join("pool/backup");

    // Killed while the guest holds still, or a little before or after.
    for _ in 0..3 {
        let file = folder.path().join("killed");
        let mut killed = platform.rigbox(&["backup", file.to_str().unwrap()]).spawn().unwrap();
        let seen = wait::until(
            "copies of disks",
            BOOT_LIMIT,
            || Ok(copies.exists() || killed.try_wait()?.is_some()),
            |seen| *seen,
        );
        seen.unwrap();
        killed.kill().unwrap();
        let is_whole = killed.wait().unwrap().success();
        assert_eq!(file.exists(), is_whole);
        std::fs::remove_file(&file).ok();
        // The guest writes, at once.
        assert_eq!(
            platform.sh(&kept, "echo on > /root/on; sync; cat /root/on").unwrap().stdout,
            "on\n"
        );
        let gone = |there: &bool| !*there;
        wait::until("the end of the copies", BOOT_LIMIT, || Ok(copies.exists()), gone).unwrap();
    }

    let stop = AtomicBool::new(false);
    let made = thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                let id = platform.create(&format!("short-{count}")).unwrap();
                platform.act(&id, "start").unwrap();
                let deleted =
                    platform.client().unwrap().delete(&format!("/workspaces/{id}?force=true"));
                assert_eq!(deleted.unwrap().status, 200);
                // The machine has room for some of them at once only.
                platform.wait_status(&id, "gone").unwrap();
            }
        });
        let made: Vec<Value> =
            (0..2).map(|n| backup(&platform, &folder.path().join(format!("amid-{n}")))).collect();
        stop.store(true, Ordering::Relaxed);
        made
    });
    assert!(made.iter().all(|made| disk(made, &kept) == "frozen"), "{made:?}");
    platform.down().unwrap();

    let restored = platform.restored(&folder.path().join("amid-1")).unwrap();
    restored.up().unwrap();
    answers(&restored, &kept);
    assert_eq!(restored.sh(&kept, "cat /root/on").unwrap().stdout, "on\n");
    // Each other one is deleted to its end, or can be.
    let all = restored.client().unwrap().get("/workspaces").unwrap();
    for vm in all.at("/vms").as_array().unwrap() {
        let id = vm["id"].as_str().unwrap();
        if id != kept {
            restored.client().unwrap().delete(&format!("/workspaces/{id}?force=true")).unwrap();
            restored.wait_status(id, "gone").unwrap();
        }
    }
    restored.down().unwrap();
    assert_eq!(restored.leftovers().unwrap(), Vec::<String>::new());
}
