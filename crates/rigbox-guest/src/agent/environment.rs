//! The environment of the workspace: how it is written so that shells and systemd read the same,
//! and how a command gets it.

use std::{collections::BTreeMap, path::Path};

use super::{root::Root, sys::rights::with_rights_of, users::User};

/// Below a home: where the environment is.
pub(crate) const FOLDER: &str = ".rigbox";
/// What leads programs to AI, where it is on.
pub(crate) const PROXY: &str = "proxy.env";
/// Files of variables, in the order in which they are loaded.
pub(crate) const FILES: [&str; 2] = [".env", PROXY];

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names that bash keeps for itself: setting one is an error in every shell that is opened.
const RESERVED: [&str; 7] = ["BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID", "_"];

/// The environment of a command: the user's own, then the workspace's, which the owner of the
/// workspace keeps in the home of the default user. Reads files.
pub(crate) fn of_command(root: &Root, user: &User) -> BTreeMap<String, String> {
    let owner = User::default_of(root);
    let mut variables: BTreeMap<String, String> = [
        ("HOME", user.home.as_str()),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
        ("PATH", PATH),
        ("LANG", "C.UTF-8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for file in FILES {
        let path = root.path(Path::new(&owner.home).join(FOLDER).join(file));
        // Read as its owner: a link to somebody else's file must not show it.
        if let Ok(text) = with_rights_of(&owner, || super::root::read_text(&path)) {
            variables.extend(parse(&text));
        }
    }
    variables
}

/// Whether a shell can have a variable of this name.
pub(crate) fn is_settable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&name)
}

/// A file that `sh` sources and that systemd takes as `EnvironmentFile`. Double quotes with four
/// escapes mean the same to both.
pub(crate) fn render(variables: &BTreeMap<String, String>) -> String {
    let mut text = String::from("# Made by Rigbox; changed whenever the workspace's env is set.\n");
    for (name, value) in variables.iter().filter(|(name, _)| is_settable(name)) {
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '$' | '`') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push_str("\"\n");
    }
    text
}

/// Reads such a file, and simple ones that people write: `export`, single quotes, no quotes,
/// comments. What it does not understand is left out; nothing is expanded.
pub(crate) fn parse(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let assignment = line.split_once('=').filter(|(name, _)| is_settable(name));
        rest = match assignment {
            Some((name, after)) => {
                let (value, after) = value(after);
                variables.insert(name.to_owned(), value);
                after
            }
            None => line,
        };
        rest = rest.split_once('\n').map_or("", |(_, next)| next);
    }
    variables
}

/// One word of a shell, and what follows it.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t' | '\n' | '\r' | ';') => {
                return (value, text.get(at..).unwrap_or_default());
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, '\\') => value.extend(characters.next().map(|(_, escaped)| escaped)),
            (Some('"'), '\\') => match characters.next() {
                Some((_, escaped @ ('"' | '\\' | '$' | '`'))) => value.push(escaped),
                Some((_, '\n')) | None => {}
                Some((_, other)) => value.extend(['\\', other]),
            },
            (_, plain) => value.push(plain),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_what_a_shell_and_we_read(
            value in "([ -~]|\n|\t|\"|\\\\|\\$|`|'|ä|€){0,40}",
        ) {
            let variables = BTreeMap::from([("RIG_TEST".to_owned(), value.clone())]);
            let text = render(&variables);
            prop_assert_eq!(&parse(&text), &variables);
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("env");
            std::fs::write(&file, &text).unwrap();
            let shell = Command::new("/bin/sh")
                .args(["-c", "set -a; . \"$0\"; printf '%s' \"$RIG_TEST\""])
                .arg(&file)
                .output()
                .unwrap();
            prop_assert_eq!(String::from_utf8(shell.stdout).unwrap(), value);
        }

        #[test]
        fn no_text_makes_the_reader_fail(text in "\\PC{0,60}|[A-Z=\"'\\\\\n ]{0,60}") {
            parse(&text);
        }
    }

    #[test]
    fn simple_files_of_people_are_read() {
        let read = parse("# c\nexport A=1\nB='x y' # no\n C=a\\ b\n1D=x\nE\nF=\"\nG\"\nUID=7\n");
        let expected = [("A", "1"), ("B", "x y"), ("C", "a b"), ("F", "\nG")];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}
