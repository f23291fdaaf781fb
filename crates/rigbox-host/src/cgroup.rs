//! Owns the cgroups of workspaces: what one may use of CPU, memory, processes and disk.
//! Works with version 1, version 2 and both at once: each controller is taken from where it is.
//! Invariants: a process is put in before it runs; nothing is ever left frozen (freezing is not
//! used at all, a frozen process of version 1 cannot be killed). Does not choose limits.

mod hierarchy;

use std::{fs, io, thread, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::WorkspaceId;
use rigbox_vmm::IoLimits;

use crate::{record::CgroupNote, trouble::StepError};

use hierarchy::{Controller, Hierarchies, Version};

/// Period of the CPU quota.
const CPU_PERIOD_US: u64 = 100_000;

/// CPU beyond its vCPUs that a VMM may use for its own threads, in percent of one CPU.
const CPU_OVERHEAD_PERCENT: u64 = 20;

/// Weight of one vCPU in version 2, of the 1 to 10,000 that the kernel takes; 100 is its default.
const WEIGHT_PER_VCPU: u64 = 100;

/// Processes and threads of a VMM: QEMU has one a vCPU and up to 64 for the disk.
const PIDS_MAX: u32 = 256;

/// How often it is looked whether a cgroup is empty, and the pause between: five seconds in all.
const REMOVE_TRIES: u32 = 500;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// A file of a cgroup and what is written to it.
type Value = (&'static str, String);

/// Some of them.
type Values<'a> = &'a [(&'a str, String)];

/// The cgroups of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    hierarchies: Hierarchies,
    parent: String,
    /// The disks' device, where it can be limited.
    device: Option<u64>,
}

/// A cgroup that could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error("{action} {path}")]
    Io {
        action: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the kernel has no cgroup controller {controller}")]
    NoController { controller: &'static str },
    #[error("processes in {path} do not end")]
    Busy { path: Utf8PathBuf },
}

impl From<CgroupError> for StepError {
    fn from(error: CgroupError) -> Self {
        use rigbox_types::failure::FailureCode;

        match &error {
            CgroupError::NoController { controller } => {
                let message =
                    format!("the host's kernel cannot limit {controller}: enable its cgroup");
                Self::caused(FailureCode::HostUnsupported, message, error)
            }
            CgroupError::Io { .. } | CgroupError::Busy { .. } => {
                let message = "the workspace's limits could not be set or removed";
                Self::caused(FailureCode::HostError, message, error)
            }
        }
    }
}

impl Cgroups {
    /// Finds the controllers. Fails where one that protects the others is missing.
    pub(crate) fn open(parent: String, device: Option<u64>) -> Result<Self, CgroupError> {
        let hierarchies = Hierarchies::read().map_err(failed("read", "/proc/self/mountinfo"))?;
        for controller in [Controller::Cpu, Controller::Memory, Controller::Pids] {
            if hierarchies.of(controller).is_none() {
                return Err(CgroupError::NoController { controller: controller.name() });
            }
        }
        Ok(Self { hierarchies, parent, device })
    }

    /// Makes the cgroup of a workspace, or sets other limits.
    pub(crate) fn make(
        &self,
        workspace: &WorkspaceId,
        limits: CgroupNote,
    ) -> Result<(), CgroupError> {
        for (version, root) in self.hierarchies.roots() {
            let parent = root.join(&self.parent);
            let dir = parent.join(workspace.as_str());
            make_dir(&parent)?;
            if version == Version::Two {
                for level in [root, &parent] {
                    self.delegate(level)?;
                }
            }
            make_dir(&dir)?;
        }
        self.limit_cpu(workspace, limits)?;
        self.limit_memory(workspace, limits)?;
        self.set(workspace, Controller::Pids, &[("pids.max", PIDS_MAX.to_string())])
    }

    /// Moves a process in. Memory that it has already is not moved, so it is put in early.
    pub(crate) fn enter(&self, workspace: &WorkspaceId, pid: u32) -> Result<(), CgroupError> {
        for (_, root) in self.hierarchies.roots() {
            let path = root.join(&self.parent).join(workspace.as_str()).join("cgroup.procs");
            fs::write(&path, pid.to_string()).map_err(failed("enter", &path))?;
        }
        Ok(())
    }

    /// Ends what is in the cgroup and waits until it is empty. Before a VM is started: two of them
    /// on one disk would destroy it.
    pub(crate) fn clear(&self, workspace: &WorkspaceId) -> Result<(), CgroupError> {
        for _ in 0..REMOVE_TRIES {
            let left = self.processes(workspace.as_str());
            if left.is_empty() {
                return Ok(());
            }
            tracing::warn!(%workspace, pids = ?left, "ending what a former VM left");
            for (_, root) in self.hierarchies.roots() {
                end_all(&root.join(&self.parent).join(workspace.as_str()));
            }
            thread::sleep(REMOVE_PAUSE);
        }
        Err(CgroupError::Busy { path: workspace.as_str().into() })
    }

    /// Ends what is still in the cgroup, waits until it is empty, removes it.
    pub(crate) fn remove(&self, workspace: &str) -> Result<(), CgroupError> {
        for (_, root) in self.hierarchies.roots() {
            remove_dir(&root.join(&self.parent).join(workspace))?;
        }
        Ok(())
    }

    /// Removes the cgroup above those of the workspaces, which are gone.
    pub(crate) fn remove_parent(&self) -> Result<(), CgroupError> {
        for (_, root) in self.hierarchies.roots() {
            remove_dir(&root.join(&self.parent))?;
        }
        Ok(())
    }

    /// Whether there is one above those of the workspaces.
    pub(crate) fn is_there(&self) -> bool {
        self.hierarchies.roots().iter().any(|(_, root)| root.join(&self.parent).exists())
    }

    /// Names of the cgroups that are there.
    pub(crate) fn names(&self) -> Result<Vec<String>, CgroupError> {
        let mut names = Vec::new();
        for (_, root) in self.hierarchies.roots() {
            let parent = root.join(&self.parent);
            let entries = match parent.read_dir_utf8() {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("list", &parent)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed("list", &parent))?;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    names.push(entry.file_name().to_owned());
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Processes in one of our cgroups.
    pub(crate) fn processes(&self, name: &str) -> Vec<u32> {
        let mut all: Vec<u32> = (self.hierarchies.roots().iter())
            .flat_map(|(_, root)| read_processes(&root.join(&self.parent).join(name)))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Lets the children of a cgroup of version 2 have the controllers that are there.
    fn delegate(&self, dir: &Utf8Path) -> Result<(), CgroupError> {
        let path = dir.join("cgroup.subtree_control");
        for controller in Controller::ALL {
            if self.hierarchies.of(controller).is_some_and(|(version, _)| version == Version::Two) {
                let word = format!("+{}", controller.v2_name());
                fs::write(&path, word).map_err(failed("write", &path))?;
            }
        }
        Ok(())
    }

    fn limit_cpu(&self, workspace: &WorkspaceId, limits: CgroupNote) -> Result<(), CgroupError> {
        let vcpus = u64::from(limits.vcpus);
        let quota = CPU_PERIOD_US * vcpus + CPU_PERIOD_US * CPU_OVERHEAD_PERCENT / 100;
        let weight = (WEIGHT_PER_VCPU * vcpus).to_string();
        let one = [
            ("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
            ("cpu.shares", (1024 * vcpus).to_string()),
        ];
        let two = [("cpu.max", format!("{quota} {CPU_PERIOD_US}")), ("cpu.weight", weight)];
        self.set_either(workspace, Controller::Cpu, (&one, &two))
    }

    fn limit_memory(&self, workspace: &WorkspaceId, limits: CgroupNote) -> Result<(), CgroupError> {
        let bytes = limits.memory_mib.saturating_mul(1024 * 1024).to_string();
        let one = [("memory.limit_in_bytes", bytes.clone())];
        let two = [("memory.max", bytes)];
        self.set_either(workspace, Controller::Memory, (&one, &two))
    }

    /// Sets how fast the disks' device may be used: what a VM that boots again had goes.
    pub(crate) fn limit_io(&self, workspace: &WorkspaceId, limits: &IoLimits) {
        let Some(device) = self.device else { return };
        let (one, two) = io_values(device, limits);
        // Partitions have no limit of their own in some kernels; the VMM limits the disk as well.
        if let Err(error) = self.set_either(workspace, Controller::Io, (&one, &two)) {
            tracing::warn!(%workspace, error = %StepError::from(error).chain(), "disk not limited");
        }
    }

    fn set_either(
        &self,
        workspace: &WorkspaceId,
        controller: Controller,
        (one, two): (Values<'_>, Values<'_>),
    ) -> Result<(), CgroupError> {
        let version = self.hierarchies.of(controller).map(|(version, _)| version);
        match version {
            Some(Version::One) => self.set(workspace, controller, one),
            Some(Version::Two) => self.set(workspace, controller, two),
            None => Ok(()),
        }
    }

    fn set(
        &self,
        workspace: &WorkspaceId,
        controller: Controller,
        values: Values<'_>,
    ) -> Result<(), CgroupError> {
        let Some((_, root)) = self.hierarchies.of(controller) else { return Ok(()) };
        let dir = root.join(&self.parent).join(workspace.as_str());
        for (name, value) in values {
            let path = dir.join(name);
            fs::write(&path, value).map_err(failed("write", &path))?;
        }
        Ok(())
    }
}

/// What limits the disk, in version 1 and in version 2. A limit that is none takes a former one away.
fn io_values(device: u64, limits: &IoLimits) -> ([Value; 4], [Value; 1]) {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    // 0 is how version 1 writes no limit.
    let old = |limit: Option<u64>| format!("{device} {}", limit.unwrap_or(0));
    let new =
        |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string());
    let (bps, iops) = (limits.disk_bps, limits.disk_iops);
    let one = [
        ("blkio.throttle.read_bps_device", old(bps)),
        ("blkio.throttle.write_bps_device", old(bps)),
        ("blkio.throttle.read_iops_device", old(iops)),
        ("blkio.throttle.write_iops_device", old(iops)),
    ];
    let (bps, iops) = (new(bps), new(iops));
    let two = format!("{device} rbps={bps} wbps={bps} riops={iops} wiops={iops}");
    (one, [("io.max", two)])
}

fn failed(
    action: &'static str,
    path: impl AsRef<Utf8Path>,
) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.as_ref().to_owned();
    move |source| CgroupError::Io { action, path, source }
}

fn make_dir(path: &Utf8Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("make", path)(error)),
    }
}

fn remove_dir(path: &Utf8Path) -> Result<(), CgroupError> {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(failed("remove", path)(error)),
        }
        end_all(path);
        thread::sleep(REMOVE_PAUSE);
    }
    Err(CgroupError::Busy { path: path.to_owned() })
}

/// Ends what is in a cgroup of ours.
fn end_all(dir: &Utf8Path) {
    // Version 2 of kernels since 5.14 does it in one go, forks included.
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in read_processes(dir) {
        if let Err(error) = end(dir, pid) {
            tracing::warn!(pid, %error, "process in a cgroup of ours not ended");
        }
    }
}

/// Ends a process if it still is in this cgroup. Its number alone could be another's by now: the
/// cgroup is read once more while a descriptor holds on to the process that is signalled.
fn end(dir: &Utf8Path, pid: u32) -> io::Result<()> {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let fd = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !read_processes(dir).contains(&pid) {
        return Ok(());
    }
    match pidfd_send_signal(&fd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn read_processes(dir: &Utf8Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
