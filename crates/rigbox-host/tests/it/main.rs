//! The real agent as a process of its own, with a driver whose VMs are small processes, and a control
//! that speaks the real protocol. Everything is made in a directory and under a tag of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::exit,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod bad_days;
mod control;
mod dials;
mod faults;
mod guest;
mod image;
mod isolation;
mod leftovers;
mod life;
mod roles;
mod vmm;
mod wire;
mod world;
