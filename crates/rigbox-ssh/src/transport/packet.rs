//! Packets on a byte stream (RFC 4253, section 6).
//! Invariants: a length is believed only up to the limit of the moment and only as far as bytes come;
//! giving up while waiting loses nothing, neither read nor written.

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::cipher::{LENGTH, Opening, Sealing};
use crate::error::SshError;

/// Longest packet from somebody whom we do not know: what RFC 4253, section 6.1 asks for.
pub(crate) const STRANGERS_PACKET: usize = 35_000;
/// Longest packet of a session: OpenSSH's own limit.
pub(crate) const SESSIONS_PACKET: usize = 256 * 1024;
/// Most packets from somebody whom we do not know: several for each request that is answered.
const STRANGERS_PACKETS: u32 = 512;
/// Most packets that are sealed with one key, whose nonces have 32 bits: somebody who lets no keys be
/// renewed is not spoken to for ever.
const SEALED_MAX: u32 = 1 << 31;
/// Fewest bytes of padding.
const PADDING_MIN: usize = 4;
/// How much is read at once while much comes.
const READ: usize = 64 * 1024;
/// How much room is kept while nothing is under way.
const KEEP: usize = 4 * 1024;

/// Reads packets.
pub(super) struct PacketReader<R> {
    io: R,
    buffer: BytesMut,
    /// Bytes of `buffer` that belong to the packet which was read last.
    last: usize,
    /// Where its payload ends; it begins after length and padding's length.
    payload_end: usize,
    pub(super) key: Opening,
    /// Counts packets, and wraps.
    pub(super) sequence: u32,
    /// Bytes and packets under this key.
    pub(super) bytes: u64,
    pub(super) packets: u32,
    /// Longest packet.
    pub(super) limit: usize,
    /// How many packets may still come from somebody whom we do not know.
    pub(super) allowance: Option<u32>,
    /// Room for the next read.
    room: usize,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    pub(super) fn new(io: R, buffer: BytesMut) -> Self {
        let key = Opening::Clear;
        Self {
            io,
            buffer,
            last: 0,
            payload_end: 0,
            key,
            sequence: 0,
            bytes: 0,
            packets: 0,
            limit: STRANGERS_PACKET,
            allowance: Some(STRANGERS_PACKETS),
            room: KEEP,
        }
    }

    /// Reads the next packet, whose message is then [`Self::payload`]. May be given up while it waits.
    pub(super) async fn advance(&mut self) -> Result<(), SshError> {
        self.forget_last();
        let total = loop {
            let total = self.whole()?;
            if let Some(total) = total
                && self.buffer.len() >= total
            {
                break total;
            }
            // A length is worth no more memory than one read until its bytes come, and somebody who
            // is idle no more than a key press.
            self.buffer.reserve(self.room);
            let read = self.io.read_buf(&mut self.buffer).await?;
            if read == 0 {
                return Err(SshError::Closed);
            }
            self.room = if read < KEEP { KEEP } else { READ };
        };
        if let Some(allowance) = &mut self.allowance {
            *allowance = allowance
                .checked_sub(1)
                .ok_or(SshError::Malformed("too much before being let in"))?;
        }
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(total).unwrap_or(u64::MAX));
        self.last = total;
        let body_end = total.saturating_sub(self.key.tag());
        let packet = self.buffer.get_mut(..total).ok_or(SshError::Closed)?;
        self.key.open(sequence, packet)?;
        let padding = packet.get(LENGTH).copied().map_or(0, usize::from);
        self.payload_end = body_end
            .checked_sub(padding)
            .filter(|end| *end > LENGTH + 1 && padding >= PADDING_MIN)
            .ok_or(SshError::Malformed("a packet's padding is wrong"))?;
        Ok(())
    }

    /// The message of the packet that was read last.
    pub(super) fn payload(&self) -> &[u8] {
        self.buffer.get(LENGTH + 1..self.payload_end).unwrap_or_default()
    }

    /// Whether another packet is there without waiting.
    pub(super) fn has_more(&self) -> bool {
        let Some(rest) = self.buffer.get(self.last..) else { return false };
        let Some(sealed) = rest.first_chunk::<LENGTH>() else { return false };
        let length = self.key.length(self.sequence, *sealed);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rest.len() >= length.saturating_add(LENGTH + self.key.tag())
    }

    /// Reads on until the end, of which nothing is kept.
    pub(super) async fn drain(&mut self) {
        loop {
            self.buffer.clear();
            self.buffer.reserve(KEEP);
            if !matches!(self.io.read_buf(&mut self.buffer).await, Ok(1..)) {
                break;
            }
        }
    }

    /// The size of the packet that comes, once its length is there.
    fn whole(&self) -> Result<Option<usize>, SshError> {
        let Some(sealed) = self.buffer.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = self.key.length(self.sequence, *sealed);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (block, counts) = self.key.block();
        let measured = if counts { length.saturating_add(LENGTH) } else { length };
        if length > self.limit || measured < block || !measured.is_multiple_of(block) {
            return Err(SshError::Malformed("a packet has a length that cannot be"));
        }
        Ok(Some(LENGTH + length + self.key.tag()))
    }

    fn forget_last(&mut self) {
        self.buffer.advance(self.last.min(self.buffer.len()));
        (self.last, self.payload_end) = (0, 0);
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
            self.buffer = BytesMut::new();
        }
    }
}

/// Writes packets.
pub(super) struct PacketWriter<W> {
    io: W,
    buffer: BytesMut,
    pub(super) key: Sealing,
    /// Counts packets, and wraps.
    pub(super) sequence: u32,
    /// Bytes and packets under this key.
    pub(super) bytes: u64,
    pub(super) packets: u32,
}

impl<W: AsyncWrite + Unpin> PacketWriter<W> {
    pub(super) fn new(io: W) -> Self {
        let key = Sealing::Clear;
        Self { io, buffer: BytesMut::new(), key, sequence: 0, bytes: 0, packets: 0 }
    }

    /// Seals a message; it goes with the next [`Self::flush`].
    pub(super) fn queue(&mut self, payload: &[u8]) -> Result<(), SshError> {
        if self.packets > SEALED_MAX {
            return Err(SshError::TooSlow("the renewal of keys"));
        }
        let (block, counts) = self.key.block();
        let measured = if counts { LENGTH } else { 0 } + 1 + payload.len();
        let mut padding = block - measured % block;
        if padding < PADDING_MIN {
            padding += block;
        }
        let length = 1 + payload.len() + padding;
        let start = self.buffer.len();
        let tag = self.key.tag();
        self.buffer.reserve(LENGTH + length + tag);
        let long = || SshError::Malformed("a message is too long");
        self.buffer.extend_from_slice(&u32::try_from(length).map_err(|_| long())?.to_be_bytes());
        self.buffer.extend_from_slice(&[u8::try_from(padding).map_err(|_| long())?]);
        self.buffer.extend_from_slice(payload);
        // Padding is sealed with the rest: it need not be random.
        self.buffer.resize(start + LENGTH + length + tag, 0);
        let packet = self.buffer.get_mut(start..).ok_or_else(long)?;
        self.key.seal(self.sequence, packet)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Writes what was queued. May be given up while it waits: the rest goes with the next one.
    pub(super) async fn flush(&mut self) -> Result<(), SshError> {
        while !self.buffer.is_empty() {
            if self.io.write_buf(&mut self.buffer).await? == 0 {
                return Err(SshError::Closed);
            }
        }
        self.io.flush().await?;
        if self.buffer.capacity() > KEEP {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    /// Says that no more comes.
    pub(super) async fn shutdown(&mut self) -> Result<(), SshError> {
        Ok(self.io.shutdown().await?)
    }
}

#[cfg(test)]
mod tests;
