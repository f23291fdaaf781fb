//! The control side of SSH gateways: whose a key is, which workspace a name leads to, what opens that
//! workspace's own SSH server, and when a session is to end.
//! Invariants: who somebody is follows from a key that the gateway has verified; a stranger cannot tell
//! what exists; nobody is let in before the record says so; the private halves of the region's host key
//! and of the user authority are encrypted where they are kept.
//! Does not carry sessions.

mod certificate;
mod forwards;
mod held;
pub(crate) mod http;
mod keys;
mod login;
mod names;
mod watch;

pub(crate) use keys::SshAuthority;
pub(crate) use names::user;
