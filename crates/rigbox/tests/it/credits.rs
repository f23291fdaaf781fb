//! Credits and passwords from the machine's own command line.

use std::{io::Write as _, process::Stdio};

use serde_json::Value;

use crate::world::World;

/// What a command printed, where it was done.
fn done(world: &World, words: &[&str]) -> String {
    let output = world.rigbox(words).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(world: &World, words: &[&str], code: i32) -> String {
    let (ended, said) = world.run(words);
    assert_eq!(ended, code, "{words:?}: {said}");
    said
}

/// Whether a command with this on its standard input was done, and all that it said.
fn with_input(world: &World, words: &[&str], input: &str) -> (bool, String) {
    let mut command = world.rigbox(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn credits_and_passwords_are_given_from_the_machine() {
    let mut world = World::new();
    world.up();
    let words = ["user", "add", "ann@example.com", "--password-stdin"];
    let (made, said) = with_input(&world, &words, "seven lamps on the water\n");
    assert!(made && said.contains("API key"), "{said}");
    assert!(!said.contains("seven lamps") && !said.contains("rbl_"), "{said}");
    let words = ["user", "set-password", "ann@example.com", "--password-stdin"];
    let (set, said) = with_input(&world, &words, "short");
    assert!(!set && said.contains("at least 12 characters"), "{said}");
    let (set, said) = with_input(&world, &words, "nine lamps on the water");
    assert!(set && said.contains("password set"), "{said}");

    let shown = done(&world, &["credits", "show", "ann@example.com"]);
    assert!(shown.contains("250 of 250") && shown.contains("expiring"), "{shown}");
    let gift = ["credits", "add", "ann@example.com", "12.5", "--idempotency-key", "invoice-1"];
    for _ in 0..2 {
        assert!(done(&world, &gift).contains("262.5 of 262.5"));
    }
    let taken = ["credits", "adjust", "ann@example.com", "-0.000001", "--reason", "too many"];
    assert!(done(&world, &taken).contains("262.499999 of 262.499999"));
    refused(&world, &taken[..4], 2);
    refused(&world, &["credits", "add", "ann@example.com", "1.0000001"], 2);
    let more = ["credits", "adjust", "ann@example.com", "-300", "--reason", "so"];
    assert!(refused(&world, &more, 1).contains("at most 262.499999 would have fitted"));
    let nobody = refused(&world, &["credits", "show", "eve@example.com"], 1);
    assert!(nobody.contains("there is no account of eve@example.com"), "{nobody}");

    let statement = ["credits", "statement", "ann@example.com"];
    let table = done(&world, &statement);
    assert!(table.starts_with("WHEN") && table.contains("top_up"), "{table}");
    let csv = done(&world, &[&statement[..], &["--csv"]].concat());
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], "seq,at,kind,credits,balance,reason,actor,key");
    assert!(lines[1].starts_with("3,") && lines[1].contains(",adjustment,-0.000001,262.499999,"));
    assert!(lines[3].contains(",grant,250,250,\"grant of the plan free for "), "{csv}");
    let json = done(&world, &[&statement[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["entries"][1]["key"], "change:invoice-1");
    let record = done(&world, &["audit", "export"]);
    assert!(record.contains("user_credits_change") && !record.contains("lamps"), "{record}");
}
