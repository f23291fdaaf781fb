//! The reviewed list of differences (`docs/reference/contract-differences.toml`) beside those that
//! there are, and the page that shows it to people (`docs/reference/contract.md`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
};

use rigbox_types::openapi;
use serde::Deserialize;

use crate::contract::Contract;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reviewed {
    differences: Vec<Group>,
}

/// Differences of one kind for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    mark: Mark,
    /// For people: the part that is to come, or why it is so.
    why: String,
    /// As the comparison says them; a last `*` stands for anything.
    are: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    /// More than the contract has.
    Addition,
    /// Comes with a part that is not there yet.
    Later,
    /// Otherwise, on purpose.
    Differs,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

fn reviewed() -> Reviewed {
    toml::from_str(&read("contract-differences.toml")).unwrap()
}

fn found() -> BTreeSet<String> {
    Contract::read(&read("contract.toml")).differences(&openapi::document())
}

fn is(listed: &str, difference: &str) -> bool {
    listed.strip_suffix('*').map_or(listed == difference, |begin| difference.starts_with(begin))
}

#[test]
fn every_difference_from_the_contract_is_listed_and_none_is_listed_in_vain() {
    let (found, reviewed) = (found(), reviewed());
    let listed: Vec<&String> = reviewed.differences.iter().flat_map(|group| &group.are).collect();
    let unlisted: Vec<_> =
        found.iter().filter(|one| !listed.iter().any(|listed| is(listed, one))).collect();
    let vain: Vec<_> =
        listed.iter().filter(|listed| !found.iter().any(|one| is(listed, one))).collect();
    let lines =
        |some: &[&String]| some.iter().map(|one| format!("    {one:?},\n")).collect::<String>();
    let vain: Vec<&String> = vain.into_iter().copied().collect();
    assert!(
        unlisted.is_empty() && vain.is_empty(),
        "docs/reference/contract-differences.toml\nlacks:\n{}\nhas in vain:\n{}",
        lines(&unlisted),
        lines(&vain),
    );
}

#[test]
fn the_page_of_the_contract_shows_the_list() {
    let wanted = page(&reviewed());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path("contract.md"), &wanted).unwrap();
    }
    assert!(
        read("contract.md") == wanted,
        "docs/reference/contract.md is out of date: run \
         `UPDATE_OPENAPI=1 cargo nextest run -p rigbox-types contract` and commit it"
    );
}

fn page(reviewed: &Reviewed) -> String {
    let mut page = "# The API and its contract\n\n\
        Compatible clients rely on the operations and shapes in [contract.toml](contract.toml). This \
        page lists where the [OpenAPI document](openapi.json) differs from it. It is made from \
        [contract-differences.toml](contract-differences.toml); a test fails where that is not \
        exactly what differs. Paths are below `/api/v1`.\n"
        .to_owned();
    let mut groups: BTreeMap<Mark, Vec<&Group>> = BTreeMap::new();
    for group in &reviewed.differences {
        groups.entry(group.mark).or_default().push(group);
    }
    for (mark, groups) in groups {
        let (title, about) = match mark {
            Mark::Addition => ("Additions", "What goes beyond the contract and breaks no client."),
            Mark::Later => ("Later", "What comes with parts that are not there yet."),
            Mark::Differs => ("Different", "What is otherwise on purpose."),
        };
        writeln!(page, "\n## {title}\n\n{about}").unwrap();
        for group in groups {
            writeln!(page, "\n### {}\n", group.why).unwrap();
            group.are.iter().for_each(|one| writeln!(page, "- {one}").unwrap());
        }
    }
    page
}
