//! The supervisor as an operator meets it: the real `rigbox` with its real role `control`, and a
//! stand-in for the host agent that registers itself and does nothing else. Needs root.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]
#![expect(clippy::indexing_slicing, reason = "a missing field of an answer fails the test")]

mod backup;
mod credits;
mod down;
mod object_store;
mod refused;
mod restart;
mod up;
mod users;
mod world;
