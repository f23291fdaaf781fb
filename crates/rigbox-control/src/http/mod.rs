//! What is common to all requests: the listener, the entry of a request, how it is read and how it
//! is answered. Knows no resource.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod entry;
pub(crate) mod explain;
pub(crate) mod idempotency;
mod linger;
pub(crate) mod made;
mod of_addresses;
pub(crate) mod page;
pub(crate) mod params;
pub(crate) mod places;
pub(crate) mod proxies;
pub(crate) mod router;
pub(crate) mod server;
pub(crate) mod sse;
mod strict;
