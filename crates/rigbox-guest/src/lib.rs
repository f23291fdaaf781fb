//! The agent inside a workspace (feature `agent`), and the host's half of its protocol (feature
//! `client`).
//!
//! One protocol over one byte stream: HTTP/1.1 on AF_VSOCK where the VMM has it, and on the streams
//! of a multiplexed virtio-serial port where it has not. The host sees both as the same unix socket
//! (`CONNECT 1024`, then bytes).
//! Invariant: neither side trusts the other. The guest is hostile to the host, and the agent's
//! channel gives the guest no right that it does not have anyway.
//! Does not know desired state, networks or users of the platform.

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "client")]
pub mod client;
mod mux;
