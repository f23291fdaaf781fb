//! A driver whose VM is a process of this test binary. It keeps the promises of `Vmm`: held at the
//! gate, ended with its starter while it is held, alive without it afterwards.

use std::{
    fs, io::Write as _, os::unix::process::CommandExt as _, process::Stdio, sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rigbox_host::DriverSource;
use rigbox_types::host::DriverName;
use rigbox_vmm::{
    AgentChannel, Capabilities, Capability, ProcessGate, ProcessId, Running, SnapshotPaths, VmSpec,
    Vmm, VmmError,
};

use crate::roles;

/// A file in the data directory: while it is there, no VM can be taken over.
pub(crate) const SLOW: &str = "adoption-is-slow";

pub(crate) struct TestVmm {
    pub(crate) name: DriverName,
}

/// Makes any driver.
pub(crate) struct AnyDriver;

#[async_trait]
impl DriverSource for AnyDriver {
    async fn driver(&self, name: DriverName) -> Result<Arc<dyn Vmm>, VmmError> {
        Ok(Arc::new(TestVmm { name }))
    }
}

/// The socket of a guest's agent.
fn socket(spec: &VmSpec) -> camino::Utf8PathBuf {
    spec.run_dir.join("vsock")
}

impl TestVmm {
    /// The socket by which this driver knows a VM of its own.
    fn control(&self, spec: &VmSpec) -> camino::Utf8PathBuf {
        match self.name {
            DriverName::QemuKvm | DriverName::QemuTcg => socket(spec),
            DriverName::Firecracker => spec.run_dir.join("api.sock"),
        }
    }
}

fn running(spec: &VmSpec, process: ProcessId) -> Running {
    Running::new(spec.clone(), process, AgentChannel::Vsock { uds: socket(spec) })
}

fn unsupported(capability: Capability) -> VmmError {
    VmmError::Unsupported { driver: DriverName::QemuTcg, capability }
}

#[async_trait]
impl Vmm for TestVmm {
    fn name(&self) -> DriverName {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(&[])
    }

    async fn boot(&self, spec: &VmSpec, gate: &dyn ProcessGate) -> Result<Running, VmmError> {
        if !spec.root_disk.exists() || !spec.netns.exists() {
            return Err(VmmError::InvalidSpec { reason: "no disk or no network".to_owned() });
        }
        let log = fs::File::create(&spec.console).unwrap();
        let mut child = roles::command("vm")
            // As QEMU's does, its command line names the workspace and no path.
            .arg(format!("guest={}", spec.workspace))
            .stdin(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        if let Err(source) = gate.admit(&process).await {
            process.kill().await.unwrap();
            child.wait().unwrap();
            return Err(VmmError::NotAdmitted { source });
        }
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{}", serde_json::to_string(spec).unwrap()).unwrap();
        // Nobody else takes note of its end.
        std::thread::spawn(move || child.wait().unwrap());
        Ok(running(spec, process))
    }

    async fn adopt(&self, spec: &VmSpec, process: &ProcessId) -> Result<Running, VmmError> {
        if spec.run_dir.ancestors().any(|dir| dir.join(SLOW).exists()) {
            return Err(VmmError::TimedOut { what: "the greeting", limit_ms: 1 });
        }
        // A held one ends by itself a moment after its starter.
        for _ in 0..100 {
            if !process.is_alive() || self.control(spec).exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if !process.is_alive() || !self.control(spec).exists() {
            process.kill().await?;
            return Err(VmmError::Gone { process: *process });
        }
        Ok(running(spec, *process))
    }

    async fn pause(&self, _: &Running) -> Result<(), VmmError> {
        Err(unsupported(Capability::Pause))
    }

    async fn resume(&self, _: &Running) -> Result<(), VmmError> {
        Err(unsupported(Capability::Pause))
    }

    async fn snapshot(&self, _: &Running, _: &SnapshotPaths) -> Result<(), VmmError> {
        Err(unsupported(Capability::Snapshot))
    }

    async fn restore(
        &self,
        _: &VmSpec,
        _: &SnapshotPaths,
        _: &dyn ProcessGate,
    ) -> Result<Running, VmmError> {
        Err(unsupported(Capability::Restore))
    }

    async fn request_shutdown(&self, _: &Running) -> Result<(), VmmError> {
        Ok(())
    }

    async fn kill(&self, vm: &Running) -> Result<(), VmmError> {
        vm.process.kill().await
    }

    async fn clean(&self, spec: &VmSpec) -> Result<(), VmmError> {
        match fs::remove_file(socket(spec)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let path = socket(spec);
                Err(VmmError::File { action: "remove", path, source: error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
