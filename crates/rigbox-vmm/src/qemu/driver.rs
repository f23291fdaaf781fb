//! The QEMU driver: start, control, end.
//! Owns the files of [`Files`] in the run directory. A QEMU has exactly the descriptors that
//! `cmdline` names and needs no path, so the run directory is closed to its user.

use std::sync::Arc;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::host::DriverName;
use tokio::net::UnixStream;

pub(crate) use super::cmdline::Accelerator;
use super::{
    adopt,
    cmdline::{self, Start},
    qmp::{Command, Qmp, RunState},
    snapshot,
};
use crate::{
    AgentChannel, Capabilities, Capability, ProcessGate, ProcessId, Running, SnapshotPaths, VmSpec,
    Vmm, VmmError,
    console::Drain,
    files,
    launch::{
        Access, Held, Identity, LaunchSpec, Limits, ListenSocket, Memory, Network, OpenFile, Output,
    },
    vmm::Streams,
    words::Words,
};

/// The driver for QEMU `microvm`.
#[derive(Debug)]
pub(crate) struct Qemu {
    pub(crate) program: Utf8PathBuf,
    pub(crate) version: String,
    pub(crate) launcher: Utf8PathBuf,
    pub(crate) accelerator: Accelerator,
}

/// What is in the run directory.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) control: Utf8PathBuf,
    pub(super) agent: Utf8PathBuf,
    pub(super) console: Utf8PathBuf,
    words: Utf8PathBuf,
    kvm_node: Utf8PathBuf,
}

impl Files {
    pub(super) fn of(spec: &VmSpec) -> Self {
        Self::below(spec.run_dir.as_str())
    }

    pub(super) fn below(dir: &str) -> Self {
        let dir = Utf8Path::new(dir);
        Self {
            control: dir.join("qmp.sock"),
            agent: dir.join("agent.sock"),
            console: dir.join("console.sock"),
            words: dir.join("vmm.err"),
            kvm_node: dir.join("kvm"),
        }
    }

    fn all(&self) -> [&Utf8Path; 5] {
        [&self.control, &self.agent, &self.console, &self.words, &self.kvm_node]
    }
}

#[async_trait]
impl Vmm for Qemu {
    fn name(&self) -> DriverName {
        match self.accelerator {
            Accelerator::Kvm => DriverName::QemuKvm,
            Accelerator::Tcg { .. } => DriverName::QemuTcg,
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(&[Capability::Pause, Capability::Snapshot, Capability::Restore])
    }

    async fn boot(&self, spec: &VmSpec, gate: &dyn ProcessGate) -> Result<Running, VmmError> {
        self.start(spec, gate, None).await
    }

    async fn adopt(&self, spec: &VmSpec, process: &ProcessId) -> Result<Running, VmmError> {
        adopt::check(&Files::of(spec), process).await?;
        let streams = self.attach(spec).await?;
        Ok(running(spec, *process, streams))
    }

    async fn pause(&self, vm: &Running) -> Result<(), VmmError> {
        control(vm).await?.execute(&Command::Stop).await
    }

    async fn resume(&self, vm: &Running) -> Result<(), VmmError> {
        control(vm).await?.execute(&Command::Cont).await
    }

    async fn snapshot(&self, vm: &Running, to: &SnapshotPaths) -> Result<(), VmmError> {
        let mut qmp = control(vm).await?;
        match qmp.run_state().await? {
            RunState::Paused | RunState::Postmigrate => {}
            RunState::Running | RunState::Prelaunch | RunState::Inmigrate | RunState::Other => {
                return Err(VmmError::Refused {
                    request: "snapshot".to_owned(),
                    reason: "the workspace is not paused".to_owned(),
                });
            }
        }
        snapshot::take(&mut qmp, vm, to).await?;
        snapshot::manifest(self, vm.spec()).write(&to.manifest()).await
    }

    async fn restore(
        &self,
        spec: &VmSpec,
        from: &SnapshotPaths,
        gate: &dyn ProcessGate,
    ) -> Result<Running, VmmError> {
        snapshot::manifest(self, spec).check(&from.manifest()).await?;
        self.start(spec, gate, Some(from)).await
    }

    async fn request_shutdown(&self, vm: &Running) -> Result<(), VmmError> {
        control(vm).await?.execute(&Command::SystemPowerdown).await
    }

    async fn kill(&self, vm: &Running) -> Result<(), VmmError> {
        vm.process.kill().await
    }

    async fn clean(&self, spec: &VmSpec) -> Result<(), VmmError> {
        for path in Files::of(spec).all() {
            files::remove(path).await?;
        }
        Ok(())
    }
}

impl Qemu {
    async fn start(
        &self,
        spec: &VmSpec,
        gate: &dyn ProcessGate,
        from: Option<&SnapshotPaths>,
    ) -> Result<Running, VmmError> {
        self.clean(spec).await?;
        let words = Words::make(&Files::of(spec).words)?;
        let launch = self.launch_spec(spec, from).await?;
        let held = Held::spawn(&self.launcher)?;
        let process = held.admit_and_release(gate, &launch).await?;
        match self.bring_up(spec, from).await {
            Ok(drain) => Ok(running(spec, process, Streams { drain, words })),
            Err(error) => {
                process.kill().await?;
                Err(words.explain(error))
            }
        }
    }

    /// From `execve` to the guest's first instruction.
    async fn bring_up(
        &self,
        spec: &VmSpec,
        from: Option<&SnapshotPaths>,
    ) -> Result<Drain, VmmError> {
        let files = Files::of(spec);
        // Before the guest runs: QEMU drops what nobody is connected to hear.
        let drain = drain(&files, spec).await?;
        let mut qmp = Qmp::connect(&files.control).await?;
        if from.is_some() {
            snapshot::load(&mut qmp).await?;
        }
        qmp.execute(&Command::Cont).await?;
        Ok(drain)
    }

    async fn attach(&self, spec: &VmSpec) -> Result<Streams, VmmError> {
        let files = Files::of(spec);
        Ok(Streams { drain: drain(&files, spec).await?, words: Words::open(&files.words)? })
    }

    async fn launch_spec(
        &self,
        spec: &VmSpec,
        from: Option<&SnapshotPaths>,
    ) -> Result<LaunchSpec, VmmError> {
        let paths = Files::of(spec);
        let start = if from.is_some() { Start::Restore } else { Start::Boot };
        let memory_bytes = u64::from(spec.memory_mib) << 20;
        let disk_bytes = files::len(&spec.root_disk).await?;
        Ok(LaunchSpec {
            program: self.program.clone(),
            args: cmdline::arguments(spec, self.accelerator, start),
            stdout: Output::Null,
            stderr: Output::Pipe(paths.words.clone()),
            files: inherited_files(spec, from),
            sockets: vec![
                ListenSocket { path: paths.control.clone(), fd: cmdline::CONTROL_FD },
                ListenSocket { path: paths.agent.clone(), fd: cmdline::AGENT_FD },
                ListenSocket { path: paths.console.clone(), fd: cmdline::CONSOLE_FD },
            ],
            memory: Some(Memory {
                fd: cmdline::MEMORY_FD,
                size_bytes: memory_bytes,
                from: from.map(SnapshotPaths::memory),
            }),
            network: Some(Network {
                netns: spec.netns.clone(),
                tap: spec.tap.clone(),
                fd: cmdline::TAP_FD,
            }),
            kvm_node: (self.accelerator == Accelerator::Kvm).then_some(paths.kvm_node),
            limits: Limits {
                open_files: OPEN_FILES,
                file_size_bytes: disk_bytes.max(memory_bytes),
            },
            identity: Some(Identity { uid: spec.uid, gid: spec.gid }),
        })
    }
}

fn inherited_files(spec: &VmSpec, from: Option<&SnapshotPaths>) -> Vec<OpenFile> {
    let open = |path: &Utf8Path, fd, access| OpenFile { path: path.to_owned(), fd, access };
    let mut files = vec![
        open(&spec.root_disk, cmdline::DISK_FD, Access::ReadWrite),
        open(&spec.kernel.image, cmdline::KERNEL_FD, Access::Read),
    ];
    if let Some(initrd) = &spec.kernel.initrd {
        files.push(open(initrd, cmdline::INITRD_FD, Access::Read));
    }
    if let Some(from) = from {
        files.push(open(&from.state(), cmdline::STATE_FD, Access::Read));
    }
    files
}

async fn drain(files: &Files, spec: &VmSpec) -> Result<Drain, VmmError> {
    let socket = UnixStream::connect(&files.console)
        .await
        .map_err(|source| VmmError::Control { path: files.console.clone(), source })?;
    Drain::start(socket, &spec.console).await.map_err(VmmError::file("open", &spec.console))
}

async fn control(vm: &Running) -> Result<Qmp, VmmError> {
    if !vm.process.is_alive() {
        return Err(VmmError::Gone { process: vm.process });
    }
    Qmp::connect(&Files::of(vm.spec()).control).await
}

fn running(spec: &VmSpec, process: ProcessId, streams: Streams) -> Running {
    Running {
        process,
        channel: AgentChannel::Serial { socket: Files::of(spec).agent },
        spec: Arc::new(spec.clone()),
        streams: Some(Arc::new(streams)),
    }
}

/// QEMU with these devices has about 30 open; each vCPU adds one.
const OPEN_FILES: u64 = 1024;
