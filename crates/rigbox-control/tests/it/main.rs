//! Control as its clients and hosts see it: real HTTP, a real database, and a host at the wire.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly: a panic there is the report"
)]

mod access_control;
mod agent;
mod ai;
mod api_keys;
mod app_rights;
mod apps;
mod audit;
mod browser;
mod client;
mod credits;
mod device;
mod documents;
mod edges;
mod entry;
mod errors;
mod guest;
mod host;
mod hostile;
mod idempotency;
mod internal;
mod life;
mod links;
mod metrics;
mod neighbours;
mod oidc;
mod page_rights;
mod pages;
mod people;
#[path = "../../../rigbox-store/tests/it/postgres.rs"]
mod postgres;
mod rates;
mod restart;
mod revoked;
mod rights;
mod schemathesis;
mod scripts;
mod second_factor;
mod sessions;
mod sharing;
mod sign_in;
mod ssh;
mod ssh_keys;
mod terminal;
mod users;
mod world;
