//! The agent and the host's half together, over unix sockets that stand for the VM's devices.
//! No VM: what needs one is in the product's own tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail loudly"
)]

mod exec;
mod files;
mod guest;
mod hostile;
mod line;
mod logs;
mod setup;
mod terminal;
mod world;
