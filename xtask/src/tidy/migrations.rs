//! Rules about migrations: dated names, the same set for both engines, and never edited once they
//! are on the list of released ones.
//! Invariant: the list only grows; a migration joins it when a release carries it.

use std::collections::BTreeSet;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::Breach;
use crate::repo::Repo;

const FOLDER: &str = "crates/rigbox-store/migrations";
const ENGINES: [&str; 2] = ["sqlite", "postgres"];
/// Lines of `<sha256>  <engine>/<file>`, as sha256sum writes them.
const RELEASED: &str = "released.sha256";

/// Checks names, twins and sums.
pub(super) fn check(repo: &Repo, files: &[Utf8PathBuf]) -> anyhow::Result<Vec<Breach>> {
    let folder = Utf8Path::new(FOLDER);
    let migrations: BTreeSet<&Utf8Path> = files
        .iter()
        .filter_map(|path| path.strip_prefix(folder).ok())
        .filter(|path| path.extension() == Some("sql"))
        .collect();
    if migrations.is_empty() {
        return Ok(Vec::new());
    }
    let mut breaches = Vec::new();
    for path in &migrations {
        let name = path.file_name().unwrap_or_default();
        if !is_dated(name) {
            breaches.push(format!("{FOLDER}/{path} is not named by its date (20261201-what.sql)"));
        }
        for engine in ENGINES {
            let twin = Utf8Path::new(engine).join(name);
            if !migrations.contains(twin.as_path()) {
                breaches.push(format!("{FOLDER}/{path} has no twin {twin}"));
            }
        }
    }
    let list = folder.join(RELEASED);
    if files.contains(&list) {
        breaches.extend(edited(repo, &repo.read(&list)?)?);
    } else {
        breaches.push(format!("{list} is missing: the list of migrations that must not change"));
    }
    Ok(breaches)
}

/// `2026-12-01-what.sql`, `20261201-what.sql`, or with a time of day and an underscore, as sqlx
/// demands of a version that it can order.
fn is_dated(name: &str) -> bool {
    let digits: String = name
        .chars()
        .take_while(|character| character.is_ascii_digit() || *character == '-')
        .filter(char::is_ascii_digit)
        .collect();
    let plausible = digits.len() >= 8 && digits.starts_with("20");
    plausible && name.chars().any(|character| character.is_ascii_lowercase())
}

fn edited(repo: &Repo, list: &str) -> anyhow::Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty()) {
        let (sum, path) = line.split_once("  ").with_context(|| format!("{RELEASED}: {line}"))?;
        let whole = Utf8Path::new(FOLDER).join(path);
        match repo.read(&whole) {
            Err(_) => breaches.push(format!("{whole} was released and is gone")),
            Ok(text) if hex(&Sha256::digest(text.as_bytes())) != sum => {
                breaches.push(format!("{whole} was released and then edited: write a new one"));
            }
            Ok(_) => {}
        }
    }
    Ok(breaches)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_date_and_a_word_make_a_name() {
        for good in ["2026-12-01-create-workspaces.sql", "20261201120000_create_hosts.sql"] {
            assert!(is_dated(good), "{good}");
        }
        for bad in ["001-create.sql", "create-workspaces.sql", "0001_init.sql"] {
            assert!(!is_dated(bad), "{bad}");
        }
    }
}
