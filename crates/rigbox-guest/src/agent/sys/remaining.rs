//! What is left of a session of processes once its leader has ended. The kernel tells only the
//! foreground of a terminal that it hangs up; a shell that was ended tells its jobs nothing.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tracing::debug;

/// Hangs up on all processes of a session. As long as there is one, its number is not given to
/// another.
pub(crate) fn hang_up(session: u32) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for pid in pids.filter(|pid| session_of(*pid) == Some(session)) {
        if let Err(error) = signal(pid, session) {
            debug!(pid, %error, "process not hung up on");
        }
    }
}

fn signal(pid: u32, session: u32) -> rustix::io::Result<()> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let handle = pidfd_open(process, PidfdFlags::empty())?;
    // Only now is it sure that the number is not another's meanwhile.
    if session_of(pid) == Some(session) { pidfd_send_signal(handle, Signal::HUP) } else { Ok(()) }
}

fn session_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // State, parent, group and session follow the name, which may have anything in it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}
