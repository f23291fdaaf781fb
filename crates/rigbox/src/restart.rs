//! `rigbox restart`: asks the supervisor to let another process take a role over, and waits until it has.
//! Does not start or end a process itself: the supervisor does, which has the sockets.

use std::{process::ExitCode, thread, time::Duration};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    layout::{Layout, Role},
    output,
    process::Identity,
    state::State,
    up::{Up, require_root},
};

/// How long the new process may take: it reads what it serves from its disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Restarts the edge.
///
/// # Errors
/// Where the platform does not run, or its edge does not come back.
pub(crate) fn edge(up: &Up<'_>) -> anyhow::Result<ExitCode> {
    require_root("restart")?;
    let state = State::read(up.layout)?.filter(|state| state.supervisor.is_alive());
    let Some(state) = state else {
        bail!("the platform does not run\nhint: {}", up.layout.command("up"));
    };
    let former = running(&state);
    let pid = i32::try_from(state.supervisor.pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("the supervisor's process")?;
    kill_process(pid, Signal::USR1).context("ask the supervisor")?;
    let looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        if has_successor(up.layout, former)? {
            output::note("another edge serves; the one before ends what it has under way");
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(LOOK_EVERY);
    }
    bail!(
        "the edge is not back after {} s\nhint: its log is {}",
        PATIENCE.as_secs(),
        up.layout.log(Role::Edge.as_str())
    )
}

fn has_successor(layout: &Layout, former: Option<Identity>) -> anyhow::Result<bool> {
    let now = State::read(layout)?.as_ref().and_then(running);
    Ok(now.is_some_and(|now| Some(now) != former && now.is_alive()))
}

fn running(state: &State) -> Option<Identity> {
    let role = state.roles.iter().find(|running| running.role == Role::Edge);
    role.map(|running| running.process)
}
