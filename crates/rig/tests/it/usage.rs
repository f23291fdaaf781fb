//! Help, wrong use and completion.

use crate::world::World;

#[test]
fn wrong_use_ends_with_two_and_says_what_is_right() {
    let world = World::new();
    for (line, error, hint) in [
        ("workspce ls", "unrecognized subcommand 'workspce'", "rig workspace ls"),
        ("ls --limt 3", "unexpected argument '--limt' found", "rig ls --limit 3"),
        ("templates -o jso", "invalid value 'jso'", "rig templates -o json"),
        ("exec demo ls -la", "unexpected argument 'ls' found", "rig exec demo -- ls -la"),
        ("shell", "the following required arguments were not provided", "rig shell --help"),
        ("workspace new demo --ram 1.5G", "invalid value '1.5G'", "rig workspace new --help"),
    ] {
        let ended = world.rig(line);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("error: {error}")), "{ended:?}");
        assert!(ended.stderr.contains(&format!("\nhint: {hint}\n")), "{ended:?}");
    }
    assert!(world.server.asked().is_empty());
}

#[test]
fn help_goes_to_standard_output() {
    let world = World::new();
    for line in ["--help", "workspace spawn --help", "cp -h", "--version"] {
        let ended = world.rig(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{line}");
        assert!(!ended.stdout.contains('\u{1b}'), "{line}");
    }
    assert!(world.rig("workspace spawn -h").stdout.contains("rig workspace spawn demo"));
    assert_eq!(world.rig("").code, 2);
}

#[test]
fn completions_are_written_for_three_shells() {
    let world = World::new();
    for (shell, mark) in
        [("bash", "complete -F _rig"), ("zsh", "#compdef rig"), ("fish", "complete -c rig")]
    {
        let ended = world.rig(&format!("completions {shell}"));
        assert_eq!(ended.code, 0);
        assert!(ended.stdout.contains(mark), "{shell}");
    }
}
