//! The image that people work in.

use rigbox_tests::{
    platform::{BOOT_LIMIT, Options, Platform, build_image, image_store},
    wait,
};
use serde_json::json;

/// A platform of this image, with the first workspace if it has a name.
fn platform(first: &str) -> Platform {
    build_image(&image_store().unwrap(), "base").unwrap();
    let options = Options {
        images: vec!["base".to_owned()],
        first: first.to_owned(),
        template: "base".to_owned(),
        // Two disks of this template, which promises 4 GiB to each.
        pool_gib: 12,
        ..Options::default()
    };
    Platform::start_with(&options).unwrap()
}

#[test]
fn base_is_a_whole_debian_with_its_own_identity() {
    let platform = platform("hello");
    let client = platform.client().unwrap();
    let hello = wait::until(
        "the first workspace",
        BOOT_LIMIT,
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
    // Whatever is started once a switch is answered is led to AI, whoever it runs as.
    let config = format!("/workspaces/{hello}/ai-config");
    let on = client.call("PUT", &config, Some(&json!({ "enabled": true }))).unwrap();
    assert_eq!(on.status, 200, "{}", on.text);
    for script in [
        "printenv OPENAI_BASE_URL",
        "su - developer -c 'printenv OPENAI_BASE_URL'",
        "su - root -c 'printenv OPENAI_BASE_URL'",
        "systemd-run -q --pipe -p User=nobody printenv OPENAI_BASE_URL",
    ] {
        check(script, "http://172.16.0.1:9090/v1");
    }
    check("test -s /etc/machine-id && ls /etc/ssh/ssh_host_ed25519_key", "ssh_host_ed25519_key");
    // No secret of the platform inside.
    let key = platform.key().unwrap();
    let search =
        format!("grep -rIl --exclude-dir=proc --exclude-dir=sys -e {key} / 2>/dev/null; echo done");
    assert_eq!(platform.sh(&hello, &search).unwrap().stdout, "done\n");
}

#[test]
fn services_run_and_openssh_takes_the_accounts_keys() {
    let platform = platform("");
    let client = platform.client().unwrap();
    let spec = json!({"name": "web", "exec_start": "/usr/bin/python3 -m http.server 8000",
                      "env_vars": {"GREETING": "a \"b\" 100%"}, "auto_enable": true});
    let made = client.post("/service-specs", &spec).unwrap();
    assert_eq!(made.status, 201, "{}", made.text);
    let preview = made.text_at("/systemd_unit_preview");
    assert!(preview.contains("User=developer") && preview.contains("http.server"), "{preview}");
    let ids: Vec<_> = ["one", "two"]
        .iter()
        .map(|name| {
            let body = json!({"name": name, "template_id": "base",
                              "service_spec_ids": [made.text_at("/id")]});
            let created = client.post("/workspaces", &body).unwrap();
            assert_eq!(created.status, 201, "{}", created.text);
            let id = created.text_at("/vm/id");
            platform.act(&id, "start").unwrap();
            id
        })
        .collect();
    for id in &ids {
        platform.wait_status(id, "running").unwrap();
    }
    let (one, two) = (ids.first().unwrap(), ids.last().unwrap());
    let until = |script: &str, wanted: &str| {
        let seen = || Ok(platform.sh(one, script)?.stdout);
        wait::until(script, BOOT_LIMIT, seen, |seen| seen.contains(wanted)).unwrap();
    };
    until("systemctl is-active rigbox-svc-web", "active\n");
    until("curl -s localhost:8000 | head -n 1", "<!DOCTYPE");
    until(
        "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID rigbox-svc-web)/environ",
        "GREETING=a \"b\" 100%",
    );
    let ports = client.get(&format!("/workspaces/{one}/listening-ports")).unwrap();
    assert!(ports.text.contains("8000") && ports.text.contains("python3"), "{}", ports.text);
    let services = client.get(&format!("/workspaces/{one}/services")).unwrap();
    assert!(services.text.contains("web"), "{}", services.text);

    what_was_started_by_hand_becomes_a_unit(&platform, one);

    // No two workspaces are the same machine.
    for file in ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/hostname"] {
        let of = |id: &str| platform.sh(id, &format!("cat {file}")).unwrap().stdout;
        assert_ne!(of(one), of(two), "{file}");
    }

    // A key of the account opens the guest's own OpenSSH at once.
    let key = platform.sh(one, "ssh-keygen -q -t ed25519 -N '' -f /root/k && cat /root/k.pub");
    let public = key.unwrap().stdout.trim().to_owned();
    let login = "ssh -i /root/k -o StrictHostKeyChecking=no developer@localhost id -un";
    assert_ne!(platform.sh(one, login).unwrap().stdout, "developer\n", "before it is known");
    let added = client.post("/ssh-keys", &json!({"name": "laptop", "public_key": public})).unwrap();
    assert_eq!(added.status, 201, "{}", added.text);
    let synced = client.call("POST", &format!("/workspaces/{one}/ssh-keys/sync"), None).unwrap();
    assert_eq!((synced.status, synced.at("/synced")), (200, json!(1)), "{}", synced.text);
    assert_eq!(platform.sh(one, login).unwrap().stdout, "developer\n");

    a_certificate_opens_the_workspace_that_it_names(&platform, one);

    // A log stream that broke goes on where it was.
    let say = |words: &str| platform.sh(one, &format!("logger -t said {words}")).unwrap();
    let log = format!("/workspaces/{one}/logs");
    let newest = client.get(&format!("{log}?lines=1")).unwrap().text_at("/cursor");
    let log = format!("{log}/stream");
    say("first-words");
    let first = client.follow(&log, &newest, "first-words").unwrap();
    say("second-words");
    let second = client.follow(&log, &first.id, "second-words").unwrap();
    assert!(!second.text.contains("first-words"), "{}", second.text);
}

/// As the agent would tell the server, with an authority of the test's own.
fn a_certificate_opens_the_workspace_that_it_names(platform: &Platform, id: &str) {
    let sh = |script: &str| platform.sh(id, script).unwrap().stdout;
    sh(&format!(
        "cd /root && for key in ca guest; do ssh-keygen -q -t ed25519 -N '' -f $key; done; \
         install -d /etc/ssh/rigbox/principals && cp ca.pub /etc/ssh/rigbox/authority.pub && \
         echo {id} > /etc/ssh/rigbox/principals/developer"
    ));
    let enters = |principal: &str, user: &str| {
        sh(&format!(
            "cd /root && ssh-keygen -q -s ca -I test -n {principal} guest.pub && \
             ssh -i guest -o BatchMode=yes -o StrictHostKeyChecking=no {user}@localhost id -un"
        ))
    };
    assert_eq!(enters(id, "developer"), "developer\n");
    for (principal, user) in
        [("ws-00000000", "developer"), ("developer", "developer"), (id, "root"), ("root", "root")]
    {
        assert_eq!(enters(principal, user), "", "{principal} as {user}");
    }
    sh("rm /etc/ssh/rigbox/authority.pub");
    assert_eq!(enters(id, "developer"), "", "nobody is trusted");
}

/// With its words, its directory and its user.
fn what_was_started_by_hand_becomes_a_unit(platform: &Platform, id: &str) {
    let client = platform.client().unwrap();
    let until = |script: &str, wanted: &str| {
        let seen = || Ok(platform.sh(id, script)?.stdout);
        wait::until(script, BOOT_LIMIT, seen, |seen| seen.contains(wanted)).unwrap();
    };
    let odd = "100% $HOME \"a b\"";
    let by_hand = format!(
        "cd /tmp && SECRET=s TZ=UTC setsid python3 -c 'import sys, http.server as h; \
         h.test(h.SimpleHTTPRequestHandler, port=8100)' '{odd}' >/dev/null 2>&1 &"
    );
    let started = format!("su - developer -c '{}'", by_hand.replace('\'', "'\\''"));
    platform.sh(id, &started).unwrap();
    until("curl -s localhost:8100 | head -n 1", "<!DOCTYPE");
    let wrap = json!({"port": 8100, "step": "wrap", "name": "by-hand"});
    let made = client.post(&format!("/workspaces/{id}/expose-port"), &wrap).unwrap();
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(made.text_at("/service_name"), "rigbox-app-by-hand.service");
    until("systemctl is-active rigbox-app-by-hand", "active\n");
    until("systemctl is-enabled rigbox-app-by-hand", "enabled\n");
    until("curl -s localhost:8100 | head -n 1", "<!DOCTYPE");
    let main = "/proc/$(systemctl show -P MainPID rigbox-app-by-hand)";
    until(&format!("tail -c {} {main}/cmdline | tr '\\0' '\\n'", odd.len() + 1), odd);
    until(&format!("readlink {main}/cwd; stat -c %U {main}"), "/tmp\ndeveloper\n");
    until(&format!("tr '\\0' '\\n' < {main}/environ"), "TZ=UTC");
    until(&format!("grep -c SECRET {main}/environ"), "0\n");
    // One that cannot listen as a unit is told of, and leaves none.
    let needs = "SECRET=s setsid python3 -c 'import os, http.server as h; os.environ[\"SECRET\"]; \
                 h.test(h.SimpleHTTPRequestHandler, port=8101)' >/dev/null 2>&1 &";
    platform.sh(id, needs).unwrap();
    until("curl -s localhost:8101 | head -n 1", "<!DOCTYPE");
    let wrap = json!({"port": 8101, "step": "wrap", "name": "needy"});
    let refused = client.post(&format!("/workspaces/{id}/expose-port"), &wrap).unwrap();
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("KeyError"), "{}", refused.text);
    until("ls /etc/systemd/system | grep -c needy", "0\n");
}
