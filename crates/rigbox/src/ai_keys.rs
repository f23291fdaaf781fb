//! `rigbox ai rotate-key`: encrypts the keys that owners have at AI providers with a new key. Works on the
//! database and the vault's file themselves, beside a running platform or without one, as control's own user.
//! Decides nothing: that nothing is lost wherever it is cut off is `rigbox_ai::vault`'s to keep.

use std::{fs, os::unix::fs::MetadataExt as _, process::ExitCode};

use anyhow::{Context, bail};
use clap::Subcommand;
use rigbox_ai::vault;
use serde_json::json;

use crate::{
    cli::{Place, with_platform},
    control, output, role,
    up::{Up, require_root},
};

/// What to do about AI.
#[derive(Debug, Subcommand)]
pub(crate) enum AiVerb {
    /// Encrypt the keys that owners have at AI providers with a new key, and forget the old one. The
    /// platform may run meanwhile; what was cut off is gone on with by the next time.
    #[command(after_help = "Examples:\n  rigbox ai rotate-key\n  rigbox ai rotate-key --json")]
    RotateKey {
        #[command(flatten)]
        place: Place,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
///
/// # Errors
/// Where keys were not rotated to the end.
pub(crate) fn ai(verb: &AiVerb) -> anyhow::Result<ExitCode> {
    let AiVerb::RotateKey { place, json } = verb;
    with_platform(place, None, |up, _| rotate(up, *json))
}

fn rotate(up: &Up<'_>, json: bool) -> anyhow::Result<ExitCode> {
    require_root("ai rotate-key")?;
    let secrets = up.layout.control();
    if !secrets.exists() {
        bail!("there is no platform in {} yet\nhint: rigbox up", up.layout.data());
    }
    let store = control::store_url(
        &secrets.join("rigbox.db"),
        up.config.control.database_url_file.as_deref(),
    )?;
    // What is written stays control's, and nothing that control has put there leads root anywhere.
    let owner = fs::metadata(&secrets).context("look at control's directory")?.uid();
    role::give_root_up("rigbox ai rotate-key", owner, &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rotated =
        runtime.block_on(vault::rotate_at(&store, &secrets)).context("rotate the keys")?;
    let vault::Rotated { generation, rows } = rotated;
    if json {
        output::data(&json!({ "generation": generation, "rows": rows }).to_string());
    } else {
        output::data(&format!("{rows} keys are encrypted anew, with key {generation}"));
    }
    Ok(ExitCode::SUCCESS)
}
