//! The gzip format without compression: blocks that are stored, each of which can be read at once.
//! Does not make anything smaller; who reads it has to decode it all the same.

use bytes::{BufMut as _, BytesMut};

/// RFC 1952: magic, deflate, no flags, no time, no hint, unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Most bytes of a stored block.
const BLOCK_MAX: usize = 0xffff;

/// A stream under way.
#[derive(Debug)]
pub(crate) struct Gzip {
    has_begun: bool,
    sum: u32,
    length: u32,
}

impl Gzip {
    pub(crate) const fn new() -> Self {
        Self { has_begun: false, sum: u32::MAX, length: 0 }
    }

    /// What these bytes become.
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.begin(out);
        for block in bytes.chunks(BLOCK_MAX) {
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            out.put_u8(0);
            out.put_u16_le(length);
            out.put_u16_le(!length);
            out.extend_from_slice(block);
            self.length = self.length.wrapping_add(u32::from(length));
        }
        self.sum = bytes.iter().fold(self.sum, |sum, byte| {
            let sum = sum ^ u32::from(*byte);
            (0..8).fold(sum, |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
        });
    }

    /// What ends it: an empty last block, sum and length.
    pub(crate) fn finish(&mut self, out: &mut BytesMut) {
        self.begin(out);
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        out.put_u32_le(!self.sum);
        out.put_u32_le(self.length);
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(&HEAD);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn gzip_itself_reads_it() {
        let words: Vec<u8> = (0..200_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (mut gzip, mut out) = (Gzip::new(), BytesMut::new());
        for piece in words.chunks(70_000) {
            gzip.write(piece, &mut out);
        }
        gzip.finish(&mut out);
        let mut child = Command::new("gzip");
        let child = child.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || input.write_all(&out));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(output.status.success() && output.stdout == words);
    }
}
