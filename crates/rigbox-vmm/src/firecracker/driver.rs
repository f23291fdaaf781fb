//! The Firecracker driver: start, control, end.
//! Owns the jail's tree and the pipes of [`Files`] in the run directory. Success is judged by the
//! API and the state it tells, never by an exit status: a jailer that fails may have left a
//! Firecracker running, and a Firecracker whose guest never ran exits with 0.
//! The jailer is used without `--daemonize` and `--new-pid-ns`, so its pid becomes Firecracker's and
//! the process that the gate admitted is the VMM; and without `--cgroup`, because the gate has
//! placed it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use camino::Utf8PathBuf;
use rigbox_types::host::DriverName;
use tokio::net::unix::pipe;

use super::{
    adopt,
    api::Api,
    documents::{
        AGENT_SOCKET, API_SOCKET, ActionType, BootSource, Drive, Entropy, INTERFACE, InstanceState,
        MachineConfig, NetworkInterface, ROOT_DRIVE, VmChange, VmState, Vsock,
    },
    jail::Jail,
    snapshot,
};
use crate::{
    AgentChannel, Capabilities, Capability, ProcessGate, ProcessId, Running, SnapshotPaths, VmSpec,
    Vmm, VmmError,
    console::Drain,
    files,
    launch::{Held, LaunchSpec, Limits, Output},
    vmm::Streams,
    words::{self, Words},
};

/// The driver for Firecracker.
#[derive(Debug)]
pub(crate) struct Firecracker {
    /// Canonical: the jail is named after its last part.
    pub(crate) program: Utf8PathBuf,
    pub(crate) version: String,
    pub(crate) jailer: Utf8PathBuf,
    pub(crate) jail_dir: Utf8PathBuf,
    pub(crate) launcher: Utf8PathBuf,
}

/// What is in the run directory.
#[derive(Debug)]
struct Files {
    console: Utf8PathBuf,
    words: Utf8PathBuf,
}

impl Files {
    fn of(spec: &VmSpec) -> Self {
        Self { console: spec.run_dir.join("console.pipe"), words: spec.run_dir.join("vmm.err") }
    }
}

#[async_trait]
impl Vmm for Firecracker {
    fn name(&self) -> DriverName {
        DriverName::Firecracker
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(&[
            Capability::Pause,
            Capability::Snapshot,
            Capability::Restore,
            Capability::LimitNetwork,
        ])
    }

    async fn boot(&self, spec: &VmSpec, gate: &dyn ProcessGate) -> Result<Running, VmmError> {
        self.start(spec, gate, None).await
    }

    async fn adopt(&self, spec: &VmSpec, process: &ProcessId) -> Result<Running, VmmError> {
        let jail = self.jail(spec);
        adopt::check(&jail, process).await?;
        let files = Files::of(spec);
        let words = Words::open(&files.words)?;
        let streams = Streams { drain: drain(&files, spec).await?, words };
        Ok(running(spec, *process, streams, &jail))
    }

    async fn pause(&self, vm: &Running) -> Result<(), VmmError> {
        self.api(vm)?.patch("/vm", &VmState { state: VmChange::Paused }).await
    }

    async fn resume(&self, vm: &Running) -> Result<(), VmmError> {
        self.api(vm)?.patch("/vm", &VmState { state: VmChange::Resumed }).await
    }

    async fn snapshot(&self, vm: &Running, to: &SnapshotPaths) -> Result<(), VmmError> {
        let api = self.api(vm)?;
        snapshot::take(&api, &self.jail(vm.spec()), vm.spec(), to).await?;
        snapshot::manifest(&self.version, vm.spec()).write(&to.manifest()).await
    }

    async fn restore(
        &self,
        spec: &VmSpec,
        from: &SnapshotPaths,
        gate: &dyn ProcessGate,
    ) -> Result<Running, VmmError> {
        self.start(spec, gate, Some(from)).await
    }

    async fn request_shutdown(&self, vm: &Running) -> Result<(), VmmError> {
        self.api(vm)?.act(ActionType::SendCtrlAltDel).await
    }

    async fn kill(&self, vm: &Running) -> Result<(), VmmError> {
        vm.process.kill().await
    }

    async fn clean(&self, spec: &VmSpec) -> Result<(), VmmError> {
        let files = Files::of(spec);
        for path in [&files.console, &files.words] {
            files::remove(path).await?;
        }
        self.jail(spec).remove().await
    }
}

impl Firecracker {
    async fn start(
        &self,
        spec: &VmSpec,
        gate: &dyn ProcessGate,
        from: Option<&SnapshotPaths>,
    ) -> Result<Running, VmmError> {
        let jail = self.jail(spec);
        check_socket_path(&jail)?;
        let manifest = snapshot::manifest(&self.version, spec);
        let found = match from {
            Some(from) => Some(manifest.check(&from.manifest()).await?),
            None => None,
        };
        self.clean(spec).await?;
        jail.prepare(spec).await?;
        if let Some(from) = from {
            snapshot::place(&jail, from).await?;
        }
        let files = Files::of(spec);
        words::make_pipe(&files.console)?;
        let words = Words::make(&files.words)?;
        let launch = self.launch_spec(spec, &files).await?;
        let process = Held::spawn(&self.launcher)?.admit_and_release(gate, &launch).await?;
        let up = async {
            let drain = drain(&files, spec).await?;
            let api = wait_for_api(&jail, &process).await?;
            match &found {
                None => configure_and_start(&api, spec).await?,
                Some(found) => snapshot::load(&api, found, spec).await?,
            }
            Ok(drain)
        };
        match up.await {
            Ok(drain) => Ok(running(spec, process, Streams { drain, words }, &jail)),
            Err(error) => {
                process.kill().await?;
                Err(words.explain(error))
            }
        }
    }

    async fn launch_spec(&self, spec: &VmSpec, files: &Files) -> Result<LaunchSpec, VmmError> {
        let memory_bytes = u64::from(spec.memory_mib) << 20;
        let disk_bytes = files::len(&spec.root_disk).await?;
        // A snapshot writes the whole memory.
        let file_size_bytes = disk_bytes.max(memory_bytes) + PROGRAM_MAX_BYTES;
        Ok(LaunchSpec {
            program: self.jailer.clone(),
            args: self.arguments(spec, file_size_bytes),
            stdout: Output::Pipe(files.console.clone()),
            stderr: Output::Pipe(files.words.clone()),
            files: Vec::new(),
            sockets: Vec::new(),
            memory: None,
            network: None,
            kvm_node: None,
            limits: Limits { open_files: OPEN_FILES, file_size_bytes },
            identity: None,
        })
    }

    fn arguments(&self, spec: &VmSpec, file_size_bytes: u64) -> Vec<String> {
        let open_files = format!("no-file={OPEN_FILES}");
        let file_size = format!("fsize={file_size_bytes}");
        let (uid, gid) = (spec.uid.to_string(), spec.gid.to_string());
        [
            ["--id", spec.workspace.as_str()],
            ["--exec-file", self.program.as_str()],
            ["--uid", &uid],
            ["--gid", &gid],
            ["--chroot-base-dir", self.jail_dir.as_str()],
            ["--netns", spec.netns.as_str()],
            ["--resource-limit", &open_files],
            ["--resource-limit", &file_size],
            ["--", "--api-sock"],
            // At its default level the log would hold request bodies, and it goes to the console.
            [API_SOCKET, "--level"],
        ]
        .as_flattened()
        .iter()
        .chain(&["Error"])
        .map(|argument| (*argument).to_owned())
        .collect()
    }

    fn jail(&self, spec: &VmSpec) -> Jail {
        Jail::of(&self.jail_dir, self.program.file_name().unwrap_or("firecracker"), spec)
    }

    fn api(&self, vm: &Running) -> Result<Api, VmmError> {
        if !vm.process.is_alive() {
            return Err(VmmError::Gone { process: vm.process });
        }
        Ok(Api::new(self.jail(vm.spec()).root))
    }
}

/// Everything that is opened is opened at its call, so that is where a missing file or a tap in use
/// is refused.
async fn configure_and_start(api: &Api, spec: &VmSpec) -> Result<(), VmmError> {
    api.put("/machine-config", &MachineConfig::of(spec)).await?;
    api.put("/boot-source", &BootSource::of(spec)).await?;
    api.put(&format!("/drives/{ROOT_DRIVE}"), &Drive::of(spec)).await?;
    let interface = format!("/network-interfaces/{INTERFACE}");
    api.put(&interface, &NetworkInterface::of(spec)).await?;
    api.put("/vsock", &Vsock::new()).await?;
    api.put("/entropy", &Entropy {}).await?;
    api.act(ActionType::InstanceStart).await?;
    expect_running(api).await
}

/// What was asked for is what there is.
pub(super) async fn expect_running(api: &Api) -> Result<(), VmmError> {
    match api.state().await? {
        InstanceState::Running => Ok(()),
        state @ (InstanceState::NotStarted | InstanceState::Paused) => Err(VmmError::Protocol {
            request: "GET /".to_owned(),
            reason: format!("the state after the start is {state:?}"),
        }),
    }
}

async fn wait_for_api(jail: &Jail, process: &ProcessId) -> Result<Api, VmmError> {
    let api = Api::new(jail.root.clone());
    if files::wait_until(|| api.is_listening(), process, API_TIMEOUT).await {
        return Ok(api);
    }
    if !process.is_alive() {
        return Err(VmmError::Ended { output: String::new() });
    }
    let limit_ms = u64::try_from(API_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    Err(VmmError::TimedOut { what: "Firecracker's API socket", limit_ms })
}

async fn drain(files: &Files, spec: &VmSpec) -> Result<Drain, VmmError> {
    let console = pipe::OpenOptions::new()
        .open_receiver(&files.console)
        .map_err(VmmError::file("open", &files.console))?;
    Drain::start(console, &spec.console).await.map_err(VmmError::file("open", &spec.console))
}

fn running(spec: &VmSpec, process: ProcessId, streams: Streams, jail: &Jail) -> Running {
    Running {
        process,
        channel: AgentChannel::Vsock { uds: jail.outside(AGENT_SOCKET) },
        spec: Arc::new(spec.clone()),
        streams: Some(Arc::new(streams)),
    }
}

/// The agent is reached by path.
fn check_socket_path(jail: &Jail) -> Result<(), VmmError> {
    let path = jail.outside(AGENT_SOCKET);
    if path.as_str().len() > SOCKET_PATH_MAX_BYTES {
        let reason = format!(
            "the socket {path} has {} bytes, and a socket's path holds {SOCKET_PATH_MAX_BYTES}: \
             use a shorter jail directory",
            path.as_str().len()
        );
        return Err(VmmError::InvalidSpec { reason });
    }
    Ok(())
}

/// The jailer copies a binary of 4 MB first; in an emulated machine that and its start take 2 s.
const API_TIMEOUT: Duration = Duration::from_secs(30);
/// Firecracker has about 30 open; its own recommendation.
const OPEN_FILES: u64 = 1024;
/// `sun_path` has 108 bytes with the zero at its end.
const SOCKET_PATH_MAX_BYTES: usize = 107;
/// The jailer copies Firecracker under the same limit as the VM's files.
const PROGRAM_MAX_BYTES: u64 = 256 << 20;
