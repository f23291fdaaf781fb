//! Rules about the documentation: links lead somewhere, and every crate has its place in
//! ARCHITECTURE.md. Documents made from code are compared by tests of the crates that make them.

use camino::{Utf8Path, Utf8PathBuf};

use super::Breach;
use crate::repo::Repo;

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Checks every Markdown file.
pub(super) fn check(repo: &Repo, files: &[Utf8PathBuf]) -> anyhow::Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for path in files.iter().filter(|path| path.extension() == Some("md")) {
        let folder = path.parent().unwrap_or_else(|| Utf8Path::new(""));
        for link in local_links(&repo.read(path)?) {
            if !repo.root().join(folder).join(&link).exists() {
                breaches.push(format!("{path} links to {link}, which is not there"));
            }
        }
    }
    let architecture = repo.read(Utf8Path::new(ARCHITECTURE))?;
    let crates = files.iter().filter(|path| path.file_name() == Some("Cargo.toml"));
    for folder in crates.filter_map(|path| path.strip_prefix("crates").ok()?.parent()) {
        if !architecture.contains(&format!("crates/{folder}")) {
            breaches.push(format!("{ARCHITECTURE} does not say what crates/{folder} is"));
        }
    }
    Ok(breaches)
}

/// Targets of `[text](target)` that are files: no scheme, and without the part after `#`.
fn local_links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .filter(|target| !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_files_are_followed() {
        let text = "[a](docs/a.md#part) [b](https://example.org/b) [c](#here) [d](d.md)";
        assert_eq!(local_links(text), ["docs/a.md", "d.md"]);
    }
}
