//! Consistent overhead byte stuffing: a packet without zeros, ended by one. Costs one byte in 254.
//! Does not know what a packet means.

use super::packet::PACKET_MAX_BYTES;

/// Ends a packet and occurs nowhere in one.
pub(super) const DELIMITER: u8 = 0;

/// Longest run of bytes that one code byte announces.
const RUN_MAX: usize = 254;

/// A code byte with this value is followed by a full run and no zero.
const CODE_FULL: u8 = 255;

/// Longest packet on the line, without its delimiter.
pub const ENCODED_MAX_BYTES: usize = PACKET_MAX_BYTES + PACKET_MAX_BYTES / RUN_MAX + 1;

/// Appends one packet, given in parts, with its delimiter.
pub(super) fn encode(parts: &[&[u8]], out: &mut Vec<u8>) {
    let mut block = Block::begin(out);
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            let (run, after) = rest.split_at(rest.len().min(block.room()));
            match run.iter().position(|byte| *byte == DELIMITER) {
                Some(at) => {
                    block.append(run.get(..at).unwrap_or_default(), out);
                    block = block.end(out);
                    rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
                }
                None => {
                    block.append(run, out);
                    if block.room() == 0 {
                        block = block.end(out);
                    }
                    rest = after;
                }
            }
        }
    }
    block.close(out);
    out.push(DELIMITER);
}

/// A run of bytes behind its code byte, which is filled in when the run ends.
struct Block {
    code_at: usize,
    length: usize,
}

impl Block {
    fn begin(out: &mut Vec<u8>) -> Self {
        let code_at = out.len();
        out.push(CODE_FULL);
        Self { code_at, length: 0 }
    }

    fn room(&self) -> usize {
        RUN_MAX.saturating_sub(self.length)
    }

    fn append(&mut self, run: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(run);
        self.length = self.length.saturating_add(run.len());
    }

    fn close(&self, out: &mut [u8]) {
        let code = u8::try_from(self.length.saturating_add(1)).unwrap_or(CODE_FULL);
        if let Some(place) = out.get_mut(self.code_at) {
            *place = code;
        }
    }

    fn end(&self, out: &mut Vec<u8>) -> Self {
        self.close(out);
        Self::begin(out)
    }
}

/// Undoes [`encode`] for one packet without its delimiter; none when it is malformed.
fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&code, after)) = rest.split_first() {
        let run = usize::from(code).checked_sub(1)?;
        let (bytes, next) = after.split_at_checked(run)?;
        packet.extend_from_slice(bytes);
        if code != CODE_FULL && !next.is_empty() {
            packet.push(DELIMITER);
        }
        rest = next;
    }
    Some(packet)
}

/// Finds packets in a byte stream that may begin anywhere. Holds at most one packet.
#[derive(Debug, Default)]
pub struct Decoder {
    begun: Vec<u8>,
    /// The packet that has begun is over the limit: nothing of it is kept.
    overlong: bool,
    garbage_bytes: u64,
}

impl Decoder {
    /// Takes bytes off the front of `bytes` up to the end of the next whole packet and gives it.
    /// Without one, all bytes are taken.
    pub fn next_packet(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == DELIMITER);
            let (piece, after) = match end {
                Some(at) => (bytes.get(..at)?, bytes.get(at.saturating_add(1)..)?),
                None => (*bytes, &[][..]),
            };
            *bytes = after;
            self.take(piece);
            if end.is_some()
                && let Some(packet) = self.finish()
            {
                return Some(packet);
            }
        }
        None
    }

    /// Bytes that belonged to no packet, so far.
    #[must_use]
    pub fn garbage_bytes(&self) -> u64 {
        self.garbage_bytes
    }

    /// Counts bytes of a packet that made no sense.
    pub(super) fn count_garbage(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.garbage_bytes = self.garbage_bytes.saturating_add(bytes);
    }

    fn take(&mut self, piece: &[u8]) {
        if self.overlong || self.begun.len().saturating_add(piece.len()) > ENCODED_MAX_BYTES {
            self.count_garbage(self.begun.len().saturating_add(piece.len()));
            self.begun.clear();
            self.overlong = true;
        } else {
            self.begun.extend_from_slice(piece);
        }
    }

    fn finish(&mut self) -> Option<Vec<u8>> {
        self.overlong = false;
        if self.begun.is_empty() {
            return None;
        }
        let packet = decode(&self.begun);
        if packet.is_none() {
            self.count_garbage(self.begun.len());
        }
        self.begun.clear();
        packet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_packet_is_read_back_after_any_garbage(
            packet in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 1..2000),
            garbage in proptest::collection::vec(any::<u8>(), 0..40_000),
            split in any::<prop::sample::Index>(),
        ) {
            let mut line = garbage;
            line.push(DELIMITER);
            let (front, back) = packet.split_at(split.index(packet.len()));
            encode(&[front, back], &mut line);
            let mut decoder = Decoder::default();
            let mut rest = &line[..];
            let mut last = None;
            while let Some(found) = decoder.next_packet(&mut rest) {
                last = Some(found);
            }
            prop_assert_eq!(last, Some(packet));
        }

        #[test]
        fn a_packet_is_never_longer_than_announced(
            packet in proptest::collection::vec(any::<u8>(), PACKET_MAX_BYTES..=PACKET_MAX_BYTES),
        ) {
            let mut line = Vec::new();
            encode(&[&packet], &mut line);
            prop_assert!(line.len() <= ENCODED_MAX_BYTES + 1);
        }
    }

    #[test]
    fn runs_at_the_edge_of_a_block_survive() {
        for length in [1, 253, 254, 255, 256, 507, 508, 509] {
            for tail in [&[][..], &[0], &[0, 0], &[1]] {
                let mut packet = vec![9; length];
                packet.extend_from_slice(tail);
                let mut line = Vec::new();
                encode(&[&packet], &mut line);
                let found = Decoder::default().next_packet(&mut &line[..]);
                assert_eq!(found, Some(packet), "{length} {tail:?}");
            }
        }
    }
}
