//! Rules about source files: their size, words that do not belong, and the shared lints.

use camino::{Utf8Path, Utf8PathBuf};

use super::Breach;
use crate::repo::Repo;

/// Most lines of a Rust file. A longer one is split by resource.
const LINES_MAX: usize = 500;

/// Words that must not be in a Rust file, and why. Written in two parts where the rule's own file
/// would break it.
const BANNED: [(&str, &str); 6] = [
    (concat!("TO", "DO"), "an open point is an issue or a decision record"),
    (concat!("FIX", "ME"), "an open point is an issue or a decision record"),
    (concat!("#[ig", "nore"), "a test that does not run tests nothing"),
    (concat!("#[all", "ow("), "an exception is #[expect(lint, reason = \"...\")]"),
    (concat!("#![all", "ow("), "an exception is #![expect(lint, reason = \"...\")]"),
    (concat!("unimple", "mented!"), "what is not there is not offered"),
];

/// Checks every Rust file and every manifest.
pub(super) fn check(repo: &Repo, files: &[Utf8PathBuf]) -> anyhow::Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for path in files {
        if path.extension() == Some("rs") {
            breaches.extend(source_breaches(path, &repo.read(path)?));
        } else if path.file_name() == Some("Cargo.toml") && path.components().count() > 1 {
            breaches.extend(manifest_breach(path, &repo.read(path)?));
        }
    }
    Ok(breaches)
}

fn source_breaches(path: &Utf8Path, text: &str) -> Vec<Breach> {
    let lines = text.lines().count();
    let size = (lines > LINES_MAX)
        .then(|| format!("{path} has {lines} lines, more than {LINES_MAX}: split it by resource"));
    let header = (!text.starts_with("//!") && !text.starts_with("#!"))
        .then(|| format!("{path} does not start with what it does (//!)"));
    // Tests are described by their names; the header of their binary says what they have in common.
    let of_tests = path.components().any(|part| part.as_str() == "tests");
    let is_binary = path.file_name() == Some("main.rs");
    let is_unit = path.file_name() == Some("tests.rs");
    let header = header.filter(|_| !is_unit && (!of_tests || is_binary));
    let words = text.lines().enumerate().flat_map(|(index, line)| {
        BANNED
            .iter()
            .filter(move |(word, _)| line.contains(word))
            .map(move |(word, why)| format!("{path}:{} says {word}: {why}", index + 1))
    });
    size.into_iter().chain(header).chain(words).collect()
}

fn manifest_breach(path: &Utf8Path, text: &str) -> Option<Breach> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[lints]");
    let shared = lines.nth(1) == Some("workspace = true");
    (!shared).then(|| format!("{path} does not have the shared lints ([lints] workspace = true)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_a_breach() {
        let text = |lines: usize| format!("//! What.\n{}", "\n".repeat(lines - 1));
        let path = Utf8Path::new("a.rs");
        assert_eq!(source_breaches(path, &text(LINES_MAX)), Vec::<Breach>::new());
        assert_eq!(source_breaches(path, &text(LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_banned_word_is_named_with_its_line() {
        for (word, _) in BANNED {
            let found = source_breaches(Utf8Path::new("a.rs"), &format!("//! What.\n// {word}\n"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found.iter().all(|breach| breach.starts_with("a.rs:2 says ")), "{found:?}");
        }
    }

    #[test]
    fn a_file_without_a_header_is_a_breach() {
        assert_eq!(source_breaches(Utf8Path::new("a.rs"), "use std::fs;\n").len(), 1);
        for (path, breaches) in
            [("a/tests.rs", 0), ("a/tests/it/b.rs", 0), ("a/tests/it/main.rs", 1)]
        {
            let found = source_breaches(Utf8Path::new(path), "use super::*;\n");
            assert_eq!(found.len(), breaches, "{path}");
        }
    }

    #[test]
    fn a_manifest_without_the_shared_lints_is_a_breach() {
        let path = Utf8Path::new("crates/a/Cargo.toml");
        assert_eq!(manifest_breach(path, "[lints]\nworkspace = true\n"), None);
        assert!(manifest_breach(path, "[package]\nname = \"a\"\n").is_some());
    }
}
