//! `rigbox ai`: prices, and `rotate-key`, which encrypts the keys that owners have at AI providers with a new
//! key. That works on the database and the vault's file themselves, beside a running platform or without one, as control's own user.
//! Decides nothing: that nothing is lost wherever it is cut off is `rigbox_ai::vault`'s to keep.

use std::{fs, os::unix::fs::MetadataExt as _, process::ExitCode};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;
use rigbox_ai::{prices, vault};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    cli::{Place, with_platform},
    control,
    layout::Role,
    output, role,
    state::State,
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
    /// Print the prices that are compiled in, or check a file of your own.
    #[command(after_help = "Examples:
  rigbox ai prices > /etc/rigbox/prices.toml
  rigbox ai prices --check /etc/rigbox/prices.toml")]
    Prices {
        /// Check this file instead.
        #[arg(long, value_name = "FILE")]
        check: Option<Utf8PathBuf>,
    },
    /// Have the AI proxy read the file of prices again. Calls under way keep the prices that they began with.
    #[command(after_help = "Example:\n  rigbox ai reload")]
    Reload {
        #[command(flatten)]
        place: Place,
    },
}

/// Does it.
///
/// # Errors
/// Where keys were not rotated to the end.
pub(crate) fn ai(verb: &AiVerb) -> anyhow::Result<ExitCode> {
    match verb {
        AiVerb::RotateKey { place, json } => with_platform(place, None, |up, _| rotate(up, *json)),
        AiVerb::Prices { check: Some(file) } => {
            check(file)?;
            output::note(&format!("{file} is in order"));
            Ok(ExitCode::SUCCESS)
        }
        AiVerb::Prices { check: None } => {
            output::data(prices::embedded_text().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        AiVerb::Reload { place } => with_platform(place, None, |up, _| reload(up)),
    }
}

fn check(file: &Utf8Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    prices::Table::parse(&text).with_context(|| file.to_string())?;
    Ok(())
}

/// Checks the file first: the proxy keeps the prices that it has where they are wrong, and says so in its
/// log alone.
fn reload(up: &Up<'_>) -> anyhow::Result<ExitCode> {
    require_root("ai reload")?;
    if let Some(file) = &up.config.ai.prices_file {
        check(file)?;
    }
    let state = State::read(up.layout)?;
    let roles = state.iter().flat_map(|state| &state.roles);
    let proxy = roles.into_iter().find(|role| role.role == Role::AiProxy);
    let Some(proxy) = proxy.filter(|role| role.process.is_alive()) else {
        bail!("the AI proxy does not run\nhint: {}", up.layout.command("up"));
    };
    let pid = i32::try_from(proxy.process.pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("the AI proxy's process")?;
    kill_process(pid, Signal::HUP).context("ask the AI proxy")?;
    output::note("the AI proxy reads its prices again");
    Ok(ExitCode::SUCCESS)
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
