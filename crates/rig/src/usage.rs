//! Help, and what is wrong with a command line.

use std::ffi::OsString;

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use rigbox_types::nearest::nearest;

use crate::{
    cli::{self, Cli},
    error::{CommandError, Exit},
    inside::Mark,
    output::{Output, Paint},
    suggest,
};

/// Writes what clap has to say and returns the exit code. Inside a workspace nothing is said about
/// commands of the account but that they are.
pub(crate) fn report(
    output: &Output,
    error: &clap::Error,
    words: &[OsString],
    mark: Option<&Mark>,
) -> u8 {
    if let Some(mark) = mark
        && let Some(command) = cli::inside::account_command(words)
    {
        let refusal = mark.refusal(&command);
        output.error(&refusal);
        return refusal.exit.code();
    }
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Silent(0),
        _ => Exit::Usage,
    };
    let rendered = error.render();
    let text = match output.paint() {
        Paint::Always if exit == Exit::Silent(0) => rendered.ansi().to_string(),
        _ => rendered.to_string(),
    };
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if exit == Exit::Silent(0) || is_help {
        let written = output.help(&text, exit);
        return written.map_or_else(|error| error.exit.code(), |()| exit.code());
    }
    let (message, usage) = parts(&text);
    let hint = corrected(error, &words, mark.is_some()).unwrap_or_else(|| help_of(&words));
    output.error(&CommandError::usage(message).hint(hint));
    for line in usage {
        output.notice(line);
    }
    exit.code()
}

/// `rig …` with the context that this run was given, so that a pasted hint means the same server.
pub(crate) fn in_context(hint: &str, context: Option<&str>) -> String {
    match (hint.strip_prefix("rig "), context) {
        (Some(rest), Some(name)) => format!("rig --context {} {rest}", suggest::quote(name)),
        _ => hint.to_owned(),
    }
}

/// The sentence and the usage out of clap's text.
fn parts(text: &str) -> (String, Vec<String>) {
    let mut message = Vec::new();
    let mut usage = Vec::new();
    let mut in_usage = false;
    for line in text.lines() {
        let line = line.trim_end();
        in_usage |= line.starts_with("Usage:");
        let is_noise = line.trim_start().starts_with("tip:") || line.starts_with("For more");
        if line.is_empty() || is_noise {
            continue;
        }
        if in_usage {
            usage.push(line.to_owned());
        } else {
            let line = line.trim();
            message.push(line.strip_prefix("error: ").unwrap_or(line).to_owned());
        }
    }
    (message.join(" "), usage)
}

/// The command line with the word that was probably meant; inside a workspace, no command that is
/// refused there.
fn corrected(error: &clap::Error, words: &[String], is_inside: bool) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => nearest_of(texts, error),
        _ => None,
    };
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(command) = text(ContextKind::InvalidArg)
        && let Some(corrected) = separated(words, &command)
    {
        return Some(corrected);
    }
    let (wrong, right) = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            (text(ContextKind::InvalidSubcommand)?, text(ContextKind::SuggestedSubcommand)?)
        }
        ErrorKind::UnknownArgument => {
            (text(ContextKind::InvalidArg)?, text(ContextKind::SuggestedArg)?)
        }
        ErrorKind::InvalidValue => {
            (text(ContextKind::InvalidValue)?, text(ContextKind::SuggestedValue)?)
        }
        _ => return None,
    };
    let is_refused = is_inside
        && error.kind() == ErrorKind::InvalidSubcommand
        && cli::inside::is_about_account(&right);
    if is_refused {
        return None;
    }
    replaced(words, &wrong, &right)
}

/// Of several suggestions the nearest to what was typed; clap has them in its own order.
fn nearest_of(texts: &[String], error: &clap::Error) -> Option<String> {
    let typed =
        [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter().find_map(|it| {
            match error.get(it) {
                Some(ContextValue::String(text)) => Some(text.as_str()),
                _ => None,
            }
        });
    let known = texts.iter().map(String::as_str);
    nearest(typed?, known).or_else(|| texts.first().map(String::as_str)).map(str::to_owned)
}

/// `rig exec demo ls` with the `--` that belongs before the command.
fn separated(words: &[String], first: &str) -> Option<String> {
    let at = words.iter().position(|word| word == first)?;
    let (before, command) = words.split_at_checked(at)?;
    let is_exec = before.iter().any(|word| word == "exec");
    if !is_exec || first.starts_with('-') {
        return None;
    }
    let before = before.iter().skip(1).map(String::as_str);
    let words = std::iter::once("rig").chain(before).chain(["--"]);
    Some(suggest::command(words.chain(command.iter().map(String::as_str))))
}

/// The command line with one word replaced, as a shell reads it back; nothing if it is not there.
pub(crate) fn replaced(words: &[String], wrong: &str, right: &str) -> Option<String> {
    let at = words.iter().position(|word| matches_word(word, wrong))?;
    let words = words.iter().enumerate().map(|(index, word)| match (index, at) {
        (0, _) => "rig".to_owned(),
        _ if index == at => word.replacen(wrong, right, 1),
        _ => word.clone(),
    });
    let words: Vec<String> = words.collect();
    Some(suggest::command(words.iter().map(String::as_str)))
}

/// This command line with more words at its end, as a shell reads it back.
pub(crate) fn extended(more: &[&str]) -> String {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words = words.iter().map(String::as_str);
    suggest::command(std::iter::once("rig").chain(words).chain(more.iter().copied()))
}

/// The word itself, or the part of it before `=` or `:`, or behind `=`.
fn matches_word(word: &str, wrong: &str) -> bool {
    word == wrong
        || word.split_once(':').is_some_and(|(before, _)| before == wrong)
        || word.split_once('=').is_some_and(|(before, behind)| before == wrong || behind == wrong)
}

/// The help of the command that was begun.
fn help_of(words: &[String]) -> String {
    let mut command = Cli::command();
    let mut path = vec!["rig".to_owned()];
    for word in words.iter().skip(1).take_while(|word| *word != "--") {
        if let Some(next) = command.find_subcommand(word).cloned() {
            path.push(next.get_name().to_owned());
            command = next;
        }
    }
    path.push("--help".to_owned());
    path.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_word_is_replaced_where_it_stands() {
        for (line, expected) in [
            ("/bin/rig shell helo", Some("rig shell hello")),
            ("rig cp a.txt helo:b", Some("rig cp a.txt hello:b")),
            ("rig workspace start --workspace=helo", Some("rig workspace start --workspace=hello")),
            ("rig ls", None),
        ] {
            assert_eq!(replaced(&words(line), "helo", "hello").as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_help_is_that_of_the_command() {
        assert_eq!(help_of(&words("rig -v workspace new --x")), "rig workspace new --help");
        assert_eq!(help_of(&words("rig nothing")), "rig --help");
    }

    #[test]
    fn a_hint_stays_in_its_context() {
        assert_eq!(in_context("rig login", Some("my lab")), "rig --context 'my lab' login");
        assert_eq!(in_context("chmod 600 x", Some("lab")), "chmod 600 x");
        assert_eq!(in_context("rig login", None), "rig login");
    }
}
