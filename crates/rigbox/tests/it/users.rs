use serde_json::Value;

use crate::world::World;

/// What a command printed on standard output, where it was done.
fn done(world: &World, words: &[&str]) -> String {
    let output = world.rigbox(words).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(world: &World, words: &[&str]) -> String {
    let (code, said) = world.run(words);
    assert_eq!(code, 1, "{words:?}: {said}");
    said
}

#[test]
fn accounts_are_given_changed_and_disabled_from_the_machine() {
    let mut world = World::new();
    assert!(refused(&world, &["user", "ls"]).contains("hint: rigbox up"));
    world.up();

    let made = done(&world, &["user", "add", "Ann@example.com", "--name", "Ann"]);
    let line = |name: &str| {
        let line = made.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    assert_eq!((line("e-mail"), line("plan")), ("ann@example.com".into(), "free".into()));
    assert!(line("API key").starts_with("rb_"), "{made}");
    assert!(line("password").contains("/password?token=rbl_"), "{made}");
    let link = done(&world, &["user", "set-password", "ann@example.com"]);
    assert!(link.trim().starts_with("http://") && !made.contains(link.trim()), "{link}");
    let again = refused(&world, &["user", "add", "ann@example.com"]);
    assert!(again.contains("is taken") && again.contains("hint: rigbox user ls"), "{again}");
    let gold = refused(&world, &["user", "add", "bob@example.com", "--plan", "gold"]);
    assert!(gold.contains("hint: rigbox plan ls"), "{gold}");
    assert_eq!(world.run(&["user", "add", "bob"]).0, 2);

    let listed = done(&world, &["user", "ls"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[1].contains("ann@example.com"), "{listed}");
    assert!(lines[2].contains("operator"), "{listed}");
    let id = line("account");
    let json: Value =
        serde_json::from_str(&done(&world, &["user", "show", &id, "--json"])).unwrap();
    assert_eq!(json["user"]["display_name"], "Ann");

    let changed = done(&world, &["user", "set-plan", "ann@example.com", "pro"]);
    assert!(changed.contains("0 of 10"), "{changed}");
    let disabled = done(&world, &["user", "disable", "ann@example.com"]);
    assert!(disabled.contains("disabled"), "{disabled}");
    let enabled = done(&world, &["user", "enable", "ann@example.com"]);
    assert!(enabled.contains("active"), "{enabled}");
    let nobody = refused(&world, &["user", "show", "eve@example.com"]);
    assert!(nobody.contains("there is no account of eve@example.com"), "{nobody}");

    let plans = done(&world, &["plan", "ls"]);
    assert!(plans.starts_with("LIMIT"), "{plans}");
    let row = plans.lines().find(|line| line.starts_with("max_vms")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["max_vms", "2", "-", "10"]);

    let added = done(&world, &["plan", "add", "team", "max_vms=7", "max_ssh_keys=9"]);
    assert!(added.contains("TEAM") && added.contains("max_vms"), "{added}");
    done(&world, &["user", "set-plan", "ann@example.com", "team"]);
    done(&world, &["plan", "set", "team", "max_vms=8", "max_ssh_keys=none"]);
    let changed = done(&world, &["user", "set-limits", "ann@example.com", "max_disk_per_vm_mb=1"]);
    assert!(changed.contains("0 of 8"), "{changed}");
    let typo = refused(&world, &["plan", "set", "team", "max_vm=8"]);
    assert!(typo.contains("did you mean max_vms?"), "{typo}");
    let used = refused(&world, &["plan", "rm", "team"]);
    assert!(used.contains("give them another one first"), "{used}");
    done(&world, &["user", "set-plan", "ann@example.com", "free"]);
    done(&world, &["plan", "rm", "team"]);
    let kept = refused(&world, &["plan", "rm", "free"]);
    assert!(kept.contains("so it stays"), "{kept}");
    let kept = refused(&world, &["plan", "set", "operator", "max_vms=1"]);
    assert!(kept.contains("the machines' limits"), "{kept}");
}
