//! What a supervisor started, on disk, so that a later `up` or `down` finds it: the supervisor
//! itself, its roles, and where the API is.
//! Invariant: a process is known by pid, start time and boot. A role that was started and not yet
//! written down is found by the configuration file in its command line, which no two platforms
//! share.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
};

use anyhow::{Context, bail};
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::{
    files,
    layout::{Layout, Role},
    process::{self, Identity},
};

/// The file `run/up.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The supervisor.
    pub(crate) supervisor: Identity,
    /// How far it is.
    pub(crate) phase: Phase,
    /// Where the API answers, as a URL.
    pub(crate) api: String,
    /// Its roles.
    #[serde(default)]
    pub(crate) roles: Vec<RunningRole>,
    /// What became of each time that another edge was asked for.
    #[serde(default)]
    pub(crate) takeovers: Takeovers,
}

/// How often another process was to take the edge over, for whoever waits for that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Takeovers {
    /// How often it was begun.
    pub(crate) begun: u32,
    /// How often it came to an end, good or bad.
    pub(crate) ended: u32,
    /// Why the last one that ended was given up; none where another edge serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// How far a supervisor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It brings the platform up.
    Starting,
    /// The platform works, and the first workspace runs if there is to be one.
    Ready,
    /// The platform works, and the first workspace does not run.
    ReadyWithoutFirst,
}

/// A role's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningRole {
    /// Which role.
    pub(crate) role: Role,
    /// Its process.
    pub(crate) process: Identity,
}

impl State {
    /// What the last supervisor wrote; none if there was none, or if it is not readable (it was
    /// written by another version), which only costs what the command lines say as well.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub(crate) fn read(layout: &Layout) -> anyhow::Result<Option<Self>> {
        Ok(files::read(&layout.state())?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("state as JSON")?;
        files::write(&layout.state(), text.as_bytes(), files::PLAIN, None)
    }
}

/// That this process is the only supervisor of a data directory, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, or says who has it.
    ///
    /// # Errors
    /// Where another process has it.
    pub(crate) fn take(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.lock();
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("open {path}"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!("{}", taken(layout)),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {path}")),
        }
    }
}

fn taken(layout: &Layout) -> String {
    let data = layout.data();
    let who = State::read(layout).ok().flatten().filter(|state| state.supervisor.is_alive());
    let who = who.map_or_else(String::new, |state| format!(" (process {})", state.supervisor.pid));
    format!(
        "another `rigbox up`{who} runs the platform in {data}\n\
         hint: it is ended with `{}`; a second platform needs a directory of its own: rigbox up \
         --data DIR",
        layout.command("down"),
    )
}

/// Role processes of this platform that run now, whoever started them.
///
/// # Errors
/// Where `/proc` cannot be listed.
pub(crate) fn running_roles(layout: &Layout) -> anyhow::Result<Vec<RunningRole>> {
    let mut found = Vec::new();
    for role in Role::ALL {
        let config = layout.role_config(role);
        let processes = process::find(|words| is_role(words, &config));
        let processes = processes.context("list the processes of this machine")?;
        found.extend(processes.into_iter().map(|process| RunningRole { role, process }));
    }
    let written = State::read(layout)?.map(|state| state.roles).unwrap_or_default();
    for running in written {
        if running.process.is_alive() && !found.contains(&running) {
            found.push(running);
        }
    }
    Ok(found)
}

/// Whether a command line is that of a role with this configuration, also before it becomes the
/// host agent's executable.
fn is_role(words: &[&str], config: &Utf8Path) -> bool {
    let [program, verb, rest @ ..] = words else { return false };
    let program = Utf8Path::new(program).file_name().unwrap_or_default();
    let starts = matches!(
        (program, *verb),
        ("rigbox", "control" | "host" | "edge" | "ssh") | ("rigbox-host", "run")
    );
    starts && rest.windows(2).any(|pair| pair == ["--config", config.as_str()])
}

/// Ends role processes: politely first. Their workspaces keep running.
///
/// # Errors
/// Names the one that could not be ended.
pub(crate) fn end_roles(roles: &[RunningRole]) -> anyhow::Result<()> {
    for running in roles {
        let name = running.role.as_str();
        let ended: io::Result<()> = running.process.end(ROLE_PATIENCE);
        ended.with_context(|| format!("end the role {name} (process {})", running.process.pid))?;
    }
    Ok(())
}

/// How long a role may take to end by itself: longer than its own limit for requests under way.
pub(crate) const ROLE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().to_str().unwrap().into()).unwrap();
        std::fs::create_dir_all(layout.run()).unwrap();
        (folder, layout)
    }

    #[test]
    fn a_second_supervisor_is_refused_until_the_first_is_gone() {
        let (_folder, layout) = layout();
        let first = Lock::take(&layout).unwrap();
        let said = Lock::take(&layout).unwrap_err().to_string();
        assert!(said.starts_with("another `rigbox up` runs the platform in"), "{said}");
        assert!(said.contains("hint: "), "{said}");
        drop(first);
        Lock::take(&layout).unwrap();
    }

    #[test]
    fn a_state_that_cannot_be_understood_is_no_state() {
        let (_folder, layout) = layout();
        assert_eq!(State::read(&layout).unwrap(), None);
        std::fs::write(layout.state(), "{\"of\": \"another version\"").unwrap();
        assert_eq!(State::read(&layout).unwrap(), None);
        let state = State {
            supervisor: Identity::own().unwrap(),
            phase: Phase::Ready,
            api: "http://127.0.0.1:7070".to_owned(),
            roles: Vec::new(),
            takeovers: Takeovers::default(),
        };
        state.write(&layout).unwrap();
        assert_eq!(State::read(&layout).unwrap(), Some(state));
    }

    #[test]
    fn a_role_is_known_by_its_configuration_file() {
        let config = Utf8Path::new("/data/run/host.toml");
        for (words, expected) in [
            (&["/usr/bin/rigbox-host", "run", "--config", "/data/run/host.toml"][..], true),
            (&["rigbox", "control", "--config", "/data/run/host.toml"], true),
            (&["rigbox-host", "run", "--config", "/other/run/host.toml"], false),
            (&["rigbox-host", "down", "--config", "/data/run/host.toml"], false),
            (&["rigbox-host", "image", "ls", "--config", "/data/run/host.toml"], false),
            (&["vi", "--config", "/data/run/host.toml"], false),
            (&[], false),
        ] {
            assert_eq!(is_role(words, config), expected, "{words:?}");
        }
    }

    #[test]
    fn a_role_on_record_that_is_gone_is_not_running() {
        let (_folder, layout) = layout();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Identity::of(child.id()).unwrap();
        let running = RunningRole { role: Role::Host, process };
        let state = State {
            supervisor: process,
            phase: Phase::Starting,
            api: String::new(),
            roles: vec![running],
            takeovers: Takeovers::default(),
        };
        state.write(&layout).unwrap();
        assert_eq!(running_roles(&layout).unwrap(), [running]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(running_roles(&layout).unwrap(), []);
    }
}
