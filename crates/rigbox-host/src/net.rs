//! Owns the networks of workspaces: one namespace each, with the same addresses inside.
//!
//! ```text
//!  guest 172.16.0.2 ── tap0 172.16.0.1 │ namespace │ ext0 ── veth ── rb<tag>v<slot> │ host │ uplink
//!                      relays :53 :9090
//! ```
//!
//! Invariants: a namespace is in the pool, or named by a record; its rules are whole before a guest
//! can send; the identity of a workspace is its namespace. Names are in `layout`.
//! Does not choose an egress policy and does not answer guests (see `relay`).

pub(crate) mod address;
pub(crate) mod dial;
pub(crate) mod enter;
pub(crate) mod host_table;
pub(crate) mod namespace;
pub(crate) mod pool;
pub(crate) mod relays;
pub(crate) mod rules;
pub(crate) mod shape;
mod tap;

use std::{io, net::Ipv4Addr};

use camino::Utf8PathBuf;
use rigbox_types::failure::FailureCode;
use rigbox_vmm::MacAddr;

use crate::{exec::ExecError, trouble::StepError};

/// The guest's address, in every workspace.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 2);

/// The gateway's address, in every workspace.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);

/// The port of the DNS relay.
pub(crate) const DNS_PORT: u16 = 53;

/// The port of the HTTP relay.
pub(crate) const API_PORT: u16 = 9090;

/// Name of the tap in every namespace.
pub(crate) const TAP: &str = "tap0";

/// Name of the veth's inner end in every namespace.
pub(crate) const UPLINK: &str = "ext0";

/// The group of interfaces that the host's ends of all veths are in, whichever instance they are
/// of: "rb" as a number.
pub(crate) const VETH_GROUP: u32 = 0x7262;

/// Address of the guest's network card. Fixed, so that a snapshot can be resumed anywhere.
pub(crate) const GUEST_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

/// Address of the tap: a guest that was resumed remembers it.
pub(crate) const TAP_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

/// A network that could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    #[error("{action} {name}")]
    Tool {
        action: &'static str,
        name: String,
        #[source]
        source: Box<ExecError>,
    },
    #[error("{action} {path}")]
    File {
        action: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{cidr:?} is not an IPv4 network of at least {least} addresses")]
    InvalidCidr { cidr: String, least: u32 },
    #[error("no range of addresses is free below 10.192.0.0/10: set network.cidr")]
    NoFreeRange,
    #[error("all {slots} network slots are taken")]
    NoFreeSlot { slots: u32 },
}

impl NetError {
    pub(crate) fn tool(
        action: &'static str,
        name: impl Into<String>,
    ) -> impl FnOnce(ExecError) -> Self {
        let name = name.into();
        move |source| Self::Tool { action, name, source: Box::new(source) }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<Utf8PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

impl From<NetError> for StepError {
    fn from(error: NetError) -> Self {
        if let NetError::NoFreeSlot { .. } = error {
            let message = "the host runs as many workspaces as it has networks for";
            return Self::caused(FailureCode::CapacityExhausted, message, error);
        }
        Self::caused(
            FailureCode::NetworkError,
            "the workspace's network could not be made or changed",
            error,
        )
    }
}
