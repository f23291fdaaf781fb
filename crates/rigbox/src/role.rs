//! What every role does first, before it has threads: tie its life to its supervisor's.

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Asks the kernel to end this process politely when its parent ends, and checks that the parent
/// is still the one that was meant. A credential change undoes it: call it again afterwards.
///
/// # Errors
/// Where the parent is already gone.
pub(crate) fn follow(parent: Option<u32>) -> anyhow::Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM)).context("follow the supervisor")?;
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    if now != Some(parent) {
        bail!("the supervisor (process {parent}) is gone");
    }
    Ok(())
}
