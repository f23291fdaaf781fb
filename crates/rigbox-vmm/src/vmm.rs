//! The trait that both drivers implement, and what they hand out.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use camino::Utf8PathBuf;
use rigbox_types::host::DriverName;

use crate::{GateError, ProcessId, SnapshotPaths, VmSpec, VmmError, console::Drain, words::Words};

/// Runs micro-VMs. Every method is bounded in time and may be called again after an error.
///
/// ```text
///            boot                    pause
///  (clean) ───────▶ held ──admit──▶ running ⇄ paused ──snapshot──▶ paused
///                                      │ guest reboots or powers off, kill
///                                      ▼
///                                    gone ──clean──▶ (clean)
/// ```
#[async_trait]
pub trait Vmm: Send + Sync {
    /// Which driver this is.
    fn name(&self) -> DriverName;

    /// What it can do beyond booting and killing.
    fn capabilities(&self) -> Capabilities;

    /// Starts the VMM, held at `gate` before it does anything, and boots the guest. Returns when
    /// the guest's first instruction may run. On error no process is left; files may be (`clean`).
    async fn boot(&self, spec: &VmSpec, gate: &dyn ProcessGate) -> Result<Running, VmmError>;

    /// Takes over a VMM that a former process started. [`VmmError::Gone`] if it is not there, or if
    /// it never came to run its guest, in which case it is ended first.
    async fn adopt(&self, spec: &VmSpec, process: &ProcessId) -> Result<Running, VmmError>;

    /// Stops the vCPUs. A paused VM stays paused.
    async fn pause(&self, vm: &Running) -> Result<(), VmmError>;

    /// Lets the vCPUs run. A running VM keeps running.
    async fn resume(&self, vm: &Running) -> Result<(), VmmError>;

    /// Writes memory and state of a paused VM, which stays paused, and makes them durable.
    async fn snapshot(&self, vm: &Running, to: &SnapshotPaths) -> Result<(), VmmError>;

    /// Starts a VMM from a snapshot and resumes it. The caller has put the disk of that moment at
    /// `spec.root_disk`. Afterwards the agent must set clock and randomness: the guest has the old.
    async fn restore(
        &self,
        spec: &VmSpec,
        from: &SnapshotPaths,
        gate: &dyn ProcessGate,
    ) -> Result<Running, VmmError>;

    /// Presses the power button (QEMU) or Ctrl-Alt-Del (Firecracker). A hint, no more: the agent's
    /// orderly shutdown comes first, a time-out and [`Vmm::kill`] after it.
    async fn request_shutdown(&self, vm: &Running) -> Result<(), VmmError>;

    /// Ends the process by SIGKILL and waits until it is gone. A process that is gone is success.
    async fn kill(&self, vm: &Running) -> Result<(), VmmError>;

    /// Removes what the driver leaves behind: sockets, pipes, the jail. The process must be gone.
    /// May be called at any time without a process, and any number of times.
    async fn clean(&self, spec: &VmSpec) -> Result<(), VmmError>;
}

/// Called between "the process exists, held" and "it may run": the caller records it durably and
/// puts it into its cgroup. An error ends the held process.
#[async_trait]
pub trait ProcessGate: Send + Sync {
    /// Admits the process.
    async fn admit(&self, process: &ProcessId) -> Result<(), GateError>;
}

/// A VMM process with its guest. Cheap to clone; dropping the last one stops the collection of the
/// console, not the VM.
#[derive(Debug, Clone)]
pub struct Running {
    /// The VMM process.
    pub process: ProcessId,
    /// How the agent in the guest is reached.
    pub channel: AgentChannel,
    pub(crate) spec: Arc<VmSpec>,
    /// None where a driver of another crate collects them itself.
    pub(crate) streams: Option<Arc<Streams>>,
}

/// What flows from the VMM while somebody holds a [`Running`].
#[derive(Debug)]
pub(crate) struct Streams {
    #[expect(dead_code, reason = "held for its Drop, which ends the task")]
    pub(crate) drain: Drain,
    pub(crate) words: Words,
}

impl Running {
    /// What a driver outside of this crate hands out.
    #[must_use]
    pub fn new(spec: VmSpec, process: ProcessId, channel: AgentChannel) -> Self {
        Self { process, channel, spec: Arc::new(spec), streams: None }
    }

    /// What was booted.
    #[must_use]
    pub fn spec(&self) -> &VmSpec {
        &self.spec
    }

    /// The last part of what the VMM wrote to its standard error since the last call: after its end,
    /// why it ended. May be empty.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.streams.as_ref().map(|streams| streams.words.take()).unwrap_or_default()
    }

    /// Waits until the process is gone, however long that takes.
    pub async fn wait_exit(&self) -> Result<(), VmmError> {
        self.process.wait_exit().await
    }
}

/// The byte stream to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentChannel {
    /// A hybrid-vsock unix socket: `CONNECT <port>\n`, `OK <port>\n`, then bytes.
    Vsock {
        /// Its path.
        uds: Utf8PathBuf,
    },
    /// The chardev socket of the virtio-serial port `rigbox.agent.0`: one stream, one client.
    Serial {
        /// Its path.
        socket: Utf8PathBuf,
    },
}

/// Something that not every driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Stop and continue the vCPUs.
    Pause,
    /// Write memory and state.
    Snapshot,
    /// Start from a snapshot.
    Restore,
    /// Limit the network's rate in the VMM.
    LimitNetwork,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause a workspace",
            Self::Snapshot => "take a snapshot with memory",
            Self::Restore => "resume from a snapshot with memory",
            Self::LimitNetwork => "limit the network's rate",
        })
    }
}

/// What a driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(&'static [Capability]);

impl Capabilities {
    /// Those that a driver has.
    #[must_use]
    pub const fn new(all: &'static [Capability]) -> Self {
        Self(all)
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}
