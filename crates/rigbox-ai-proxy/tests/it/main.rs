//! The proxy as a relay sees it, before providers that are simulated at the wire.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod bad_days;
mod faults;
mod kills;
mod kit;
mod money;
mod paths;
#[path = "../../../rigbox-store/tests/it/postgres.rs"]
mod postgres;
mod sdk;
mod subjects;
mod translation;
