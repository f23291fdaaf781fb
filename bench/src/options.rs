//! What the options of several runs have in common.

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// Words of options are those that are read.
macro_rules! shown_as_option {
    ($($kind:ty),*) => {$(
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let value = clap::ValueEnum::to_possible_value(self);
                f.write_str(value.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )*};
}
pub(crate) use shown_as_option;

/// A directory for what a run writes, below `folder` or the system's temporary directory, with its path.
/// It is there until it is dropped.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn scratch(folder: Option<&Utf8Path>) -> Result<(TempDir, Utf8PathBuf)> {
    let mut scratch = tempfile::Builder::new();
    let scratch = scratch.prefix("rb");
    let dir = match folder {
        Some(folder) => scratch.tempdir_in(folder),
        None => scratch.tempdir(),
    };
    let dir = dir.context("make a directory")?;
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned());
    let path = path.map_err(|path| anyhow::anyhow!("{} is no text", path.display()))?;
    Ok((dir, path))
}
