use clap::CommandFactory as _;

use super::*;

/// Every command that does something, with its words.
fn leaves(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    if !command.has_subcommands() {
        return vec![(path, command.clone())];
    }
    command.get_subcommands().flat_map(|below| leaves(below, &path)).collect()
}

fn commands(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().flat_map(commands);
    std::iter::once(command.clone()).chain(below).collect()
}

/// The words of a line as a shell reads them; enough for our examples.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The part of an example that is a command of ours.
fn own_part(line: &str) -> &str {
    // Two spaces and more begin a remark.
    let line = line.trim().split("   ").next().unwrap();
    let line = line.split(['<', '>']).next().unwrap();
    if let Some((_, evaluated)) = line.split_once("$(") {
        return evaluated.split(')').next().unwrap().trim();
    }
    line.split("| ").find(|part| part.starts_with("rig ")).unwrap().trim()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_that_parse() {
    let all = commands(&Cli::command()).into_iter().chain([inside::command()]);
    assert!(leaves(&Cli::command(), "").len() > 40);
    for command in all {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.strip_prefix("Examples:\n").unwrap_or_default();
        assert!(!examples.is_empty(), "{} has no examples", command.get_name());
        for line in examples.lines() {
            let part = own_part(line);
            if let Err(error) = Cli::try_parse_from(words(part)) {
                panic!("{line}\n{error}");
            }
        }
    }
}

#[test]
fn every_option_is_explained() {
    for (path, command) in leaves(&Cli::command(), "") {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{path}: {}", argument.get_id());
        }
    }
}

#[test]
fn a_workspace_is_a_word_or_an_option() {
    let typed = |line: &str| match Cli::try_parse_from(words(line)).map(|cli| cli.command) {
        Ok(Command::Workspace(command)) => match *command {
            WorkspaceCommand::Start(args) => Some(args.state.target.typed().to_owned()),
            _ => None,
        },
        _ => None,
    };
    for line in [
        "rig workspace start demo",
        "rig workspace start -w demo",
        "rig ws start --workspace demo",
        "rig workspace start --workspace=demo",
        "rig workspace start demo --wait-for-apps",
    ] {
        assert_eq!(typed(line).as_deref(), Some("demo"), "{line}");
    }
    assert_eq!(typed("rig workspace start"), None);
    assert_eq!(typed("rig workspace start demo --workspace demo"), None);
}
