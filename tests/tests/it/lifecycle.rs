//! From create to gone.

use std::process::Stdio;

use rigbox_tests::platform::Platform;
use serde_json::json;

#[test]
fn a_workspace_is_created_started_entered_stopped_and_deleted() {
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let created =
        client.post("/workspaces", &json!({"name": "one", "template_id": "tiny"})).unwrap();
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(created.text_at("/vm/status"), "provisioned");
    let id = created.text_at("/vm/id");

    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "running").unwrap();
    // Its own kernel, its own ext4 disk, root inside.
    let inside = platform.sh(&id, "uname -r; id -u; grep ' / ' /proc/mounts | tail -n 1").unwrap();
    let host_kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let lines: Vec<_> = inside.stdout.lines().collect();
    assert_ne!(lines[0], host_kernel.trim(), "the guest has a kernel of its own");
    assert_eq!(lines[1], "0");
    assert!(lines[2].contains(" ext4 "), "{}", lines[2]);

    // A stop keeps the disk.
    platform.sh(&id, "echo kept > /root/kept; sync").unwrap();
    platform.act(&id, "stop").unwrap();
    platform.wait_status(&id, "stopped").unwrap();
    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "running").unwrap();
    assert_eq!(platform.sh(&id, "cat /root/kept").unwrap().stdout, "kept\n");

    let deleted = client.delete(&format!("/workspaces/{id}")).unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    platform.wait_status(&id, "gone").unwrap();
    platform.down().unwrap();
    assert_eq!(platform.leftovers().unwrap(), Vec::<String>::new());
}

#[test]
fn a_disk_that_was_made_larger_is_larger_inside() {
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let id = platform.spawn("one").unwrap();
    let size_kib = || -> u64 {
        let shown = platform.sh(&id, "df -k / | tail -n 1").unwrap().stdout;
        shown.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before_kib = size_kib();
    platform.sh(&id, "echo kept > /root/kept; sync").unwrap();
    platform.act(&id, "stop").unwrap();
    platform.wait_status(&id, "stopped").unwrap();
    let size_mb = client.get(&format!("/workspaces/{id}")).unwrap().at("/vm/disk_size_mb");
    let larger = json!({"disk_size_mb": 3 * size_mb.as_u64().unwrap()});
    let changed = client.call("PUT", &format!("/workspaces/{id}/resources"), Some(&larger));
    assert_eq!(changed.unwrap().status, 200);
    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "running").unwrap();
    assert!(size_kib() > 2 * before_kib, "{before_kib} {}", size_kib());
    assert_eq!(platform.sh(&id, "cat /root/kept").unwrap().stdout, "kept\n");
}

#[test]
fn a_restart_boots_again_and_a_guest_that_reboots_comes_back() {
    let platform = Platform::start().unwrap();
    let id = platform.spawn("one").unwrap();
    let boot = |platform: &Platform| {
        platform.sh(&id, "cat /proc/sys/kernel/random/boot_id").map(|shell| shell.stdout)
    };
    let first = boot(&platform).unwrap();
    platform.act(&id, "restart").unwrap();
    platform.wait_status(&id, "running").unwrap();
    let second = boot(&platform).unwrap();
    assert_ne!(first, second);
    // The answer may be lost with the guest.
    platform.sh(&id, "(sleep 0.2; reboot -f) >/dev/null 2>&1 &").ok();
    let third = rigbox_tests::wait::until(
        "another boot",
        rigbox_tests::platform::BOOT_LIMIT,
        || boot(&platform),
        |seen| *seen != second,
    );
    assert_ne!(third.unwrap(), second);
}

#[test]
fn rig_does_the_same_by_name() {
    let platform = Platform::start().unwrap();
    let rig = |args: &[&str]| platform.rig(args).unwrap();
    let spawned = rig(&["workspace", "spawn", "--name", "my-ws", "--template", "tiny"]);
    assert!(spawned.status.success(), "{}", rigbox_tests::platform::text(&spawned));
    let listed = rig(&["workspace", "ls"]);
    let table = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(table.contains("my-ws") && table.contains("running"), "{table}");
    // Output, error output and exit code are the command's.
    let ran = rig(&["exec", "my-ws", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "out\n");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("err"));
    // A file goes in and comes back as it was.
    let file = platform.data().join("file");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let back = platform.data().join("back");
    assert!(rig(&["cp", file.to_str().unwrap(), "my-ws:/home/developer/file"]).status.success());
    assert!(rig(&["cp", "my-ws:/home/developer/file", back.to_str().unwrap()]).status.success());
    assert!(std::fs::read(&back).unwrap() == bytes, "the file came back changed");
    assert!(rig(&["workspace", "stop", "my-ws"]).status.success());
    let again = rig(&["workspace", "stop", "my-ws"]);
    assert_eq!(again.status.code(), Some(1), "a second stop is refused");
    assert!(rig(&["workspace", "rm", "my-ws", "--force"]).status.success());
}

#[test]
fn rig_shell_is_a_terminal_in_the_workspace() {
    let platform = Platform::start().unwrap();
    platform.spawn("term").unwrap();
    // `script` gives the shell a real terminal, as a person's would be.
    let rig = platform.rig_command(&["shell", "term"]).unwrap();
    let line = std::iter::once(rig.get_program())
        .chain(rig.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    for (key, value) in rig.get_envs() {
        if let Some(value) = value {
            script.env(key, value);
        }
    }
    let mut child = script.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"tty; echo six-$((2*3)); exit 5\n").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("six-6"), "{text}");
    assert!(text.contains("/dev/pts/"), "{text}");
    assert_eq!(output.status.code(), Some(5), "{text}");
}
