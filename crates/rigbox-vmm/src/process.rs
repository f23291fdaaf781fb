//! The identity of a process: pid, start time and boot of the machine, so that a pid that has
//! been given to another process is never taken for it, nor signalled.

use std::{fmt, fs, io, os::fd::OwnedFd, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};

use crate::VmmError;

/// A process, now and after it is gone. Made only from a live process or read from a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number, which is reused.
    pub pid: u32,
    /// When it started, in clock ticks since the machine's boot: field 22 of `/proc/<pid>/stat`.
    pub start_time_ticks: u64,
    /// The first half of the machine's boot id. The two other numbers repeat after a reboot.
    pub boot: u64,
}

impl ProcessId {
    /// The identity of the process that has this pid now.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = Stat::read(pid)?;
        Ok(Self { pid, start_time_ticks: stat.start_time_ticks, boot: boot_id()? })
    }

    /// Whether it runs. A zombie does not. One that cannot be looked at, because this process is
    /// short of descriptors or memory, counts as alive: nothing says that it ended.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.stat().map_or(true, |stat| stat.is_some_and(|stat| !stat.is_dead()))
    }

    /// A descriptor that means this process and no later one with its pid; none if it is gone. Of a
    /// process that has ended but was not reaped there still is one.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the descriptor is open: if the pid is still the same process now, it was
        // when the descriptor was made.
        Ok(self.stat()?.is_some().then_some(fd))
    }

    /// Waits until it is gone.
    pub async fn wait_exit(&self) -> Result<(), VmmError> {
        let pidfd = |source| VmmError::File { action: "watch", path: self.proc_path(), source };
        let Some(fd) = self.open().map_err(pidfd)? else { return Ok(()) };
        let fd = watch(fd).map_err(pidfd)?;
        // A pidfd is readable from the end of the process on, and stays so.
        fd.readable().await.map(drop).map_err(pidfd)
    }

    /// Sends SIGKILL and waits until it is gone. Success if it was.
    pub async fn kill(&self) -> Result<(), VmmError> {
        let pidfd = |source| VmmError::File { action: "kill", path: self.proc_path(), source };
        let Some(fd) = self.open().map_err(pidfd)? else { return Ok(()) };
        match pidfd_send_signal(&fd, Signal::KILL) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(pidfd(error.into())),
        }
        timeout(KILL_TIMEOUT, self.wait_exit()).await.unwrap_or(Err(VmmError::TimedOut {
            what: "the end of a killed VMM process",
            limit_ms: KILL_TIMEOUT_MS,
        }))
    }

    /// What `/proc` says of it, if it is there.
    fn stat(&self) -> io::Result<Option<Stat>> {
        let stat = match Stat::read(self.pid) {
            Ok(stat) => stat,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let same = stat.start_time_ticks == self.start_time_ticks && boot_id()? == self.boot;
        Ok(same.then_some(stat))
    }

    fn proc_path(&self) -> camino::Utf8PathBuf {
        format!("/proc/{}", self.pid).into()
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (started at tick {})", self.pid, self.start_time_ticks)
    }
}

#[expect(unsafe_code, reason = "the safe constructor of AsyncFd is deprecated as unsound")]
fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` yields the same open descriptor until it is dropped, and the `AsyncFd`
    // owns it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}

/// Whether an error of a file in `/proc` says that the process is not there: before the file was
/// opened, or since.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// What we read of `/proc/<pid>/stat`.
struct Stat {
    state: char,
    threads: u32,
    start_time_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The name in parentheses may hold spaces and parentheses: fields are counted from the last.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // `state` is field 3, so this is field 20, and field 22 is the second after it.
        let threads = fields.nth(16)?.parse().ok()?;
        let start_time_ticks = fields.nth(1)?.parse().ok()?;
        Some(Self { state, threads, start_time_ticks })
    }

    /// The state is that of the first thread, which may be a zombie while others still hold the tap
    /// and the disk.
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

fn boot_id() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// A killed process is gone at once unless it hangs in the kernel, as in writing its memory to a
/// slow disk.
const KILL_TIMEOUT: Duration = Duration::from_millis(KILL_TIMEOUT_MS);
const KILL_TIMEOUT_MS: u64 = 20_000;

#[cfg(test)]
mod tests;
