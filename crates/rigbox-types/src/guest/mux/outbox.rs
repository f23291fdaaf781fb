//! Bytes on their way to the line. Invariant: what was handed out and taken is not kept.

use super::packet::{self, Message, Tag};

/// A queue of bytes that is filled by packets and emptied from the front.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, tag: Tag, message: Message<'_>) {
        packet::encode(tag, message, &mut self.bytes);
    }

    /// Drops everything and ends whatever packet was half-way out.
    pub(super) fn restart(&mut self) {
        self.clear();
        self.bytes.push(super::cobs::DELIMITER);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.taken = 0;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count).min(self.bytes.len());
        // Moving the rest only when it is the smaller half keeps the cost per byte constant.
        if self.taken.saturating_mul(2) >= self.bytes.len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}
