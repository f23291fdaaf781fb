//! The command line inside a workspace: only what works on that workspace can be seen.
//! Invariant: the rest still parses, so that it can be refused in words.

use std::ffi::OsString;

use clap::{Command, CommandFactory as _};

use super::{Cli, examples};

/// Commands that work on the workspace that rig runs in.
const HERE: [&str; 4] = ["whoami", "status", "proxy", "completions"];

const EXAMPLES: &str = examples!(
    "rig whoami                      which workspace this is",
    "rig status                      how it is, and what it has",
    "rig status --output json        the same, for programs",
    "eval \"$(rig proxy on)\"         AI for programs of this shell",
);
const LONG: &str = "

Environment:
  NO_COLOR         no colours

Exit codes:
  0  done
  1  refused or failed
  2  wrong use";

/// Everything, with what concerns the account hidden.
pub(crate) fn command() -> Command {
    Cli::command()
        .about("This workspace, from its inside; nothing to sign in to")
        .after_help(EXAMPLES)
        .after_long_help(format!("{EXAMPLES}{LONG}"))
        .mut_args(|argument| {
            let is_about_servers = matches!(argument.get_id().as_str(), "context" | "ca");
            if is_about_servers { argument.hide(true) } else { argument }
        })
        .mut_subcommands(|below| match below.get_name() {
            "whoami" => below.about("Show which workspace this is"),
            "status" => below.about("Show how this workspace is, and what it has"),
            "proxy" => below.about("Lead programs of this workspace to AI"),
            name if HERE.contains(&name) => below,
            _ => below.hide(true),
        })
}

/// Only what can be seen, for shell completion, which knows nothing of hiding.
pub(crate) fn visible() -> Command {
    let whole = command();
    let arguments = whole.get_arguments().filter(|argument| !argument.is_hide_set());
    let below = whole.get_subcommands().filter(|below| !below.is_hide_set());
    Command::new("rig")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(arguments.cloned())
        .subcommands(below.cloned())
}

/// The command that was begun, if it is about the account.
pub(crate) fn account_command(words: &[OsString]) -> Option<String> {
    let whole = command();
    let words = words.iter().skip(1).filter_map(|word| word.to_str());
    let mut begun = words.take_while(|word| *word != "--").filter(|word| !word.starts_with('-'));
    let name = begun.find_map(|word| Some(whole.find_subcommand(word)?.get_name().to_owned()))?;
    is_about_account(&name).then_some(name)
}

/// Whether a command, or a word that could be one, is not for the inside.
pub(crate) fn is_about_account(name: &str) -> bool {
    !HERE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_works_here_is_seen() {
        let seen = visible();
        let seen: Vec<_> = seen.get_subcommands().map(Command::get_name).collect();
        assert_eq!(seen, ["whoami", "status", "proxy", "completions"]);
        command().debug_assert();
        visible().debug_assert();
    }

    #[test]
    fn a_command_about_the_account_is_known_however_it_goes_on() {
        for (line, expected) in [
            ("rig workspace start", Some("workspace")),
            ("rig -v -o json ws --help", Some("workspace")),
            ("rig status --frobnicate", None),
            ("rig frobnicate", None),
            ("rig", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(account_command(&words).as_deref(), expected, "{line}");
        }
    }
}
