//! The edge between real clients and a real app, with control and the host played by the test.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly: a panic there is the report"
)]

mod admission;
mod client;
mod control;
mod cost;
mod forward;
mod host;
mod journal;
mod life;
mod limits;
mod raw;
mod routes;
mod tls;
mod upgrade;
mod world;
