//! The image that people work in.

use rigbox_tests::platform::{Options, Platform, build_image, image_store};

#[test]
fn base_is_a_whole_debian_with_its_own_identity() {
    build_image(&image_store().unwrap(), "base").unwrap();
    let options = Options {
        images: vec!["base".to_owned()],
        first: "hello".to_owned(),
        template: "base".to_owned(),
        ..Options::default()
    };
    let platform = Platform::start_with(&options).unwrap();
    let client = platform.client().unwrap();
    let hello = rigbox_tests::wait::until(
        "the first workspace",
        rigbox_tests::platform::BOOT_LIMIT,
        || Ok(client.get("/workspaces")?.text_at("/vms/0/id")),
        |id| !id.is_empty(),
    )
    .unwrap();
    platform.wait_status(&hello, "running").unwrap();
    let check = |script: &str, expected: &str| {
        let ran = platform.sh(&hello, script).unwrap();
        assert!(ran.stdout.contains(expected), "{script}: {ran:?}");
    };
    check("systemctl is-system-running --wait", "running");
    check("findmnt -n -o FSTYPE /", "ext4");
    check("su - developer -c 'sudo -n id -un'", "root");
    check("hostname", "hello");
    check("cat /etc/rigbox/workspace.json", &hello);
    check("systemctl is-active ssh", "active");
    check("ss -ltn 'sport = :22'", ":22");
    for tool in [
        "git", "curl", "jq", "rsync", "tmux", "vim", "pip3", "node", "npm", "sqlite3", "gcc",
        "make", "sshd",
    ] {
        check(&format!("PATH=$PATH:/usr/sbin command -v {tool}"), tool);
    }
    check(
        "su - developer -c 'python3 -m venv /tmp/v && /tmp/v/bin/python -c \"print(6*7)\"'",
        "42",
    );
    check("su - developer -c 'rig whoami'", &hello);
    check("test -s /etc/machine-id && ls /etc/ssh/ssh_host_ed25519_key", "ssh_host_ed25519_key");
    // No secret of the platform inside.
    let key = platform.key().unwrap();
    let search =
        format!("grep -rIl --exclude-dir=proc --exclude-dir=sys -e {key} / 2>/dev/null; echo done");
    assert_eq!(platform.sh(&hello, &search).unwrap().stdout, "done\n");
}
