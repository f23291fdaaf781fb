//! The host's executable as it copies disks, or puts them back: a child that speaks in lines.
//! Invariant: the child ends when this process does, however that happens, because its standard input
//! ends then; and Ctrl-C on a terminal reaches it in no other way, so that it always cleans up.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::{
    WorkspaceId,
    host::{CopyEvent, DiskCopy, PutAnswer, PutEvent},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{host, supervise::environment, up::Up};

/// Copies of all disks, there until this is dropped.
#[derive(Debug)]
pub(super) struct Copies {
    talk: Talk,
    /// The copies.
    pub(super) copied: Vec<DiskCopy>,
    /// Workspaces whose disk should be there and is not.
    pub(super) missing: Vec<WorkspaceId>,
}

impl Copies {
    /// Makes them.
    ///
    /// # Errors
    /// Where one cannot be made; none is left then.
    pub(super) fn make(up: &Up<'_>, config: &Utf8Path) -> anyhow::Result<Self> {
        let mut talk = Talk::start(up, ("copy-disks", config))?;
        let (mut copied, mut missing) = (Vec::new(), Vec::new());
        loop {
            match talk.hear("copy the disks")? {
                CopyEvent::Copied(copy) => copied.push(copy),
                CopyEvent::Missing { workspace } => missing.push(workspace),
                CopyEvent::Done => return Ok(Self { talk, copied, missing }),
            }
        }
    }

    /// Lets go of them.
    ///
    /// # Errors
    /// Where not everything could be cleaned up.
    pub(super) fn release(self) -> anyhow::Result<()> {
        self.talk.end("remove the copies of disks")
    }
}

/// Disks that are put back, one at a time.
#[derive(Debug)]
pub(super) struct Puts {
    talk: Talk,
    folder: Utf8PathBuf,
}

impl Puts {
    /// Makes the storage of disks.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn begin(up: &Up<'_>, config: &Utf8Path) -> anyhow::Result<Self> {
        let mut talk = Talk::start(up, ("put-disks", config))?;
        match talk.hear("make the storage of disks")? {
            PutAnswer::Ready { folder } => Ok(Self { talk, folder: folder.into() }),
            PutAnswer::Kept { .. } | PutAnswer::Done => {
                bail!("the host's executable is another version")
            }
        }
    }

    /// Where a disk is to be brought.
    pub(super) fn path(&self, workspace: &WorkspaceId) -> Utf8PathBuf {
        self.folder.join(format!("{workspace}.ext4"))
    }

    /// Says that a disk is there.
    ///
    /// # Errors
    /// Where it could not be put back.
    pub(super) fn brought(&mut self, workspace: &WorkspaceId) -> anyhow::Result<()> {
        self.tell(&PutEvent::Brought { workspace: workspace.clone() })
    }

    /// Says that a disk is lost.
    ///
    /// # Errors
    /// Where that could not be noted.
    pub(super) fn lost(&mut self, workspace: &WorkspaceId) -> anyhow::Result<()> {
        self.tell(&PutEvent::Lost { workspace: workspace.clone() })
    }

    /// Says that this was all, and waits until it is on the disk.
    ///
    /// # Errors
    /// Where it is not.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.talk.say(&PutEvent::Done)?;
        match self.talk.hear("put the disks back")? {
            PutAnswer::Done => self.talk.end("put the disks back"),
            PutAnswer::Ready { .. } | PutAnswer::Kept { .. } => {
                bail!("the disks were not put back")
            }
        }
    }

    fn tell(&mut self, event: &PutEvent) -> anyhow::Result<()> {
        self.talk.say(event)?;
        match self.talk.hear("put a disk back")? {
            PutAnswer::Kept { .. } => Ok(()),
            PutAnswer::Ready { .. } | PutAnswer::Done => bail!("a disk was not put back"),
        }
    }
}

/// A child and its lines.
#[derive(Debug)]
struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Talk {
    fn start(up: &Up<'_>, (verb, config): (&str, &Utf8Path)) -> anyhow::Result<Self> {
        let program = up.install.program(host::PROGRAM)?;
        let mut child = Command::new(&program)
            .args([verb, "--config", config.as_str()])
            .env_clear()
            .envs(environment())
            .env("RIGBOX_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let output = child.stdout.take().context("the output of the host's executable")?;
        let input = child.stdin.take();
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn hear<T: DeserializeOwned>(&mut self, what: &str) -> anyhow::Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line).with_context(|| what.to_owned())?;
        if line.is_empty() {
            // It has said why on standard error.
            bail!("could not {what} (see above)");
        }
        serde_json::from_str(&line).with_context(|| format!("{what}: what the host says"))
    }

    fn say(&mut self, document: &impl Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_string(document)?;
        let input = self.input.as_mut().context("the host's executable has ended")?;
        // One that ended has said why.
        writeln!(input, "{line}").and_then(|()| input.flush()).context("see above")
    }

    fn end(mut self, what: &str) -> anyhow::Result<()> {
        drop(self.input.take());
        let status = self.child.wait().with_context(|| what.to_owned())?;
        if !status.success() {
            bail!("could not {what} ({status}, see above)");
        }
        Ok(())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        drop(self.input.take());
        // Cleaning up takes moments; a child that was waited for already is no error.
        drop(self.child.wait());
    }
}
