//! Runs the outer machine and listens to its console. Whatever the machine does, this ends: by the
//! verdict, by the machine's own end, or by a limit.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{TEST_LIMIT, outer::Outer};

/// The line that the outer machine ends with; the number is the payload's exit code.
const VERDICT: &str = "RIGBOX-KVM-EXIT:";

/// QEMU says this of a dozen features of the processor that nobody misses.
const NOT_EMULATED: &str = "warning: TCG doesn't support requested feature";

/// The first test begins well within this, and no test is silent for longer than its own limit.
const SILENCE_LIMIT: Duration = TEST_LIMIT.saturating_add(Duration::from_secs(300));

/// Between a test's last word and the next test: what a failed one left is ended.
const BETWEEN_LIMIT: Duration = Duration::from_secs(180);

/// Lines of the console that may wait to be shown.
const LINES_MAX: usize = 1024;

/// Ends with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Boots, runs the payload and returns its exit code.
pub(crate) fn run(outer: &Outer, payload: &Path, tests: usize) -> Result<u8> {
    let mut machine = Machine(
        command(outer, payload)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start setpriv (Debian package util-linux)")?,
    );
    let console = machine.0.stdout.take().context("the machine has no console")?;
    let words = machine.0.stderr.take().context("QEMU has no words")?;
    let (sender, lines) = sync_channel(LINES_MAX);
    pass_on(console, sender.clone())?;
    pass_on(words, sender)?;
    let tests = u32::try_from(tests).unwrap_or(u32::MAX);
    let limit = SILENCE_LIMIT.saturating_add((TEST_LIMIT + BETWEEN_LIMIT).saturating_mul(tests));
    watch(&lines, limit)
}

/// Lines of an output, until it ends or nobody listens any more.
fn pass_on(output: impl Read + Send + 'static, to: SyncSender<Vec<u8>>) -> Result<()> {
    thread::Builder::new().name("console".to_owned()).spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn command(outer: &Outer, payload: &Path) -> Command {
    // The machine ends with this process, however that ends.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    qemu.args(["-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "EPYC,+svm,+npt"]);
    qemu.args(["-smp", "2", "-m", "6144", "-nodefaults", "-no-reboot", "-display", "none"]);
    qemu.args(["-serial", "stdio", "-nic", "none"]);
    qemu.arg("-kernel").arg(&outer.kernel).arg("-initrd").arg(&outer.initrd);
    qemu.args(["-append", "console=ttyS0 root=/dev/vda rw quiet loglevel=3 tsc=reliable panic=-1"]);
    for disk in [outer.disk.as_path(), payload] {
        // The machine is thrown away: what it writes goes to a temporary overlay.
        let file = format!("file={},if=virtio,format=raw,cache=unsafe,snapshot=on", disk.display());
        qemu.arg("-drive").arg(file);
    }
    qemu
}

/// Passes the console on and returns the exit code that it names.
fn watch(lines: &Receiver<Vec<u8>>, limit: Duration) -> Result<u8> {
    let begin = Instant::now();
    let mut out = std::io::stderr();
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        if left.is_zero() {
            bail!("the machine was not done within {limit:?}");
        }
        let line = match lines.recv_timeout(left.min(SILENCE_LIMIT)) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("the machine said nothing for too long"),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the machine ended without a verdict: see its console above")
            }
        };
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r');
        if text.contains(NOT_EMULATED) {
            continue;
        }
        if let Some((_, code)) = text.split_once(VERDICT) {
            return code.trim().parse().with_context(|| format!("a verdict of '{code}'"));
        }
        writeln!(out, "{:>5} s | {text}", begin.elapsed().as_secs())?;
    }
}
