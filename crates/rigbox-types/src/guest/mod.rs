//! Documents between a host and the agent inside a workspace, and the codecs they travel in.
//!
//! The agent serves HTTP/1.1 on port [`AGENT_PORT`]: of AF_VSOCK where the VMM has it, else of the
//! streams that [`mux`] carries over the virtio-serial port [`SERIAL_PORT_NAME`]. A command that is
//! talked to travels as [`frame`]s after an upgrade. Whoever reads these documents treats the other
//! side as hostile: every one of them is bounded.

pub mod ai;
pub mod exec;
pub mod files;
pub mod frame;
pub mod freeze;
pub mod hello;
pub mod journal;
pub mod metrics;
pub mod mux;
pub mod ports;
pub mod refusal;
pub mod services;
pub mod setup;
pub mod units;

pub use exec::{
    ExecEvent, ExecExit, ExecList, ExecRequest, ExecResult, ExecSession, ExecStarted, InvalidExec,
    TtySize,
};
pub use files::{FileEntry, FileKind, FileListResponse, FilePutResponse};
pub use freeze::{FREEZE_MAX_MS, FreezeRequest, ThawAnswer};
pub use hello::{Hello, SetupState, SystemState};
pub use journal::{GetWorkspaceLogsResponse, LogDirection, LogLine};
pub use metrics::GuestMetrics;
pub use ports::{ListListeningPortsResponse, ListeningPort};
pub use services::{ServiceStatus, ServicesResponse};
pub use setup::{
    AgentFeature, SetupAnswer, SetupReport, SetupRequest, ShutdownKind, ShutdownRequest,
    TimeRequest,
};

pub use units::{WrapAnswer, WrapRequest};

/// The port of the agent, on AF_VSOCK and in the multiplexer.
pub const AGENT_PORT: u32 = 1024;

/// Name of the virtio-serial port, as the guest finds it in `/sys/class/virtio-ports/*/name`.
pub const SERIAL_PORT_NAME: &str = "rigbox.agent.0";

/// What an exec stream is upgraded to (`Upgrade: rigbox-exec`).
pub const EXEC_UPGRADE: &str = "rigbox-exec";

/// Header of a file's answer: its permission bits in octal.
pub const FILE_MODE_HEADER: &str = "x-rigbox-mode";
