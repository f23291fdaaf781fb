//! Control as its clients and hosts see it: real HTTP, a real database, and a host at the wire.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly: a panic there is the report"
)]

mod agent;
mod client;
mod documents;
mod entry;
mod errors;
mod guest;
mod host;
mod idempotency;
mod internal;
mod life;
mod metrics;
mod pages;
mod restart;
mod scripts;
mod ssh_keys;
mod terminal;
mod users;
mod world;
