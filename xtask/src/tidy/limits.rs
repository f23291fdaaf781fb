//! The page of limits, made from the list that the code uses, so that the two cannot differ.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::Breach;
use crate::repo::Repo;

const SOURCE: &str = "crates/rigbox-types/src/limits.rs";
const PAGE: &str = "docs/reference/limits.md";

/// Compares the page with the list.
pub(super) fn check(repo: &Repo) -> anyhow::Result<Option<Breach>> {
    let expected = page(&repo.read(Utf8Path::new(SOURCE))?);
    let present = repo.read(Utf8Path::new(PAGE)).unwrap_or_default();
    Ok((present != expected)
        .then(|| format!("{PAGE} is not what {SOURCE} says; run: cargo xtask docs")))
}

/// Writes the page.
pub(crate) fn write(repo: &Repo) -> anyhow::Result<()> {
    let expected = page(&repo.read(Utf8Path::new(SOURCE))?);
    Ok(std::fs::write(repo.root().join(PAGE), expected)?)
}

fn page(source: &str) -> String {
    let mut page =
        "# Limits\n\nMade from `crates/rigbox-types/src/limits.rs` by `cargo xtask docs`.\n\n\
         | limit | value | what |\n|---|---|---|\n"
            .to_owned();
    let mut comment: Vec<&str> = Vec::new();
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if let Some((name, value)) = constant(line) {
            // A `String` takes everything.
            writeln!(page, "| `{name}` | {value} | {} |", comment.join(" ")).unwrap_or_default();
            comment.clear();
        } else {
            comment.clear();
        }
    }
    page
}

/// Name and value of `pub const NAME: type = value;`, with products multiplied out.
fn constant(line: &str) -> Option<(&str, String)> {
    let (head, value) = line.strip_prefix("pub const ")?.split_once(" = ")?;
    let (name, _) = head.split_once(':')?;
    let value = value.trim_end_matches(';');
    let factors: Option<Vec<u64>> =
        value.split(" * ").map(|factor| factor.replace('_', "").parse().ok()).collect();
    let product = factors.map(|factors| factors.iter().product::<u64>().to_string());
    Some((name, product.unwrap_or_else(|| format!("`{value}`"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_becomes_a_row_with_its_comment() {
        let source =
            "//! Header.\n\n/// Most\n/// things.\npub const THINGS_MAX: u32 = 4 * 1_024;\n";
        assert!(page(source).ends_with("|---|---|---|\n| `THINGS_MAX` | 4096 | Most things. |\n"));
    }
}
