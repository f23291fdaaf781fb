//! The proxy as a relay sees it, before providers that are simulated at the wire.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod faults;
mod kit;
mod money;
mod paths;
mod subjects;
