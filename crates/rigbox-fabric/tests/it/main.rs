//! Real sockets, real TLS, real processes of other users.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod dial;
mod http;
mod kit;
mod listen;
mod multiplexed;
mod task;
mod tls;
mod watch;
