//! House rules that the compiler does not know. Each rule yields what breaks it; none repairs.

mod arrows;
mod docs;
mod limits;
mod migrations;
mod sources;

use anyhow::bail;

use crate::repo::Repo;

pub(crate) use limits::write as write_limits;

/// One thing that breaks a rule, as a sentence with the place in it.
pub(crate) type Breach = String;

/// Runs all rules and fails with every breach of them.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let files = repo.files()?;
    let mut breaches = arrows::check(repo.metadata());
    breaches.extend(sources::check(repo, &files)?);
    breaches.extend(migrations::check(repo, &files)?);
    breaches.extend(docs::check(repo, &files)?);
    breaches.extend(limits::check(repo)?);
    if !breaches.is_empty() {
        bail!("{} house rules broken:\n  {}", breaches.len(), breaches.join("\n  "));
    }
    Ok(())
}
