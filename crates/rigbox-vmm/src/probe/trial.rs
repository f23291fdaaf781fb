//! Boots the tiny kernel and listens to its serial port.

use std::{io, process::Stdio, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

use super::{
    Kvm, Tool,
    kernel::{self, MARK},
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
pub(super) async fn run(tool: &Tool, vmm: Vmm, accelerator: Accelerator) -> Kvm {
    let broken = |reason: String| Kvm::Broken { reason };
    let dir = match Directory::make().await {
        Ok(dir) => dir,
        Err(error) => return broken(format!("no temporary directory: {error}")),
    };
    let child = match start(tool, vmm, accelerator, &dir.0).await {
        Ok(child) => child,
        Err(error) => return broken(format!("{} does not start: {error}", tool.path)),
    };
    listen(child).await.map_or_else(broken, |()| Kvm::Works)
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
    let seen = timeout(TRIAL_TIMEOUT, hears_mark(stdout)).await;
    // Whatever it does now, it has shown what it can.
    if let Err(error) = child.kill().await {
        return Err(format!("it cannot be ended: {error}"));
    }
    match seen {
        Ok(true) => Ok(()),
        Ok(false) => {
            let mut words = String::new();
            let read = timeout(KILLED_TIMEOUT, async {
                stderr.take(OUTPUT_MAX_BYTES).read_to_string(&mut words).await
            });
            let words = match read.await {
                Ok(Ok(_)) => words.lines().next().unwrap_or("it said nothing").to_owned(),
                Ok(Err(_)) | Err(_) => "its words cannot be read".to_owned(),
            };
            Err(format!("the VMM ended before its guest ran: {words}"))
        }
        Err(_) => Err(format!(
            "a guest of a few instructions did not run in {} s",
            TRIAL_TIMEOUT.as_secs()
        )),
    }
}

/// Whether the mark comes before the output ends.
async fn hears_mark(mut output: impl AsyncRead + Unpin) -> bool {
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    while heard.len() < HEARD_MAX_BYTES {
        match output.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
        if heard.windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
            return true;
        }
    }
    false
}

/// A directory of this trial alone.
struct Directory(Utf8PathBuf);

impl Directory {
    async fn make() -> io::Result<Self> {
        let parent = Utf8PathBuf::try_from(std::env::temp_dir()).map_err(io::Error::other)?;
        let path = parent.join(format!("rigbox-probe-{}", std::process::id()));
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
const TRIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// A killed process has closed its outputs.
const KILLED_TIMEOUT: Duration = Duration::from_secs(5);
const OUTPUT_MAX_BYTES: u64 = 4 * 1024;
/// Firecracker's log comes first on the same stream.
const HEARD_MAX_BYTES: usize = 64 * 1024;
