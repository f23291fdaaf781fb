//! The contract's workspace calls with curl: statuses, states and errors as documented.

use rigbox_tests::{client::Client, platform::Platform};
use serde_json::{Value, json};

/// Calls and checks status and error code; an empty code means that it is no error.
fn check(client: &Client, method: &str, path: &str, body: Option<&Value>, expected: (u16, &str)) {
    let answer = client.call(method, path, body).unwrap();
    let seen = (answer.status, answer.text_at("/error/code"));
    assert_eq!((seen.0, seen.1.as_str()), expected, "{method} {path}: {}", answer.text);
    assert!(answer.headers.contains("x-request-id:"), "{method} {path}: {}", answer.headers);
    if answer.status >= 400 {
        assert!(!answer.text_at("/error/message").is_empty(), "{method} {path}: {}", answer.text);
    }
}

#[test]
fn statuses_states_and_errors_are_as_documented() {
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let anonymous = client.with_key(None);

    for path in ["/capacity", "/templates", "/openapi.json"] {
        check(&anonymous, "GET", path, None, (200, ""));
    }
    for path in ["/workspaces", "/users/me/limits", "/setup-scripts", "/nonsense"] {
        let expected =
            if path == "/nonsense" { (404, "not_found") } else { (401, "unauthenticated") };
        check(&anonymous, "GET", path, None, expected);
    }
    check(&client.with_key(Some("rb_wrong")), "GET", "/workspaces", None, (401, "unauthenticated"));
    for path in ["/workspaces/ws-00000000", "/workspaces/nonsense"] {
        check(&client, "GET", path, None, (404, "not_found"));
    }

    let bad = [
        json!({}),
        json!({"name": ""}),
        json!({"name": "Upper"}),
        json!({"name": "a", "nmae": 1}),
        json!({"name": 7}),
        json!({"name": "a", "ram_mb": -1}),
        json!({"name": "a", "ram_mb": 1}),
        json!({"name": "a", "vcpu_count": 0}),
        json!({"name": "a", "template_id": "none-such"}),
        json!({"name": "a", "env_vars": {"A=B": "c"}}),
        json!([]),
        json!("text"),
    ];
    for body in &bad {
        check(&client, "POST", "/workspaces", Some(body), (400, "invalid_request"));
    }
    let huge = json!({"name": "a", "env_vars": {"A": "x".repeat(2_000_000)}});
    check(&client, "POST", "/workspaces", Some(&huge), (413, "too_large"));
    let cut = client.call_raw("POST", "/workspaces", Some(b"{\"name\":"), &[]).unwrap();
    assert_eq!((cut.status, cut.text_at("/error/code").as_str()), (400, "invalid_request"));

    let id = platform.create("one").unwrap();
    let at = |rest: &str| format!("/workspaces/{id}{rest}");
    check(
        &client,
        "POST",
        "/workspaces",
        Some(&json!({"name": "one", "template_id": "tiny"})),
        (409, "conflict"),
    );
    check(&client, "POST", &at("/stop"), None, (400, "invalid_state"));
    check(&client, "POST", &at("/cancel"), None, (409, "invalid_state"));
    check(&client, "POST", &at("/retry"), None, (409, "invalid_state"));
    check(
        &client,
        "PUT",
        &at("/resources"),
        Some(&json!({"disk_size_mb": 1})),
        (400, "invalid_request"),
    );
    check(&client, "PUT", &at("/resources"), Some(&json!({"ram_mb": 320})), (200, ""));
    check(&client, "PUT", &at(""), None, (405, "invalid_request"));

    platform.act(&id, "start").unwrap();
    platform.wait_status(&id, "running").unwrap();
    check(&client, "POST", &at("/start"), None, (400, "invalid_state"));
    check(&client, "PUT", &at("/resources"), Some(&json!({"ram_mb": 256})), (400, "invalid_state"));
    let vm = client.get(&at("")).unwrap();
    assert_eq!(vm.at("/vm/ram_mb"), 320);
    assert_eq!(vm.text_at("/vm/ip_address"), "172.16.0.2");
    assert_eq!(vm.at("/failure"), Value::Null);
    inside(&platform, &client, &id);
    check(&client, "DELETE", &at(""), None, (200, ""));
    platform.wait_status(&id, "gone").unwrap();
}

/// What needs a running guest.
fn inside(platform: &Platform, client: &Client, id: &str) {
    let at = |rest: &str| format!("/workspaces/{id}{rest}");
    check(
        client,
        "POST",
        &at("/env"),
        Some(&json!({"env_vars": {"GREETING": "it's \"me\" $HOME"}})),
        (200, ""),
    );
    rigbox_tests::wait::until(
        "the environment inside",
        std::time::Duration::from_secs(30),
        || Ok(platform.sh(id, "cat /home/developer/.rigbox/.env")?.stdout),
        |shown| shown.contains("GREETING"),
    )
    .unwrap();

    // A file, atomic and with its mode.
    let path = at("/files?path=/home/developer/note.txt&mode=0640");
    let put = client.call_raw("PUT", &path, Some(b"one\ntwo\n"), &[]).unwrap();
    assert!(put.status < 300, "{}", put.text);
    let got = client.get(&at("/files?path=/home/developer/note.txt")).unwrap();
    assert_eq!((got.status, got.text.as_str()), (200, "one\ntwo\n"));
    assert_eq!(platform.sh(id, "stat -c %a /home/developer/note.txt").unwrap().stdout, "640\n");
    let listed = client.get(&at("/files/list?path=/home/developer")).unwrap();
    assert!(listed.text.contains("note.txt"), "{}", listed.text);
    check(client, "GET", &at("/files?path=/none/such"), None, (404, "not_found"));
    let removed = client.delete(&at("/files?path=/home/developer/note.txt")).unwrap();
    assert!(removed.status < 300, "{}", removed.text);

    // Exec: exit code, both outputs, a time-out, and a stream.
    let shell = platform.sh(id, "echo out; echo err >&2; exit 3").unwrap();
    assert_eq!(
        (shell.exit_code, shell.stdout.as_str(), shell.stderr.as_str()),
        (Some(3), "out\n", "err\n")
    );
    let body = json!({"command": ["sh", "-c", "echo a; echo b"], "stream": true});
    let stream = client.post(&at("/exec"), &body).unwrap();
    assert_eq!(stream.status, 200, "{}", stream.text);
    assert!(stream.text.lines().count() >= 2, "{}", stream.text);
    for bad in [
        json!({"command": []}),
        json!({"command": "text"}),
        json!({"command": ["a"], "tiemout_s": 1}),
    ] {
        check(client, "POST", &at("/exec"), Some(&bad), (400, "invalid_request"));
    }

    platform.sh(id, "httpd -p 8123 -h /tmp").unwrap();
    let ports = client.get(&at("/listening-ports")).unwrap();
    assert!(ports.text.contains("8123"), "{}", ports.text);
    let metrics = client.get(&at("/metrics")).unwrap();
    assert!(metrics.at("/ram_total_mb").as_u64().unwrap() > 100, "{}", metrics.text);
    let logs = client.get(&at("/logs?lines=10")).unwrap();
    assert_eq!(logs.status, 200, "{}", logs.text);
    check(client, "GET", &at("/logs?lines=5001"), None, (400, "invalid_request"));
}

#[test]
fn lists_are_paged_and_an_idempotency_key_is_kept() {
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let body = json!({"name": "once", "template_id": "tiny"}).to_string();
    let key = ["Idempotency-Key: first"];
    let first = client.call_raw("POST", "/workspaces", Some(body.as_bytes()), &key).unwrap();
    let again = client.call_raw("POST", "/workspaces", Some(body.as_bytes()), &key).unwrap();
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text_at("/vm/id"), again.text_at("/vm/id"));
    let other = json!({"name": "twice", "template_id": "tiny"}).to_string();
    let conflict = client.call_raw("POST", "/workspaces", Some(other.as_bytes()), &key).unwrap();
    assert_eq!((conflict.status, conflict.text_at("/error/code").as_str()), (409, "conflict"));

    for n in 0..4 {
        platform.create(&format!("n-{n}")).unwrap();
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/workspaces?max_results=2{cursor}")).unwrap();
        assert_eq!(page.status, 200, "{}", page.text);
        let vms = page.at("/vms").as_array().cloned().unwrap();
        assert!(vms.len() <= 2);
        names.extend(vms.iter().map(|vm| vm["name"].as_str().unwrap().to_owned()));
        match page.at("/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["n-3", "n-2", "n-1", "n-0", "once"], "newest first, each once");
    check(&client, "GET", "/workspaces?cursor=nonsense", None, (400, "invalid_request"));
    check(&client, "GET", "/workspaces?max_results=201", None, (400, "invalid_request"));
}
