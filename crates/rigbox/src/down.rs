//! `rigbox down`: ends the supervisor, its roles and every workspace, and leaves no process,
//! namespace, tap, mount, loop device, nft table or cgroup of this platform on the machine.
//! Invariant: works from any state, also where the supervisor was killed, and twice in a row.
//! Disks, the database and keys stay: `rigbox up` goes on from them.

use std::{
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    data, files, host,
    layout::Role,
    output,
    state::{self, Lock, State},
    supervise::environment,
    up::{Up, require_root, write_host_config},
};

/// How long a supervisor may take to end: longer than a role, which it waits for.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(40);

/// Ends everything.
///
/// # Errors
/// Names what could not be ended.
pub(crate) fn run(up: &Up<'_>) -> anyhow::Result<ExitCode> {
    require_root("down")?;
    let layout = up.layout;
    let Some(platform) = data::existing(layout, up.config)? else {
        output::note(&format!("there is no platform in {}, so nothing to end", layout.data()));
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(state) = State::read(layout)?
        && state.supervisor.is_alive()
    {
        output::note("ending the platform");
        state.supervisor.end(SUPERVISOR_PATIENCE).context("end the supervisor")?;
    }
    let lock = Lock::take(layout)?;
    state::end_roles(&state::running_roles(layout)?)?;
    write_host_config(up, &platform)?;
    output::note("ending workspaces and removing what the platform made on this machine");
    let program = up.install.program(host::PROGRAM)?;
    let config = layout.role_config(Role::Host);
    let status = Command::new(&program)
        .args(["down", "--config", config.as_str()])
        .env_clear()
        .envs(environment())
        .env("RIGBOX_LOG", "warn")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("start {program}"))?;
    if !status.success() {
        bail!(
            "not everything could be removed ({status}, see above)\n\
             hint: rigbox down again; rigbox doctor"
        );
    }
    files::remove(&layout.state())?;
    drop(lock);
    output::note(&format!("everything has ended; data stays in {}", layout.data()));
    Ok(ExitCode::SUCCESS)
}
