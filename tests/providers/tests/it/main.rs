//! The simulator from outside: what each provider's answers are, what is charged for them, and what
//! happens on the wire when a behaviour says so.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod billing;
mod client;
mod faults;
mod sdk;
mod usage;
