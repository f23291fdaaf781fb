//! Which crate may use which, read from `cargo metadata`.
//! Invariant: an arrow that is not in the table is a breach, and so is a crate without a row.

use std::collections::{BTreeMap, BTreeSet};

use super::Breach;
use crate::repo::{Metadata, Package};

/// Every crate that ships, and the crates of ours that it may use. `rigbox-host` is an executable
/// of its own, so `rigbox` does not link it: no code that holds keys runs with root's rights.
const ARROWS: [(&str, &[&str]); 15] = [
    ("rigbox-types", &[]),
    ("rigbox-store", &["rigbox-types"]),
    ("rigbox-fabric", &["rigbox-types"]),
    ("rigbox-vmm", &["rigbox-types"]),
    ("rigbox-guest", &["rigbox-types"]),
    ("rigbox-host", &["rigbox-types", "rigbox-fabric", "rigbox-vmm", "rigbox-guest"]),
    ("rigbox-ai", &["rigbox-types", "rigbox-store"]),
    ("rigbox-ai-proxy", &["rigbox-types", "rigbox-store", "rigbox-fabric", "rigbox-ai"]),
    ("rigbox-certs", &["rigbox-types"]),
    ("rigbox-dns", &["rigbox-types"]),
    (
        "rigbox-control",
        &["rigbox-types", "rigbox-store", "rigbox-fabric", "rigbox-certs", "rigbox-ai"],
    ),
    ("rigbox-edge", &["rigbox-types", "rigbox-fabric", "rigbox-dns"]),
    ("rigbox-ssh", &["rigbox-types", "rigbox-fabric"]),
    (
        "rigbox",
        &[
            "rigbox-types",
            "rigbox-fabric",
            "rigbox-control",
            "rigbox-ai",
            "rigbox-ai-proxy",
            "rigbox-edge",
            "rigbox-ssh",
        ],
    ),
    ("rig", &["rigbox-types"]),
];

/// Crates that do not ship and may use anything.
const TOOLS: [&str; 6] = [
    "rigbox-tests",
    "rigbox-test-ports",
    "rigbox-test-providers",
    "rigbox-bench",
    "rigbox-fuzz",
    "xtask",
];

/// What must not be linked into an executable by any way, and why.
const UNREACHABLE: [(&str, &[&str], &str); 2] = [
    (
        "rigbox-store",
        &["rigbox-host", "rigbox-edge", "rigbox-ssh", "rigbox-guest", "rig"],
        "the database belongs to the control zone",
    ),
    (
        "rigbox-ai",
        &["rigbox-host", "rigbox-edge", "rigbox-ssh", "rigbox-guest", "rig"],
        "provider keys belong to the control zone",
    ),
];

/// Compares the metadata with the tables.
pub(super) fn check(metadata: &Metadata) -> Vec<Breach> {
    let graph = Graph::of(metadata);
    let rules: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut breaches = Vec::new();
    for (from, to) in &graph.ours {
        if TOOLS.contains(&from.as_str()) {
            continue;
        }
        match rules.get(from.as_str()) {
            None => breaches.push(format!("crate {from} has no row in the table of arrows")),
            Some(allowed) => breaches.extend(
                to.iter()
                    .filter(|name| !allowed.contains(&name.as_str()))
                    .map(|name| format!("crate {from} must not use {name}")),
            ),
        }
    }
    for (what, from, why) in UNREACHABLE {
        breaches.extend(
            from.iter()
                .filter(|from| graph.reaches(from, what))
                .map(|from| format!("{from} links {what}: {why}")),
        );
    }
    breaches
}

/// Arrows between packages of the workspace, without those that only tests have.
#[derive(Debug, Default)]
struct Graph {
    ours: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of(metadata: &Metadata) -> Self {
        let is_ours = |package: &&Package| metadata.workspace_members.contains(&package.id);
        let ours: Vec<&Package> = metadata.packages.iter().filter(is_ours).collect();
        let names: BTreeSet<&str> = ours.iter().map(|package| package.name.as_str()).collect();
        let arrows = ours.iter().map(|package| {
            let uses = package.dependencies.iter();
            let uses = uses
                .filter(|used| used.kind.as_deref() != Some("dev"))
                .filter(|used| names.contains(used.name.as_str()))
                .map(|used| used.name.clone());
            (package.name.clone(), uses.collect())
        });
        Self { ours: arrows.collect() }
    }

    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            for next in self.ours.get(name).into_iter().flatten() {
                if next == to {
                    return true;
                }
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A crate, the crates that it uses, and as what.
    type Row<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    fn breaches(rows: &[Row<'_>]) -> Vec<Breach> {
        let packages: Vec<Value> = rows
            .iter()
            .map(|(name, uses)| {
                let uses: Vec<Value> =
                    uses.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
                json!({ "name": name, "id": name, "dependencies": uses })
            })
            .collect();
        let members: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
        let metadata = json!({
            "packages": packages,
            "workspace_members": members,
            "workspace_root": "/",
            "target_directory": "/target",
        });
        check(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn an_arrow_of_the_table_is_accepted() {
        let found = breaches(&[
            ("rigbox-types", &[]),
            ("rigbox-store", &[("rigbox-types", None), ("serde", None)]),
        ]);
        assert_eq!(found, Vec::<Breach>::new());
    }

    #[test]
    fn another_arrow_is_a_breach_unless_only_tests_have_it() {
        let arrow =
            |kind| breaches(&[("rigbox-vmm", &[]), ("rigbox-edge", &[("rigbox-vmm", kind)])]);
        assert_eq!(arrow(None), ["crate rigbox-edge must not use rigbox-vmm"]);
        assert_eq!(arrow(Some("build")), ["crate rigbox-edge must not use rigbox-vmm"]);
        assert_eq!(arrow(Some("dev")), Vec::<Breach>::new());
    }

    #[test]
    fn a_crate_without_a_row_is_a_breach() {
        assert_eq!(
            breaches(&[("rigbox-new", &[])]),
            ["crate rigbox-new has no row in the table of arrows"]
        );
    }

    #[test]
    fn the_store_reached_by_a_detour_is_a_breach() {
        let found = breaches(&[
            ("rigbox-store", &[]),
            ("rigbox-fabric", &[("rigbox-store", None)]),
            ("rigbox-host", &[("rigbox-fabric", None)]),
        ]);
        assert!(
            found.iter().any(|breach| breach.starts_with("rigbox-host links rigbox-store")),
            "{found:?}"
        );
    }
}
