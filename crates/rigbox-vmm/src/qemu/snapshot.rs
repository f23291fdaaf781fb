//! Memory and state of a paused QEMU to files and back.
//!
//! The guest's memory is a shared anonymous file, so migration leaves it out (`x-ignore-shared`) and
//! writes 60 kB of state; the memory is copied from the file itself, through the process's
//! descriptor, without its holes.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    time::Duration,
};

use camino::Utf8PathBuf;
use serde_json::Value;

use super::{
    cmdline::{MEMORY_FD, STATE_FD},
    driver::Qemu,
    qmp::{Command, MigrationCapability, Qmp},
};
use crate::{
    ProcessId, Running, SnapshotPaths, VmSpec, Vmm, VmmError,
    launch::MEMORY_NAME,
    manifest::{Manifest, blocking},
    sparse,
};

/// Which QEMU, with which accelerator, may load a snapshot of `spec`.
pub(super) fn manifest(qemu: &Qemu, spec: &VmSpec) -> Manifest {
    Manifest::of(format!("{:?} {}", qemu.name(), qemu.version), spec)
}

/// Writes state and memory.
pub(super) async fn take(qmp: &mut Qmp, vm: &Running, to: &SnapshotPaths) -> Result<(), VmmError> {
    prepare(qmp).await?;
    let path = to.state();
    let state = create(&path)?;
    qmp.pass_fd(FD_NAME, state.as_fd()).await?;
    qmp.execute(&Command::Migrate { uri: &format!("fd:{FD_NAME}") }).await?;
    wait(qmp, "the state of the VM").await?;
    let (process, memory) = (vm.process, to.memory());
    blocking(move || {
        state.sync_all().map_err(VmmError::file("write", &path))?;
        copy_memory(process, &memory)
    })
    .await
}

/// Reads the state that QEMU was started with; the memory is in place already.
pub(super) async fn load(qmp: &mut Qmp) -> Result<(), VmmError> {
    prepare(qmp).await?;
    qmp.execute(&Command::MigrateIncoming { uri: &format!("fd:{STATE_FD}") }).await?;
    wait(qmp, "reading the state of the VM").await
}

async fn prepare(qmp: &mut Qmp) -> Result<(), VmmError> {
    let on = |capability| MigrationCapability { capability, state: true };
    let capabilities = [on("x-ignore-shared"), on("events")];
    qmp.execute(&Command::MigrateSetCapabilities { capabilities: &capabilities }).await
}

async fn wait(qmp: &mut Qmp, what: &'static str) -> Result<(), VmmError> {
    let status = |data: &Value| data.get("status").and_then(Value::as_str).map(str::to_owned);
    let ended = |data: &Value| {
        matches!(status(data).as_deref(), Some("completed" | "failed" | "cancelled"))
    };
    let data = qmp.wait_for("MIGRATION", MIGRATION_TIMEOUT, ended).await?;
    match status(&data).as_deref() {
        Some("completed") => Ok(()),
        other => Err(VmmError::Refused {
            request: what.to_owned(),
            reason: format!("it ended as {}", other.unwrap_or("nothing")),
        }),
    }
}

/// Runs on a thread for blocking work.
fn copy_memory(process: ProcessId, to: &Utf8PathBuf) -> Result<(), VmmError> {
    let link = Utf8PathBuf::from(format!("/proc/{}/fd/{MEMORY_FD}", process.pid));
    let target = std::fs::read_link(&link).map_err(VmmError::file("read", &link))?;
    let mut from = File::open(&link).map_err(VmmError::file("open", &link))?;
    // Looked at after the descriptor is open, so it is this process's; and it is the memory.
    if !process.is_alive() || !target.to_string_lossy().contains(MEMORY_NAME) {
        return Err(VmmError::Gone { process });
    }
    let mut file = create(to)?;
    from.metadata()
        .and_then(|metadata| file.set_len(metadata.len()))
        .and_then(|()| sparse::copy(&mut from, &mut file))
        .and_then(|()| file.sync_all())
        .map_err(VmmError::file("write", to))
}

fn create(path: &Utf8PathBuf) -> Result<File, VmmError> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(VmmError::file("create", path))
}

/// Under which QEMU knows the state's file.
const FD_NAME: &str = "state";
/// 60 kB in 10 to 50 ms, measured; the disk is flushed first.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);
