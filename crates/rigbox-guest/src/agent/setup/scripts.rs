//! Runs the setup scripts of a boot, one after the other, as the default user, then starts the
//! services. Output goes to the log line by line and its end into the result.
//! Invariant: a script that runs at the first boot is marked only when it has ended, so that a
//! power loss in the middle lets it run again.

use std::{io, process::Stdio, time::Duration};

use rigbox_types::{
    api::setup_scripts::RunOn,
    guest::{SetupState, setup::SCRIPT_MAX_S},
    host::{AssignedScript, SetupResult},
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::unix::pipe,
    process::{Child, Command},
};
use tracing::{debug, info, warn};

use super::units;
use crate::agent::{
    Guest, clock, environment, journal,
    root::{Root, remove_if_there},
    sys::child::{self, Terminal},
    users::User,
};

/// Longest that one script may run.
const TIME_MAX: Duration = Duration::from_secs(SCRIPT_MAX_S);

/// Longest that its start may take. A guest under emulation needs a second.
const START_MAX: Duration = Duration::from_secs(60);

/// How much of the end of its output is kept in the result.
const TAIL_MAX_BYTES: usize = 8 * 1024;

/// Longest line of output; a longer one is cut into several.
const LINE_MAX_BYTES: u64 = 8 * 1024;

/// After its end, the pipe is read until it has been quiet for this long: something that the
/// script has left in the background may hold it open.
const QUIET: Duration = Duration::from_millis(200);

/// Where scripts that ran at the first boot are marked.
const MARKS: &str = "/var/lib/rigbox/first-boot";

/// The scripts that this boot has to run.
pub(super) fn due(root: &Root, scripts: Vec<AssignedScript>) -> Vec<AssignedScript> {
    let is_due = |script: &AssignedScript| match script.run_on {
        RunOn::EveryStart => true,
        RunOn::FirstBoot => !root.exists(&mark(script)),
    };
    scripts.into_iter().filter(is_due).collect()
}

/// Runs what is pending, in a task of its own.
pub(super) fn spawn(guest: Guest) {
    tokio::spawn(async move {
        run_pending(&guest).await;
    });
}

async fn run_pending(guest: &Guest) {
    end_former(guest);
    if guest.setup.progress().pending.is_some_and(|pending| pending.reload) {
        units::reload(guest).await;
    }
    while let Some(script) = next(guest) {
        let result = run(guest, &script).await;
        if script.run_on == RunOn::FirstBoot
            && let Err(error) = guest.root.write(&mark(&script), b"", 0o644)
        {
            warn!(script = script.name, %error, "script not marked: it will run again");
        }
        guest.setup.change(guest, |progress| {
            put(&mut progress.results, result);
            if let Some(pending) = &mut progress.pending {
                pending.scripts.retain(|other| other.id != script.id);
            }
        });
    }
    if let Some(pending) = guest.setup.progress().pending {
        units::start(guest, &pending.services).await;
    }
    guest.setup.change(guest, |progress| {
        progress.pending = None;
        progress.state = SetupState::Done;
    });
}

/// A script that a former agent was running is ended: it begins again. It is known by its command
/// line; a note of its number would be missing where the agent ended before it was written.
fn end_former(guest: &Guest) {
    let Some(script) = next(guest) else { return };
    let file = guest.root.path(path(&script));
    for pid in processes() {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
        let is_it = line.is_ok_and(|line| {
            line.split(|byte| *byte == 0).nth(1) == Some(file.as_os_str().as_encoded_bytes())
        });
        // Only the leader has a group of its number; who came of it is in that group.
        if is_it && let Err(error) = kill_process_group(pid, Signal::KILL) {
            debug!(%error, "process of the former agent's script not ended");
        }
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
}

fn next(guest: &Guest) -> Option<AssignedScript> {
    guest.setup.progress().pending?.scripts.into_iter().next()
}

fn put(results: &mut Vec<SetupResult>, result: SetupResult) {
    results.retain(|other| other.id != result.id);
    results.push(result);
}

fn mark(script: &AssignedScript) -> String {
    format!("{MARKS}/{}", script.id)
}

/// Where the script that runs is, and how it is known in the list of processes.
const FOLDER: &str = "/run/rigbox/script";

async fn run(guest: &Guest, script: &AssignedScript) -> SetupResult {
    info!(script = script.name, "setup script begins");
    let mut result = SetupResult {
        id: script.id,
        name: script.name.clone(),
        exit_code: None,
        output_tail: String::new(),
        finished_at: None,
    };
    guest.setup.change(guest, |progress| put(&mut progress.results, result.clone()));
    match run_process(guest, script, &mut result.output_tail).await {
        Ok(exit_code) => result.exit_code = exit_code,
        Err(error) => {
            result.exit_code = Some(NOT_RUN);
            result.output_tail.push_str(&format!("the script could not be run: {error}\n"));
        }
    }
    result.finished_at = Some(clock::now());
    let ended = match result.exit_code {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    };
    journal::write(&guest.root, &program(script), &ended);
    info!(script = script.name, exit_code = result.exit_code, "setup script ended");
    result
}

/// Exit code of a script that could not be started, as shells have it.
const NOT_RUN: i32 = 126;
/// Exit code of a script whose time was over, as `timeout` has it.
const TIMED_OUT: i32 = 124;

fn program(script: &AssignedScript) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("rigbox-setup-{}", script.name.chars().take(64).map(plain).collect::<String>())
}

async fn run_process(
    guest: &Guest,
    script: &AssignedScript,
    tail: &mut String,
) -> io::Result<Option<i32>> {
    // A script may leave a home behind that answers nobody; the next one must not hold up the agent.
    let starting = tokio::task::spawn_blocking({
        let (guest, script) = (guest.clone(), script.clone());
        move || start(&guest, &script)
    });
    let (mut child, output) = tokio::time::timeout(START_MAX, starting).await???;
    let file = guest.root.path(path(script));
    let pid = child.id();
    let mut log = Log { guest, program: program(script), tail };
    let exit_code = tokio::select! {
        code = follow(&mut child, output, &mut log) => code?,
        () = tokio::time::sleep(TIME_MAX) => {
            if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
                kill_process_group(pid, Signal::KILL)?;
            }
            Some(TIMED_OUT)
        }
    };
    remove_if_there(&file)?;
    Ok(exit_code)
}

fn path(script: &AssignedScript) -> String {
    format!("{FOLDER}/{}.sh", script.id)
}

/// Starts the process; gives what it writes.
fn start(guest: &Guest, script: &AssignedScript) -> io::Result<(Child, pipe::Receiver)> {
    let user = User::default_of(&guest.root);
    let path = path(script);
    guest.root.write(&path, script.content.as_bytes(), 0o500)?;
    let file = guest.root.path(&path);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(user.uid), Some(user.gid))?;
    }
    let (reader, writer) = io::pipe()?;
    // A guest without bash runs what it can with the shell that it has.
    let has_bash = ["/bin/bash", "/usr/bin/bash"].iter().any(|path| guest.root.exists(path));
    let mut command = Command::new(if has_bash { "bash" } else { "sh" });
    command
        .arg(&file)
        .env_clear()
        .envs(environment::of_command(&guest.root, &user))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .kill_on_drop(true);
    child::prepare(&mut command, &user, &guest.root.path(&user.home), Terminal::None)?;
    // The command goes with its copies of the pipe's end, which would keep the pipe open.
    let child = command.spawn()?;
    Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
}

/// Reads output until the script has ended and its pipe is at its end or quiet.
async fn follow(
    child: &mut Child,
    output: impl AsyncRead + Unpin,
    log: &mut Log<'_>,
) -> io::Result<Option<i32>> {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    let mut status = None;
    loop {
        let quiet = tokio::time::sleep(QUIET);
        tokio::select! {
            read = read_line(&mut lines, &mut line) => {
                if read? == 0 {
                    break;
                }
                log.line(&line);
                line.clear();
            }
            ended = child.wait(), if status.is_none() => status = Some(ended?),
            () = quiet, if status.is_some() => break,
        }
    }
    if !line.is_empty() {
        log.line(&line);
    }
    let status = match status {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok(status.code())
}

/// Reads up to a newline or the longest line. May be dropped and called again: what was read
/// stays in `line`.
async fn read_line(
    from: &mut (impl AsyncBufReadExt + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    let room = LINE_MAX_BYTES.saturating_sub(u64::try_from(line.len()).unwrap_or(u64::MAX));
    from.take(room.max(1)).read_until(b'\n', line).await
}

struct Log<'a> {
    guest: &'a Guest,
    program: String,
    tail: &'a mut String,
}

impl Log<'_> {
    fn line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        journal::write(&self.guest.root, &self.program, text);
        self.tail.push_str(text);
        self.tail.push('\n');
        if self.tail.len() > TAIL_MAX_BYTES {
            let surplus = self.tail.len().saturating_sub(TAIL_MAX_BYTES);
            let cut = (surplus..self.tail.len()).find(|at| self.tail.is_char_boundary(*at));
            self.tail.drain(..cut.unwrap_or_default());
        }
    }
}
