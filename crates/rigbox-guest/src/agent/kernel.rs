//! What the agent does to the running system, beyond files. With a root of its own (tests) nothing
//! of the machine is touched: the wish is written down where a test can read it, and a shutdown
//! ends the agent.

use std::{fs::File, io, path::Path, time::Duration};

use rigbox_types::{Timestamp, guest::ShutdownKind};
use rustix::{
    process::{Pid, Signal, kill_process},
    system::{RebootCommand, reboot, sethostname},
    time::{ClockId, Timespec, clock_settime},
};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{
    clock,
    program::Program,
    root::Root,
    sys::{ext4, freeze, random},
};

/// A clock that is this close is left alone: a step is worse for programs than the difference.
const CLOCK_TOLERANCE_MICROS: u64 = 250_000;

/// How long an init that was asked to end has before the kernel is told to. systemd's own limit
/// for stopping units is longer, and the host's wait decides in the end.
const INIT_PATIENCE: Duration = Duration::from_secs(8);

/// The running system, or what stands for it.
pub(crate) struct Kernel {
    root: Root,
    /// A test's agent was told to shut down.
    ended: Notify,
}

impl Kernel {
    pub(crate) fn new(root: Root) -> Self {
        Self { root, ended: Notify::new() }
    }

    pub(crate) fn set_hostname(&self, name: &str) -> io::Result<()> {
        if self.root.is_real() {
            sethostname(name.as_bytes())?;
        }
        Ok(())
    }

    /// Sets the clock, unless it is right.
    pub(crate) fn set_time(&self, now: Timestamp) -> io::Result<()> {
        if now.as_micros().abs_diff(clock::now().as_micros()) <= CLOCK_TOLERANCE_MICROS {
            return Ok(());
        }
        if !self.root.is_real() {
            return self.note("clock", &now.to_string());
        }
        let micros = now.as_micros();
        let time = Timespec {
            tv_sec: micros.div_euclid(1_000_000),
            tv_nsec: micros.rem_euclid(1_000_000).saturating_mul(1000),
        };
        clock_settime(ClockId::Realtime, time)?;
        info!(%now, "clock set");
        Ok(())
    }

    /// Lets the root file system take up what its disk has grown by. Waits for the disk.
    pub(crate) fn grow_root(&self) -> io::Result<()> {
        if self.root.is_real() { ext4::grow(Path::new("/")) } else { self.note("grown", "") }
    }

    /// Holds the root file system still, and gives what it is let go with.
    pub(crate) fn freeze_root(&self) -> io::Result<File> {
        if !self.root.is_real() {
            self.note("frozen", "")?;
            return File::open("/");
        }
        let mount = File::open("/")?;
        freeze::freeze(&mount)?;
        Ok(mount)
    }

    pub(crate) fn thaw_root(&self, mount: &File) -> io::Result<()> {
        if self.root.is_real() { freeze::thaw(mount) } else { self.note("thawed", "") }
    }

    /// Lets go of what a former agent held that was ended meanwhile. Mostly there is nothing.
    pub(crate) fn thaw_left(&self) {
        if self.root.is_real() && File::open("/").and_then(|mount| freeze::thaw(&mount)).is_ok() {
            warn!("the file system was held by a former agent");
        }
    }

    pub(crate) fn reseed(&self, random: &[u8]) -> io::Result<()> {
        if self.root.is_real() { random::reseed(random) } else { self.note("reseed", "") }
    }

    /// Ends the guest. Does not come back in a guest.
    pub(crate) async fn shutdown(&self, kind: ShutdownKind) {
        info!(?kind, "shutting down");
        if !self.root.is_real() {
            let word = match kind {
                ShutdownKind::Poweroff => "poweroff",
                ShutdownKind::Reboot => "reboot",
            };
            if let Err(error) = self.note("shutdown", word) {
                error!(%error, "shutdown not noted");
            }
            return self.ended.notify_one();
        }
        if self.ask_init(kind).await {
            tokio::time::sleep(INIT_PATIENCE).await;
            if self.has_systemd() {
                // systemd is at it; whoever is in its way is its to end.
                return;
            }
            warn!("init did not end the guest");
        }
        rustix::fs::sync();
        let command = match kind {
            ShutdownKind::Poweroff => RebootCommand::PowerOff,
            ShutdownKind::Reboot => RebootCommand::Restart,
        };
        if let Err(error) = reboot(command) {
            error!(%error, "the kernel does not end the guest");
        }
    }

    /// Waits for the shutdown of a test's agent.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    pub(crate) fn has_systemd(&self) -> bool {
        self.root.exists("/run/systemd/system")
    }

    /// Says whether init has been told in a way that it understands.
    async fn ask_init(&self, kind: ShutdownKind) -> bool {
        if self.has_systemd() {
            let verb = match kind {
                ShutdownKind::Poweroff => "poweroff",
                ShutdownKind::Reboot => "reboot",
            };
            let asked = Program::new("systemctl").args(["--no-block", verb]).run().await;
            match asked {
                Ok(output) if output.is_success() => return true,
                Ok(output) => error!(error = output.stderr(), "systemctl refused"),
                Err(error) => error!(%error, "systemctl not run"),
            }
        }
        // What busybox's init understands. To an init without a handler it means nothing.
        let signal = match kind {
            ShutdownKind::Poweroff => Signal::USR2,
            ShutdownKind::Reboot => Signal::TERM,
        };
        let caught = is_caught(&self.root.read_or_empty("/proc/1/status"), signal);
        caught && kill_process(Pid::INIT, signal).is_ok()
    }

    fn note(&self, what: &str, content: &str) -> io::Result<()> {
        self.root.write(&format!("/run/rigbox/{what}"), content.as_bytes(), 0o644).map(drop)
    }
}

/// Whether a process, by its `/proc/<pid>/status`, has a handler for a signal.
fn is_caught(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let bit = u32::try_from(signal.as_raw().saturating_sub(1)).ok();
    bit.and_then(|bit| 1_u64.checked_shl(bit)).is_some_and(|bit| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_found_in_the_status_of_a_process() {
        let status = "Name:\tinit\nSigIgn:\tffffffffffffffff\nSigCgt:\t0000000000004a01\n";
        assert!(is_caught(status, Signal::TERM));
        assert!(is_caught(status, Signal::USR2));
        assert!(!is_caught(status, Signal::QUIT));
        assert!(!is_caught("", Signal::TERM));
    }
}
