//! The audit record, as an operator reads it.

use rigbox_tests::platform::Platform;
use serde_json::{Value, json};

/// What `rigbox audit` prints; an error where it says no.
fn audit(platform: &Platform, verb: &[&str]) -> Result<String, String> {
    let output = platform.rigbox(&[&["audit"], verb].concat()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if output.status.success() { Ok(text) } else { Err(text) }
}

#[test]
fn an_operator_verifies_and_exports_the_record() {
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let body = json!({"name": "one", "template_id": "tiny"});
    assert_eq!(client.post("/workspaces", &body).unwrap().status, 201);

    let shown = audit(&platform, &["verify", "--json"]).unwrap();
    let verdict: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(verdict["whole"], true, "{verdict}");
    let kept = format!(
        "{}:{}",
        verdict["last_seq"].as_u64().unwrap(),
        verdict["last_hash"].as_str().unwrap()
    );
    platform.down().unwrap();

    // Without a control the same, and what was kept elsewhere is still there.
    audit(&platform, &["verify", "--kept", &kept]).unwrap();
    let exported = audit(&platform, &["export"]).unwrap();
    let entries: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let made = |entry: &&Value| entry["action"] == "workspace_create";
    let made: Vec<_> = entries.iter().filter(made).map(|entry| &entry["stage"]).collect();
    assert_eq!(made, ["received", "completed"], "{exported}");
    let forged = format!("1:{}", "00".repeat(32));
    let refused = audit(&platform, &["verify", "--kept", &forged]).unwrap_err();
    assert!(refused.contains("kept elsewhere"), "{refused}");
}
