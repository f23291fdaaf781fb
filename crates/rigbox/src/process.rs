//! The identity of a process: pid, start time and boot of the machine, so that a pid that was given
//! to another process is never taken for it, nor signalled.

use std::{fs, io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// A process, now and after it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Its number, which is reused.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine's boot.
    start_time_ticks: u64,
    /// Half of the machine's boot id: the two other numbers repeat after a reboot.
    boot: u64,
}

impl Identity {
    /// Of the process that has this pid now.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let (start_time_ticks, _) = stat(pid)?;
        Ok(Self { pid, start_time_ticks, boot: boot_id()? })
    }

    /// Of this process.
    ///
    /// # Errors
    /// Where `/proc` is not mounted.
    pub(crate) fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether it runs. A zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_ok_and(|(ticks, dead)| ticks == self.start_time_ticks && !dead)
            && boot_id().is_ok_and(|boot| boot == self.boot)
    }

    /// Asks it to end, waits, and ends it if it has not. Success if it is gone.
    ///
    /// # Errors
    /// Where it cannot be signalled, or survives SIGKILL.
    pub(crate) fn end(&self, patience: Duration) -> io::Result<()> {
        let Some(fd) = self.open()? else { return Ok(()) };
        // A stopped process would sleep through the time that it is given.
        if send(&fd, Signal::TERM)? || send(&fd, Signal::CONT)? || wait(&fd, patience)? {
            return Ok(());
        }
        if send(&fd, Signal::KILL)? || wait(&fd, KILL_PATIENCE)? {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} survives", self.pid)))
    }

    /// A descriptor that means this process and no later one with its pid; none if it is gone.
    fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the descriptor is open: if the pid is still the same process now, it was
        // when the descriptor was made.
        Ok(self.is_alive().then_some(fd))
    }
}

/// Every process of the machine whose command line `matches`. A process that ends meanwhile is
/// left out.
///
/// # Errors
/// Where `/proc` cannot be listed.
pub(crate) fn find(matches: impl Fn(&[&str]) -> bool) -> io::Result<Vec<Identity>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // The identity first: if the pid changes hands in between, it is not alive.
        let Ok(identity) = Identity::of(pid) else { continue };
        let Ok(line) = fs::read_to_string(format!("/proc/{pid}/cmdline")) else { continue };
        let words: Vec<&str> = line.split_terminator('\0').collect();
        if matches(&words) {
            found.push(identity);
        }
    }
    Ok(found)
}

/// A killed process is gone at once unless it hangs in the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Whether it was already gone.
fn send(fd: &OwnedFd, signal: Signal) -> io::Result<bool> {
    match pidfd_send_signal(fd, signal) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::SRCH) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether it ended in time.
fn wait(fd: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    let ended = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit))?;
    Ok(ended > 0)
}

/// Start time, and whether it is dead, of `/proc/<pid>/stat`.
fn stat(pid: u32) -> io::Result<(u64, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name in parentheses may hold spaces and parentheses: fields are counted from the last one.
fn parse_stat(text: &str) -> Option<(u64, bool)> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    // The state is field 3; field 22 is 18 after the one that follows it.
    Some((fields.nth(18)?.parse().ok()?, dead))
}

fn boot_id() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let rest = (4..22).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(parse_stat(&format!("7 (a b) c) S {rest} 99 23")), Some((99, false)));
        assert_eq!(parse_stat(&format!("7 (a) Z {rest} 99 23")), Some((99, true)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_it() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        let earlier = Identity { start_time_ticks: own.start_time_ticks - 1, ..own };
        assert!(!earlier.is_alive());
        assert!(earlier.end(Duration::ZERO).is_ok());
        let other_boot = Identity { boot: own.boot ^ 1, ..own };
        assert!(!other_boot.is_alive());
    }

    #[test]
    fn a_process_that_ignores_the_polite_signal_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(out), &mut line).unwrap();
        let identity = Identity::of(child.id()).unwrap();
        identity.end(Duration::from_millis(50)).unwrap();
        assert!(!identity.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_found_by_its_words() {
        let script = "echo ready; read line";
        let mark = format!("rigbox-find-{}", std::process::id());
        let mut child = Command::new("sh")
            .args(["-c", script, &mark])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // A spawn returns before the kernel has set the new command line: its first output is later.
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(out), &mut line).unwrap();
        let found = find(|words| words == ["sh", "-c", script, &mark]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.iter().map(|identity| identity.pid).collect::<Vec<_>>(), [child.id()]);
    }
}
