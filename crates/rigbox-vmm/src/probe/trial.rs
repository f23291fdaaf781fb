//! Boots the tiny kernel and listens to its serial port.

use std::{
    io,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

use super::{
    Kvm, Tool,
    kernel::{self, BEGIN, END},
};

/// Whose guest is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vmm {
    Firecracker,
    Qemu,
}

/// How it is executed. Emulation is for the tests: it shows that a guest which runs is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    #[cfg(test)]
    Tcg,
}

/// Boots and judges.
///
/// # Errors
/// Where nothing could be booted, which says nothing about KVM.
pub(super) async fn run(tool: &Tool, vmm: Vmm, accelerator: Accelerator) -> Result<Kvm, String> {
    let dir = Directory::make().await;
    let dir = dir.map_err(|error| format!("no temporary directory: {error}"))?;
    let child = start(tool, vmm, accelerator, &dir.0).await;
    let child = child.map_err(|error| format!("{} does not start: {error}", tool.path))?;
    Ok(listen(child).await.map_or_else(|reason| Kvm::Broken { reason }, |()| Kvm::Works))
}

async fn start(
    tool: &Tool,
    vmm: Vmm,
    accelerator: Accelerator,
    dir: &Utf8Path,
) -> io::Result<Child> {
    let kernel = dir.join("kernel");
    tokio::fs::write(&kernel, kernel::elf()).await?;
    let mut command = Command::new(&tool.path);
    match vmm {
        Vmm::Qemu => command.args(qemu_arguments(accelerator, &kernel)),
        Vmm::Firecracker => {
            let config = dir.join("config.json");
            tokio::fs::write(&config, firecracker_config(&kernel)).await?;
            command.args(["--no-api", "--config-file", config.as_str()])
        }
    };
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// The machine and processor of the driver: a processor model may be what KVM fails on.
fn qemu_arguments(accelerator: Accelerator, kernel: &Utf8Path) -> Vec<String> {
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        #[cfg(test)]
        Accelerator::Tcg => ("tcg", "max"),
    };
    let pairs = [
        ("-M", "microvm,acpi=on,rtc=on"),
        ("-accel", accel),
        ("-cpu", cpu),
        ("-m", "64"),
        ("-display", "none"),
        ("-kernel", kernel.as_str()),
        ("-serial", "stdio"),
        ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ];
    let switches = ["-nodefaults", "-no-user-config", "-no-reboot"];
    pairs
        .into_iter()
        .flat_map(|(option, value)| [option, value])
        .chain(switches)
        .map(str::to_owned)
        .collect()
}

fn firecracker_config(kernel: &Utf8Path) -> String {
    serde_json::json!({
        "boot-source": {"kernel_image_path": kernel, "boot_args": "console=ttyS0"},
        "drives": [],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 64},
    })
    .to_string()
}

async fn listen(mut child: Child) -> Result<(), String> {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("its output is not to be had".to_owned());
    };
    let mut output = Output { stdout, heard: Vec::new() };
    let judgement = judge(&mut output).await;
    // Whatever it does now, it has shown what it can.
    if let Err(error) = child.kill().await {
        return Err(format!("it cannot be ended: {error}"));
    }
    match judgement {
        Judgement::Runs => Ok(()),
        Judgement::Ended => {
            Err(format!("the VMM ended before its guest ran: {}", words(stderr).await))
        }
        Judgement::Silent => Err(format!(
            "a guest of a few instructions did not begin in {} s",
            BEGIN_TIMEOUT.as_secs()
        )),
        Judgement::Slow => Err(format!(
            "a guest that counts for 20 ms was not done in {} s: its instructions are executed in \
             software",
            END_TIMEOUT.as_secs()
        )),
    }
}

/// What a trial showed.
enum Judgement {
    Runs,
    Ended,
    Silent,
    Slow,
}

async fn judge(output: &mut Output) -> Judgement {
    match timeout(BEGIN_TIMEOUT, output.hears(BEGIN)).await {
        Err(_) => return Judgement::Silent,
        Ok(false) => return Judgement::Ended,
        Ok(true) => {}
    }
    match timeout(END_TIMEOUT, output.hears(END)).await {
        Err(_) => Judgement::Slow,
        Ok(false) => Judgement::Ended,
        Ok(true) => Judgement::Runs,
    }
}

/// The serial port, and with Firecracker the log.
struct Output {
    stdout: ChildStdout,
    heard: Vec<u8>,
}

impl Output {
    /// Whether the text comes before the output ends.
    async fn hears(&mut self, text: &str) -> bool {
        let mut buffer = [0; 512];
        while !self.heard.windows(text.len()).any(|window| window == text.as_bytes()) {
            match self.stdout.read(&mut buffer).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
            if self.heard.len() > HEARD_MAX_BYTES {
                return false;
            }
        }
        true
    }
}

/// The first line that a process which has ended wrote to its standard error.
async fn words(stderr: ChildStderr) -> String {
    let mut words = String::new();
    let read = async { stderr.take(WORDS_MAX_BYTES).read_to_string(&mut words).await };
    match timeout(KILLED_TIMEOUT, read).await {
        Ok(Ok(_)) => words.lines().next().unwrap_or("it said nothing").to_owned(),
        Ok(Err(_)) | Err(_) => "its words cannot be read".to_owned(),
    }
}

/// A directory of this trial alone.
struct Directory(Utf8PathBuf);

impl Directory {
    async fn make() -> io::Result<Self> {
        let parent = Utf8PathBuf::try_from(std::env::temp_dir()).map_err(io::Error::other)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("rigbox-probe-{}-{number}", std::process::id()));
        // What a process of the same pid left behind.
        if let Err(error) = tokio::fs::remove_dir_all(&path).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        tokio::fs::DirBuilder::new().mode(0o700).create(&path).await?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0, %error, "a probe's directory is left behind");
        }
    }
}

/// A QEMU with KVM inside an emulated machine takes 10 s to its first guest instruction; where KVM
/// works for real it is 0.1 s.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Several trials of one process have directories of their own.
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// See `kernel::ROUNDS`.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// A killed process has closed its outputs.
const KILLED_TIMEOUT: Duration = Duration::from_secs(5);
const WORDS_MAX_BYTES: u64 = 4 * 1024;
/// Firecracker's log has a few lines.
const HEARD_MAX_BYTES: usize = 64 * 1024;
