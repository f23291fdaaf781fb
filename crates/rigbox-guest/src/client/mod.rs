//! The host's half: [`connect`] to a port of the guest, typed calls of the [`Agent`], and the
//! [`bridge`] that makes a serial line look like Firecracker's socket.
//! Invariant: every wait has a limit and every answer a size, because the guest is hostile.

mod agent;
mod bridge;
mod connect;
mod exec;

pub use agent::{Agent, AgentError, ForwardLimits};
pub use bridge::{BridgeError, bridge};
pub use connect::{ConnectError, connect};
pub use exec::{ExecStream, ExecStreamError};
