//! The kit of the whole-product tests: a platform of its own per test, driven only through what
//! users have: the `rigbox` and `rig` binaries, `curl` and a browser.
//! Invariant: a test's platform lives in its own data directory and leaves nothing on the machine.
//! Does not link any server crate.

pub mod authority;
pub mod browser;
pub mod client;
pub mod internet;
pub mod machine;
pub mod platform;
pub mod wait;
