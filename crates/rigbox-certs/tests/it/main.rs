//! Certificates against real parts: Pebble as the authority, OpenSSL and curl as those who check.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod fake;
mod hook;
mod issue;
mod local;
mod pebble;
mod refused;
mod world;
