//! What the tasks know about the repository: where it is, its crates and its files.
//! Invariant: read once at start, from `cargo metadata` and `git ls-files`; never written.

use std::process::Command;

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

/// The repository.
#[derive(Debug)]
pub(crate) struct Repo {
    metadata: Metadata,
}

/// The part of `cargo metadata` that the tasks use.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Every package that is linked anywhere.
    pub(crate) packages: Vec<Package>,
    /// Ids of those that are ours.
    pub(crate) workspace_members: Vec<String>,
    workspace_root: Utf8PathBuf,
    target_directory: Utf8PathBuf,
}

/// A package and what it uses.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Opaque and unique.
    pub(crate) id: String,
    /// As in its manifest.
    pub(crate) name: String,
    /// Of all kinds: normal, build and dev.
    pub(crate) dependencies: Vec<Dependency>,
}

/// That a package uses another.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The other one's name.
    pub(crate) name: String,
    /// None for a normal one, else `build` or `dev`.
    pub(crate) kind: Option<String>,
}

impl Repo {
    /// Asks cargo.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
            .output()
            .context("run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let metadata = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
        Ok(Self { metadata })
    }

    /// The top folder.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.metadata.workspace_root
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> &Utf8Path {
        &self.metadata.target_directory
    }

    /// What cargo says of the workspace and everything it links.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Paths of all files that git knows or would add, relative to the top.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<Utf8PathBuf>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(self.root())
            .output()
            .context("run git ls-files")?;
        if !output.status.success() {
            bail!("git ls-files failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let text = String::from_utf8(output.stdout).context("a file name that is not UTF-8")?;
        let paths = text.split('\0').filter(|path| !path.is_empty()).map(Utf8PathBuf::from);
        // A file that was deleted and not yet committed is still listed.
        Ok(paths.filter(|path| self.root().join(path).is_file()).collect())
    }

    /// Contents of a file, by its path relative to the top.
    pub(crate) fn read(&self, path: &Utf8Path) -> anyhow::Result<String> {
        std::fs::read_to_string(self.root().join(path)).with_context(|| format!("read {path}"))
    }
}
