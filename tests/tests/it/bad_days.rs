//! What breaks under a workspace, and what its user then sees.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, time::Duration};

use rigbox_tests::{
    platform::{BOOT_LIMIT, Options, Platform, text},
    wait,
};
use serde_json::json;

const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";

#[test]
fn a_guest_that_panics_is_booted_again() {
    let platform = Platform::start().unwrap();
    let id = platform.spawn("panics").unwrap();
    let before = platform.sh(&id, BOOT).unwrap().stdout;
    platform.sh(&id, "(sleep 0.2; echo c > /proc/sysrq-trigger) >/dev/null 2>&1 &").ok();
    wait::until(
        "another boot",
        BOOT_LIMIT,
        || Ok(platform.sh(&id, BOOT)?.stdout),
        |now| *now != before,
    )
    .unwrap();
}

#[test]
fn a_guest_that_hangs_at_shutdown_is_ended_all_the_same() {
    let platform = Platform::start().unwrap();
    let id = platform.spawn("hangs").unwrap();
    // Nobody inside hears of the shutdown: the agent and every other process are stopped.
    platform.sh(&id, "(sleep 0.2; kill -STOP -1) >/dev/null 2>&1 &").ok();
    platform.act(&id, "stop").unwrap();
    platform.wait_status(&id, "stopped").unwrap();
}

#[test]
fn a_missing_image_is_told_and_a_retry_works_once_it_is_there() {
    let platform = Platform::start().unwrap();
    let images = platform.data().join("images");
    let aside = platform.data().join("aside");
    let id = platform.create("early").unwrap();
    fs::rename(images.join("tiny"), &aside).unwrap();
    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "failed").unwrap();
    let failure = platform.failure(&id);
    assert_eq!(failure["code"], "image_missing", "{failure}");
    fs::rename(&aside, images.join("tiny")).unwrap();
    platform.act(&id, "retry").unwrap();
    platform.wait_status(&id, "running").unwrap();
}

#[test]
fn a_corrupt_image_is_never_booted() {
    let platform = Platform::start().unwrap();
    let image = fs::read_dir(platform.data().join("images/tiny"))
        .unwrap()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "ext4"))
        .unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(b"not what the manifest says").unwrap();
    drop(file);
    let id = platform.create("never").unwrap();
    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "failed").unwrap();
    assert_eq!(platform.failure(&id)["code"], "image_corrupt");
    assert_eq!(
        platform.client().unwrap().delete(&format!("/workspaces/{id}")).unwrap().status,
        200
    );
    platform.wait_status(&id, "gone").unwrap();
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let first = Platform::start().unwrap();
    let second = Platform::prepare(&Options::default()).unwrap();
    let config = second.data().join("rigbox.toml");
    let words = fs::read_to_string(&config).unwrap();
    let mine = words.lines().find(|line| line.starts_with("listen")).unwrap();
    let taken = first.url().replace("http://", "");
    fs::write(&config, words.replace(mine, &format!("listen = \"{taken}\""))).unwrap();
    let output = second.rigbox(&["up"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let port = taken.rsplit(':').next().unwrap();
    assert!(said.contains(port) && said.contains("listen"), "{said}");
    assert_eq!(second.leftovers().unwrap_or_default(), Vec::<String>::new());
}

#[test]
fn a_start_can_be_cancelled_and_started_again() {
    let platform = Platform::start().unwrap();
    let id = platform.create("wavers").unwrap();
    platform.act(&id, "start").unwrap();
    platform.act(&id, "cancel").unwrap();
    let ended = wait::until(
        "an end of the cancelled start",
        BOOT_LIMIT,
        || platform.status(&id),
        |status| status == "provisioned" || status == "stopped",
    );
    ended.unwrap();
    // The host may still be ending what the first start had begun.
    wait::until("a second start", BOOT_LIMIT, || platform.act(&id, "start"), |()| true).unwrap();
    platform.wait_status(&id, "running").unwrap();
}

#[test]
fn setup_scripts_run_in_order_and_a_failing_one_is_shown() {
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let script = |name: &str, order: i32, content: &str| {
        let body = json!({"name": name, "content": content, "script_order": order});
        let made = client.post("/setup-scripts", &body).unwrap();
        assert_eq!(made.status, 201, "{}", made.text);
        made.text_at("/id")
    };
    let late = script("late", 2, "echo late >> ~/order; exit 4");
    let early = script("early", 1, "echo early >> ~/order");
    let body =
        json!({"name": "scripted", "template_id": "tiny", "setup_script_ids": [late, early]});
    let id = client.post("/workspaces", &body).unwrap().text_at("/vm/id");
    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "running").unwrap();
    let finished = wait::until(
        "both scripts",
        Duration::from_secs(60),
        || Ok(client.get(&format!("/workspaces/{id}"))?.at("/vm/setup")),
        |setup| {
            setup.as_array().is_some_and(|all| {
                all.len() == 2 && all.iter().all(|one| !one["finished_at"].is_null())
            })
        },
    )
    .unwrap();
    assert_eq!((&finished[0]["exit_code"], &finished[1]["exit_code"]), (&json!(0), &json!(4)));
    assert_eq!(platform.sh(&id, "cat /home/developer/order").unwrap().stdout, "early\nlate\n");
}

#[test]
fn a_mistyped_configuration_is_refused_with_the_nearest_key() {
    let platform =
        Platform::prepare(&Options { host: "memroy_mib = 1".into(), ..Options::default() })
            .unwrap();
    let output = platform.rigbox(&["up"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("memory_mib"), "{}", text(&output));
}
