//! Many streams over the one byte line of a virtio-serial port. Sans-IO: the state machine in
//! [`Mux`] and the codec below it take and give bytes, and know no socket and no clock.
//!
//! ```text
//! host                                              guest
//!   (line comes up)                                   (agent starts)
//!   <───────────────────────────────────────────── Greeting   "forget what was, say hello"
//!   Hello{nonce} ──────────────────────────────────>          drops every stream it had
//!   <────────────────────────────────────── Welcome{nonce}    anything before it is stale: dropped
//!   Open{id, port} ────────────────────────────────>
//!   <────────────────────────────────────── Opened | Reset
//!   Data <─────────────────────────────────────────> Data      within the window of each stream
//!   Window <───────────────────────────────────────> Window    "so much was taken out"
//!   Finish <───────────────────────────────────────> Finish    one direction is over
//!   Reset <────────────────────────────────────────> Reset     both are, at once
//! ```
//!
//! The line keeps bytes that nobody has read, loses bytes when no host is connected, and ends in
//! the middle of a packet whenever one side dies. Therefore:
//! - packets are byte-stuffed and end with a zero that occurs nowhere else ([`cobs`]), so a reader
//!   finds the next packet whatever came before, and no payload can pose as one;
//! - every packet carries the tag of its session, and a session begins with a nonce that only its
//!   own answer repeats, so bytes of a former one are known as such.
//!
//! Invariant: whatever the peer sends, memory is bounded by [`MAX_STREAMS`] windows and one packet.
//! A peer that breaks a rule loses the stream or is ignored; it never makes this side fail.

mod cobs;
mod machine;
mod outbox;
mod packet;

pub use cobs::{Decoder, ENCODED_MAX_BYTES};
pub use machine::{Event, Mux, OpenRefused, Role, StreamGone};
pub use packet::{NONCE_BYTES, Nonce, PAYLOAD_MAX_BYTES};

/// Most streams of one line. A stream is one HTTP exchange, so this is also the most requests that
/// one workspace serves at once.
pub const MAX_STREAMS: usize = 128;

/// Bytes that a stream may have under way in one direction. The line moves under 180 MB/s with a
/// round trip under 0.4 ms, so 64 KiB is about what one stream can keep full.
pub const WINDOW_BYTES: u32 = 64 * 1024;

/// Output that is kept for the line before streams are held back.
pub const OUTBOX_SOFT_BYTES: usize = 256 * 1024;

/// Output above which nothing is read any more: a peer that asks and does not read gets no further.
pub const OUTBOX_HARD_BYTES: usize = OUTBOX_SOFT_BYTES + 64 * 1024;

/// Names a stream within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u32);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
