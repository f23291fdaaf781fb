//! Firecracker in its jailer.

mod adopt;
mod api;
mod documents;
mod driver;
mod jail;
mod snapshot;

pub(crate) use driver::Firecracker;
