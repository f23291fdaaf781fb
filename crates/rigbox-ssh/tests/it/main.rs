//! The gateway between real clients and a real OpenSSH server, with the platform played by the test.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly: a panic there is the report"
)]

mod abuse;
mod bulk;
mod clients;
mod exchange;
mod faults;
mod files;
mod forward;
mod guest;
mod keys;
mod life;
mod menu;
mod openssh;
mod pty;
mod raw;
mod strangers;
mod windows;
mod world;
