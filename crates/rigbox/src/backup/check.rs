//! Reads a whole backup without restoring it, and says whether it is good.

use std::{collections::BTreeMap, io::Read, process::ExitCode};

use serde_json::json;

use super::{
    document::{CONFIG, Contents, HOST_ID, Manifest, SMALL_MAX_BYTES},
    place::Place,
    unpack, words,
};
use crate::output;

/// A backup that is good, with its small parts that decide how it is restored.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) manifest: Manifest,
    small: BTreeMap<String, String>,
}

impl Good {
    /// Reads it from its beginning to its end.
    ///
    /// # Errors
    /// Names the part that is not good.
    pub(super) fn read(from: &Place) -> anyhow::Result<Self> {
        let mut progress = output::Progress::default();
        let mut small = BTreeMap::new();
        let manifest = unpack::read(from.open()?, &mut |entry, body| {
            progress.show(&format!("checking {}", entry.name));
            if [CONFIG, HOST_ID].contains(&entry.name.as_str()) {
                let mut text = String::new();
                body.take(SMALL_MAX_BYTES).read_to_string(&mut text)?;
                small.insert(entry.name.clone(), text);
            }
            Ok(())
        })?;
        progress.done(&format!("{} is good", from.shown()));
        Ok(Self { manifest, small })
    }

    /// A small part.
    pub(super) fn small(&self, name: &str) -> Option<&str> {
        self.small.get(name).map(String::as_str)
    }
}

/// `rigbox restore --check`.
///
/// # Errors
/// Where it is not good.
pub(super) fn run(from: &Place, is_json: bool) -> anyhow::Result<ExitCode> {
    let Good { manifest, .. } = Good::read(from)?;
    if is_json {
        let document = json!({
            "event": "checked",
            "place": from.shown(),
            "contents": manifest.contents,
            "rigbox": manifest.rigbox,
            "host": manifest.platform.host,
            "engine": manifest.engine,
            "consistent_at": manifest.consistent_at,
            "finished_at": manifest.finished_at,
            "parts": manifest.parts.len(),
            "needed_bytes": manifest.stored_bytes(),
            "workspaces": manifest.workspaces,
        });
        output::data(&document.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let disks = match manifest.contents {
        Contents::Everything => format!("{} disks", manifest.disks()),
        Contents::Database => "no disks".to_owned(),
    };
    output::data(&format!(
        "{}: made by rigbox {} as of {}; {} workspaces, {disks}; needs {}",
        from.shown(),
        manifest.rigbox,
        manifest.consistent_at,
        manifest.workspaces.len(),
        words::size(manifest.stored_bytes()),
    ));
    Ok(ExitCode::SUCCESS)
}
