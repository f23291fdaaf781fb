//! The operator's command.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, time::Duration};

use rigbox_certs::{DnsHook, HookError};
use tempfile::TempDir;

fn script(dir: &TempDir, text: &str) -> DnsHook {
    let path = dir.path().join("hook");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let words = [path.to_str().unwrap(), "--zone", "example.com; rm -rf /"];
    DnsHook::new(words.map(str::to_owned).to_vec()).unwrap()
}

#[tokio::test]
async fn it_is_called_with_action_name_and_value_and_nothing_of_our_environment() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let text = format!("printf '%s\\n' \"$@\" >>{0}; env >>{0}", out.display());
    let hook = script(&dir, &text);
    hook.present("_acme-challenge.example.com", "abc").await.unwrap();
    hook.cleanup("_acme-challenge.example.com", "abc").await.unwrap();
    let said = std::fs::read_to_string(out).unwrap();
    let arguments = "--zone\nexample.com; rm -rf /\npresent\n_acme-challenge.example.com\nabc\n";
    assert!(said.starts_with(arguments), "{said}");
    assert!(said.contains("\ncleanup\n") && !said.contains("CARGO"), "{said}");
}

#[tokio::test]
async fn what_it_says_when_it_fails_is_kept_in_part() {
    let dir = TempDir::new().unwrap();
    let hook = script(&dir, "echo 'no such zone' >&2; head -c 1000000 /dev/zero >&2; exit 3");
    let failed = hook.present("n", "v").await.unwrap_err().to_string();
    assert!(failed.contains("present ended with exit status: 3: no such zone"), "{failed}");
    assert!(failed.len() < 4096);
}

#[tokio::test]
async fn it_does_not_wait_for_what_it_left_behind() {
    let dir = TempDir::new().unwrap();
    script(&dir, "sleep 1000 & exit 0").present("n", "v").await.unwrap();
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_with_what_it_started() {
    let dir = TempDir::new().unwrap();
    let hook = script(&dir, "mkfifo $0.pipe; (cat $0.pipe; echo >$0.lived) & wait");
    let failed = hook.within(Duration::from_millis(300)).present("n", "v").await.unwrap_err();
    assert!(matches!(failed, HookError::Slow { .. }), "{failed}");
    // Nobody reads the pipe any more.
    let pipe = dir.path().join("hook.pipe");
    let open = tokio::net::unix::pipe::OpenOptions::new();
    while open.open_sender(&pipe).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!dir.path().join("hook.lived").exists());
}

#[test]
fn it_has_an_absolute_path() {
    assert!(DnsHook::new(vec!["hook".to_owned()]).is_err());
    assert!(DnsHook::new(Vec::new()).is_err());
}
