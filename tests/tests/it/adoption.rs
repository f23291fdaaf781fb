//! Workspaces outlive every process of the platform.

use rigbox_tests::{
    platform::{BOOT_LIMIT, Platform, text},
    wait,
};

fn boot_id(platform: &Platform, id: &str) -> String {
    // A host that has just started answers in a moment: users ask again, and so does this.
    let ask = || Ok(platform.sh(id, "cat /proc/sys/kernel/random/boot_id")?.stdout);
    wait::until("an answer from inside", BOOT_LIMIT, ask, |_| true).unwrap()
}

#[test]
fn ctrl_c_leaves_workspaces_running_and_the_next_up_adopts_them() {
    let platform = Platform::start().unwrap();
    let id = platform.spawn("stays").unwrap();
    let before = boot_id(&platform, &id);
    let status = platform.rigbox(&["status"]).output().unwrap();
    assert!(status.status.success(), "{}", text(&status));
    assert!(text(&status).contains("1 running") && text(&status).contains("drift"), "{status:?}");
    platform.interrupt().unwrap();
    let status = platform.rigbox(&["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(1), "{}", text(&status));
    platform.up().unwrap();
    platform.wait_status(&id, "running").unwrap();
    assert_eq!(boot_id(&platform, &id), before, "the same boot, not another one");
    platform.down().unwrap();
    assert_eq!(platform.leftovers().unwrap(), Vec::<String>::new());
}

#[test]
fn a_killed_supervisor_loses_nothing() {
    let platform = Platform::start().unwrap();
    let id = platform.spawn("stays").unwrap();
    let before = boot_id(&platform, &id);
    platform.kill_supervisor().unwrap();
    platform.up().unwrap();
    platform.wait_status(&id, "running").unwrap();
    assert_eq!(boot_id(&platform, &id), before);
    platform.down().unwrap();
    assert_eq!(platform.leftovers().unwrap(), Vec::<String>::new());
}

#[test]
fn a_killed_vmm_is_booted_again() {
    let platform = Platform::start().unwrap();
    let id = platform.spawn("comes-back").unwrap();
    let before = boot_id(&platform, &id);
    let (vmm, _) = rigbox_tests::machine::processes()
        .unwrap()
        .into_iter()
        .find(|(_, command)| {
            let first = command.split(' ').next().unwrap_or_default();
            (first.contains("qemu-system") || first.contains("firecracker"))
                && command.contains(&id)
        })
        .unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(vmm).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    wait::until(
        "another boot",
        BOOT_LIMIT,
        || Ok(platform.sh(&id, "cat /proc/sys/kernel/random/boot_id")?.stdout),
        |now| *now != before,
    )
    .unwrap();
}

#[test]
fn a_second_platform_on_the_same_data_is_refused() {
    let platform = Platform::start().unwrap();
    let second = platform.rigbox(&["up"]).output().unwrap();
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains("another"), "{words}");
    assert_eq!(platform.client().unwrap().get("/workspaces").unwrap().status, 200);
}
