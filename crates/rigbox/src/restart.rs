//! `rigbox restart`: asks the supervisor to let another process take a role over, and waits until that
//! serves, or until it is known that it will not.
//! Does not start or end a process itself: the supervisor does, which has the sockets.

use std::{process::ExitCode, thread, time::Duration};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    layout::{Layout, Role},
    output,
    state::{ROLE_PATIENCE, State, Takeovers},
    supervise::READY_PATIENCE,
    up::{Up, require_root},
};

/// How long the supervisor may take to say how it went, beyond its own limits: it may have much to do.
const MARGIN: Duration = Duration::from_secs(10);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Restarts the edge.
///
/// # Errors
/// Where the platform does not run, or another edge does not come to serve; the one before then stays.
pub(crate) fn edge(up: &Up<'_>) -> anyhow::Result<ExitCode> {
    require_root("restart")?;
    let state = supervised(up.layout)?;
    let before = &state.takeovers;
    // One that is under way may have read what was changed since: the next one counts.
    let under_way = before.begun != before.ended;
    let awaited = before.begun.wrapping_add(1);
    let pid = i32::try_from(state.supervisor.pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("the supervisor's process")?;
    kill_process(pid, Signal::USR1).context("ask the supervisor")?;
    let turns = if under_way { 2 } else { 1 };
    let patience = (READY_PATIENCE + ROLE_PATIENCE) * turns + MARGIN;
    let mut progress = output::Progress::default();
    progress.show("starting another edge");
    for _ in 0..patience.as_millis() / LOOK_EVERY.as_millis() {
        let now = supervised(up.layout)?.takeovers;
        if has_come(now.ended, awaited) {
            return said(up.layout, &now, &mut progress);
        }
        if has_come(now.begun, awaited) {
            progress.show("waiting until another edge serves; the one before still does");
        }
        thread::sleep(LOOK_EVERY);
    }
    bail!(
        "the supervisor did not say within {} s whether another edge serves\nhint: {}",
        patience.as_secs(),
        up.layout.command("status"),
    )
}

fn said(
    layout: &Layout,
    takeovers: &Takeovers,
    progress: &mut output::Progress,
) -> anyhow::Result<ExitCode> {
    let Some(failure) = &takeovers.failure else {
        progress.done("another edge serves; the one before ends what it has under way");
        return Ok(ExitCode::SUCCESS);
    };
    progress.end();
    bail!(
        "no other edge serves, the one before was kept: {failure}\nhint: its log is {}",
        layout.log(Role::Edge.as_str())
    )
}

/// The state of a platform that runs.
fn supervised(layout: &Layout) -> anyhow::Result<State> {
    let state = State::read(layout)?.filter(|state| state.supervisor.is_alive());
    let Some(state) = state else {
        bail!("the platform does not run\nhint: {}", layout.command("up"));
    };
    Ok(state)
}

/// Whether a count that wraps has come as far as `awaited`.
fn has_come(count: u32, awaited: u32) -> bool {
    count.wrapping_sub(awaited) < u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_comes_over_its_end() {
        assert!(has_come(3, 3) && has_come(4, 3) && has_come(1, u32::MAX));
        assert!(!has_come(2, 3) && !has_come(u32::MAX, 1));
    }
}
