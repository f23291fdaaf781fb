//! What hosts ask control: who they are, what they should make, what they see; and what code in a
//! workspace asks through them. Served on the fabric listener only.
//! Invariant: a host speaks for itself and for the workspaces that are assigned to it. Control never
//! dials a host to change anything.

mod assignment;
mod host_keys;
pub(crate) mod http;
mod inside;
pub(crate) mod place;
pub(crate) mod placement;
mod told;
mod watch;

pub(crate) use host_keys::OtherHostKeys;
pub(crate) use told::until_told;
