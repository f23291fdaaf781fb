//! The drivers against real processes: QEMU boots Debian's kernel under emulation, and the same
//! cases run against the Firecracker double, and against the real Firecracker where `FIRECRACKER`
//! and `JAILER` name it. Needs root: namespaces, taps and jails are made.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly: a panic is the report"
)]

mod assets;
mod cases;
mod double;
mod guest;
mod launch;
mod vm;
mod world;
