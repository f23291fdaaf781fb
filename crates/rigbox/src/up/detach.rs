//! `rigbox up --detach`: the platform runs in the background with its output in a log, and this
//! process shows that output until everything runs.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use camino::Utf8Path;

use super::Up;
use crate::{
    files, output,
    state::{Lock, Phase, State},
};

/// Pause between two looks at the log and at the state.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts the background process, shows its output and returns once everything runs.
///
/// # Errors
/// Where it ends before that; its output says why.
pub(super) fn run(up: &Up<'_>) -> anyhow::Result<ExitCode> {
    // Said by this process already, not only by the log.
    drop(Lock::take(up.layout)?);
    let path = up.layout.log("up");
    let folder = path.parent().unwrap_or_else(|| Utf8Path::new("/"));
    files::folder(folder, 0o700, None)?;
    // One start, one log: what an earlier one said is of no use any more.
    let mut options = OpenOptions::new();
    let log = options.create(true).write(true).truncate(true).mode(0o600).open(&path);
    let log = log.with_context(|| format!("open {path}"))?;
    let errors = log.try_clone().context("copy the log's descriptor")?;
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--detach");
    let mut child = Command::new(up.install.own())
        .args(arguments)
        .arg("--background")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context("start the platform in the background")?;
    let phase = follow(up, &path, &mut child)?;
    output::note(&format!("the platform runs in the background; its output is in {path}"));
    Ok(if phase == Phase::Ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// In the background: survives the terminal and its Ctrl-C.
///
/// # Errors
/// Where the kernel refuses, which it does only to the leader of a group.
pub(super) fn leave_the_terminal() -> anyhow::Result<()> {
    rustix::process::setsid().map(drop).context("leave the terminal")
}

fn follow(up: &Up<'_>, path: &Utf8Path, child: &mut Child) -> anyhow::Result<Phase> {
    let mut log = File::open(path).with_context(|| format!("open {path}"))?;
    let mut at = 0;
    loop {
        let state = State::read(up.layout)?.filter(|state| state.supervisor.pid == child.id());
        let ended = child.try_wait().context("look after the platform in the background")?;
        at = show_from(&mut log, at).with_context(|| format!("read {path}"))?;
        if let Some(status) = ended {
            bail!("the platform in the background ended ({status}); its output is in {path}");
        }
        if let Some(state) = state.filter(|state| state.phase != Phase::Starting) {
            return Ok(state.phase);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn show_from(log: &mut File, at: u64) -> std::io::Result<u64> {
    log.seek(SeekFrom::Start(at))?;
    let mut text = Vec::new();
    let length = log.read_to_end(&mut text)?;
    std::io::stderr().lock().write_all(&text)?;
    Ok(at + u64::try_from(length).unwrap_or_default())
}
