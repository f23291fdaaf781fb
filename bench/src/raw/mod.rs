//! The peer: QEMU without a platform around it, with the kernel, the image and the arguments of a
//! workspace that runs. No record, no API, no cgroup, no rules, no user of its own.
//! Invariant: whatever is made here is gone when its value is dropped.

mod command;
mod machine;
mod place;

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::guest::SetupRequest;
use rigbox_vmm::VmSpec;
use serde_json::{Value, json};

pub(crate) use machine::Machine;
pub(crate) use place::Place;

/// How a workspace is booted, taken from one that runs.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The VMM's executable.
    program: Utf8PathBuf,
    /// Its arguments.
    arguments: Vec<String>,
    /// What it boots.
    spec: VmSpec,
    /// What its guest was told.
    setup: SetupRequest,
    /// What the disk was cloned from.
    template: Utf8PathBuf,
    /// Where disks and sockets are made: on the file system of the workspaces' disks.
    folder: Utf8PathBuf,
    made: AtomicU32,
}

impl Recipe {
    /// Reads the command line of a running workspace's VMM and what its host noted about it.
    ///
    /// # Errors
    /// When it does not run or is no QEMU.
    pub(crate) fn of(data: &Utf8Path, workspace: &str) -> Result<Self> {
        let record = record(data, workspace)?;
        let pid = vmm_in(&record)?;
        let spec = record.pointer("/vm/spec").cloned().context("its record has no micro-VM")?;
        let spec: VmSpec = serde_json::from_value(spec).context("its record is unknown")?;
        let guest = record.pointer("/assignment/guest").context("its record has no guest")?;
        let now = jiff::Timestamp::now().to_string();
        let setup = json!({"workspace": workspace, "now": now, "guest": guest});
        let setup = serde_json::from_value(setup).context("what its guest is told is unknown")?;
        let size_mib = record.pointer("/disk/size_mib").and_then(Value::as_u64);
        let size_mib = size_mib.context("its record has no disk")?;
        let program = Utf8PathBuf::try_from(fs::read_link(format!("/proc/{pid}/exe"))?)?;
        ensure!(program.as_str().contains("qemu-system"), "{program} is no QEMU");
        let line = fs::read(format!("/proc/{pid}/cmdline")).context("read its command line")?;
        let line = String::from_utf8(line)?;
        let words = line.trim_end_matches('\0').split('\0').skip(1).map(str::to_owned);
        let folder = data.join("pool/raw");
        fs::create_dir_all(&folder).with_context(|| format!("make {folder}"))?;
        let (template, made) = (template(data, size_mib)?, AtomicU32::new(0));
        let arguments = words.collect();
        Ok(Self { program, arguments, spec, setup, template, folder, made })
    }

    /// Whether the guests' instructions are executed by the processor (`kvm`) or not (`tcg`).
    pub(crate) fn accelerator(&self) -> &str {
        let mut words = self.arguments.iter().skip_while(|word| *word != "-accel").skip(1);
        words.next().and_then(|word| word.split(',').next()).unwrap_or("unknown")
    }

    /// The VMM's executable.
    pub(crate) fn program(&self) -> &Utf8Path {
        &self.program
    }

    /// A number that no other place of this run has.
    fn number(&self) -> u32 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }
}

/// The pid of a running workspace's VMM.
///
/// # Errors
/// When there is none.
pub(crate) fn vmm_of(data: &Utf8Path, workspace: &str) -> Result<u32> {
    vmm_in(&record(data, workspace)?)
}

fn record(data: &Utf8Path, workspace: &str) -> Result<Value> {
    let path = data.join("host/workspaces").join(workspace).join("record.json");
    let text = fs::read(&path).with_context(|| format!("read {path}"))?;
    serde_json::from_slice(&text).with_context(|| format!("read {path}"))
}

fn vmm_in(record: &Value) -> Result<u32> {
    let pid = record.pointer("/vm/process/pid").and_then(Value::as_u64);
    Ok(u32::try_from(pid.context("its record has no process")?)?)
}

/// The file that a disk of this size is cloned from. The platform has one image.
fn template(data: &Utf8Path, size_mib: u64) -> Result<Utf8PathBuf> {
    let (folder, end) = (data.join("pool/images"), format!("-{size_mib}.ext4"));
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().with_context(|| format!("read {folder}"))? {
        let path = entry?.path().to_owned();
        if path.as_str().ends_with(&end) {
            found.push(path);
        }
    }
    ensure!(found.len() == 1, "not one template but {found:?}");
    found.pop().context("no template")
}
