//! Makes a systemd unit of the process that listens at a port, and has the unit take its place.
//! Invariants: everything that can be refused is refused before the process is touched; what was
//! touched is said; a unit that does not listen in time is taken away again. The process is known by a
//! descriptor of it, never by its number alone. One at a time.
//! Does not start again what was ended: how it was started nobody knows any more.

mod process;
mod unit;

use std::{io, os::fd::OwnedFd, time::Duration};

use rigbox_types::{
    api::error::ErrorCode,
    guest::units::{AGENT_UNIT, WRAP_NAME_MAX_LEN, WRAP_PREFIX, WrapAnswer, WrapRequest},
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use self::{
    process::{Process, unfit},
    unit::{Unfit, render},
};
use super::{
    Guest, ports,
    program::{Output, Program},
    refusal::Refusal,
    root::remove_if_there,
};

const FOLDER: &str = "/etc/systemd/system";

/// How long the process may take to leave the port after it was asked to end, and after it was killed.
const END_MAX: Duration = Duration::from_secs(8);
const KILL_MAX: Duration = Duration::from_secs(2);

/// How long the unit may take until it listens. With the times above it is less than whoever asked
/// waits.
const LISTEN_MAX: Duration = Duration::from_secs(25);

/// How long looking at the process may take.
const READ_MAX: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Most of the unit's own words that are handed on.
const SAID_MAX_LEN: usize = 400;

/// Two of them would wait for each other's port.
static TURN: Mutex<()> = Mutex::const_new(());

/// `POST /units`.
pub(crate) async fn wrap(guest: &Guest, request: WrapRequest) -> Result<WrapAnswer, Refusal> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let name = &request.name;
    if name.is_empty() || name.len() > WRAP_NAME_MAX_LEN || !name.bytes().all(plain) {
        let rule = format!("must be 1 to {WRAP_NAME_MAX_LEN} lower-case letters, digits and '-'");
        return Err(Refusal::field("name", rule));
    }
    if !guest.root.is_real() || !guest.kernel.has_systemd() {
        let text = "this workspace's image has no systemd to run a unit: publish the port as it is";
        return Err(Refusal::new(ErrorCode::Unsupported, text));
    }
    let Ok(_turn) = TURN.try_lock() else {
        return Err(Refusal::unavailable("another unit is being made: repeat this in a minute"));
    };
    let port = request.port;
    let pid = listener(guest, port).await?;
    let handle = open(pid)?;
    // The number was free for somebody else until it was opened.
    if listener(guest, port).await? != pid {
        return Err(Refusal::unavailable("another process listens now: repeat this"));
    }
    let taking = Taking { guest, port, unit: format!("{WRAP_PREFIX}{name}.service") };
    let process = read(guest, pid).await?;
    let text = render(name, &process).map_err(|error| {
        unfit(match error {
            Unfit::Directory => "systemd takes no working directory with such a name",
            Unfit::Program => "systemd takes no program with such a name",
        })
    })?;
    taking.install(&text).await?;
    if let Err(refusal) = taking.switch(&handle).await {
        taking.remove().await;
        return Err(refusal);
    }
    info!(unit = taking.unit, port, "unit took the place of a process");
    Ok(WrapAnswer { unit: taking.unit })
}

/// A unit that takes a port.
struct Taking<'a> {
    guest: &'a Guest,
    port: u16,
    unit: String,
}

impl Taking<'_> {
    /// Nothing of the process has changed after this.
    async fn install(&self, text: &str) -> Result<(), Refusal> {
        let unit = &self.unit;
        let path = format!("{FOLDER}/{unit}");
        // Whoever it is of may have changed it since.
        if self.guest.root.exists(&path) {
            let text = format!(
                "the workspace has a unit {unit} already: start that, choose another name, or remove \
                 it with 'sudo systemctl disable --now {unit}; sudo rm {path}'"
            );
            return Err(Refusal::new(ErrorCode::Conflict, text));
        }
        let written = self.guest.root.write(&path, text.as_bytes(), 0o644);
        written.map_err(|error| Refusal::of_path(&path, &error))?;
        for args in [&["daemon-reload"][..], &["enable", unit]] {
            if let Err(why) = done(systemctl(args).await) {
                self.remove().await;
                let text =
                    format!("systemd does not take the unit, and nothing was changed: {why}");
                return Err(Refusal::unavailable(text));
            }
        }
        Ok(())
    }

    async fn switch(&self, process: &OwnedFd) -> Result<(), Refusal> {
        let (unit, port) = (&self.unit, self.port);
        for (signal, patience) in [(Signal::TERM, END_MAX), (Signal::KILL, KILL_MAX)] {
            // One that has ended has left the port too.
            if let Err(error) = pidfd_send_signal(process, signal) {
                warn!(%error, "process not signalled");
            }
            if self.until(patience, |listens| listens.is_none()).await {
                break;
            }
        }
        if let Some(other) = self.listens().await {
            let who =
                if other == 0 { "another process".to_owned() } else { format!("process {other}") };
            let text = format!(
                "the process that listened was ended, but {who} listens at port {port} now, which \
                 may be what started it: its unit was removed. End that first, start the program by \
                 itself, and repeat this"
            );
            return Err(Refusal::new(ErrorCode::Conflict, text));
        }
        let started = done(systemctl(&["start", "--no-block", unit]).await);
        let is_ours = |pid: Option<u32>| pid.and_then(unit_of).is_some_and(|found| found == *unit);
        if started.is_ok() && self.until(LISTEN_MAX, is_ours).await {
            return Ok(());
        }
        let said = match started {
            Err(why) => why,
            Ok(()) => self.said().await,
        };
        let text = format!(
            "the process that listened was ended, but its unit did not listen at port {port} within \
             {} s and was removed: start the program again as before. It may need a variable that a \
             unit does not keep: set it in the workspace's environment and repeat this. It said: {said}",
            LISTEN_MAX.as_secs(),
        );
        Err(Refusal::new(ErrorCode::Conflict, text))
    }

    async fn until(&self, patience: Duration, is_so: impl Fn(Option<u32>) -> bool) -> bool {
        let began = Instant::now();
        loop {
            if is_so(self.listens().await) {
                return true;
            }
            if began.elapsed() >= patience {
                return false;
            }
            sleep(PAUSE).await;
        }
    }

    /// The process that listens; 0 for one that is not known.
    async fn listens(&self) -> Option<u32> {
        // What cannot be read is taken for somebody: a port is free only where that was seen.
        let Ok(read) = ports::read(self.guest).await else { return Some(0) };
        let at = read.ports.into_iter().find(|at| at.port == self.port)?;
        Some(at.pid.unwrap_or_default())
    }

    /// What the unit wrote last.
    async fn said(&self) -> String {
        // Of its processes alone: systemd says of it that it is started again and again.
        let of = format!("_SYSTEMD_UNIT={}", self.unit);
        let args = [of.as_str(), "--lines", "3", "--output", "cat", "--no-pager"];
        let said = Program::new("journalctl").args(args).run().await;
        let said = said.map(|said| said.stdout()).unwrap_or_default();
        let said: String = said.trim().chars().take(SAID_MAX_LEN).collect();
        let said = said.replace(char::is_control, " ");
        if said.is_empty() { "nothing".to_owned() } else { said }
    }

    /// Leaves no trace of the unit. What does not work is only noted: there is another reason to tell.
    async fn remove(&self) {
        let unit = self.unit.as_str();
        for args in [&["disable", "--now", unit][..], &["reset-failed", unit]] {
            if let Err(error) = done(systemctl(args).await) {
                warn!(unit, error, "unit not taken away");
            }
        }
        let path = self.guest.root.path(format!("{FOLDER}/{unit}"));
        if let Err(error) = remove_if_there(&path) {
            warn!(unit, %error, "unit not removed");
        }
        if let Err(error) = done(systemctl(&["daemon-reload"]).await) {
            warn!(error, "systemd did not read the units");
        }
    }
}

/// On a thread of its own: a file system of the user's may hold up whoever looks at it.
async fn read(guest: &Guest, pid: u32) -> Result<Process, Refusal> {
    let guest = guest.clone();
    let reading = tokio::task::spawn_blocking(move || process::read(&guest, pid));
    match timeout(READ_MAX, reading).await {
        Ok(read) => read.map_err(|error| Refusal::internal("the process", &error))?,
        Err(_) => Err(unfit("a file system of the workspace does not answer")),
    }
}

/// The process that listens, where a unit can be made of it.
async fn listener(guest: &Guest, port: u16) -> Result<u32, Refusal> {
    let ports = ports::read(guest).await?.ports;
    let mut at = ports.iter().filter(|at| at.port == port).peekable();
    if at.peek().is_none() {
        let text = format!("nothing listens at port {port} of the workspace");
        return Err(Refusal::new(ErrorCode::Conflict, text));
    }
    let pid = at.find_map(|at| at.pid).ok_or_else(|| unfit("it is no process of the workspace"))?;
    if pid == 1 {
        return Err(unfit("systemd itself listens, for a socket unit"));
    }
    if pid == std::process::id() {
        return Err(unfit("it is the platform's agent"));
    }
    match unit_of(pid) {
        Some(unit) if unit != AGENT_UNIT => Err(unfit(&format!("{unit} runs it already"))),
        _ => Ok(pid),
    }
}

/// The service that a process belongs to.
fn unit_of(pid: u32) -> Option<String> {
    let groups = super::root::read_text(format!("/proc/{pid}/cgroup").as_ref()).ok()?;
    service_of(&groups).map(str::to_owned)
}

fn service_of(groups: &str) -> Option<&str> {
    let last = groups.lines().filter_map(|line| line.rsplit('/').next());
    last.into_iter().find(|name| name.ends_with(".service"))
}

fn open(pid: u32) -> Result<OwnedFd, Refusal> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let opened = pid.ok_or(rustix::io::Errno::SRCH);
    let opened = opened.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    opened.map_err(|_| Refusal::unavailable("the process that listened has ended: repeat this"))
}

async fn systemctl(args: &[&str]) -> io::Result<Output> {
    Program::new("systemctl").args(args).run().await
}

/// What went wrong, if anything.
fn done(told: io::Result<Output>) -> Result<(), String> {
    match told {
        Ok(told) if told.is_success() => Ok(()),
        Ok(told) => Err(told.stderr().chars().take(SAID_MAX_LEN).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// The unit files that were made so.
pub(crate) fn units(guest: &Guest) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(guest.root.path(FOLDER)) else { return Vec::new() };
    let names =
        entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    let ours = names.filter(|name| name.starts_with(WRAP_PREFIX) && name.ends_with(".service"));
    ours.take(UNITS_MAX).collect()
}

/// Most units that are told of: root in the workspace may make any number.
const UNITS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_belongs_to_the_service_that_its_group_is_of() {
        for (groups, expected) in [
            ("0::/system.slice/web.service\n", Some("web.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
                Some("x.service"),
            ),
            ("0::/user.slice/user-1000.slice/session-1.scope\n", None),
            ("0::/system.slice/web.service/worker\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(service_of(groups), expected, "{groups:?}");
        }
    }
}
