//! How the parts of Rigbox find, trust and reach each other: addresses, mutually authenticated
//! streams, watches, and `dial` into a workspace.
//! Invariant: every peer is known (by its uid on this machine, by its certificate from another)
//! before its first byte is read.
//! Does not know users, routes or SQL, and decides no right: it takes proofs of rights.

pub mod descriptors;
pub mod dial;
pub mod identity;
pub mod task;
pub mod watch;

mod address;
mod client;
mod connect;
mod error;
mod listen;
mod multiplexed;
mod whole;

pub use address::{Address, InvalidAddress};
pub use axum::body::Body;
pub use client::Client;
pub use connect::{ClientAuth, Connection};
pub use error::{FabricError, Refusal};
pub use listen::{Accepts, BindError, Listener, Peer, ServerAuth, serve, serve_multiplexed};
pub use multiplexed::MultiplexedClient;
