//! Files with holes: where their data is, and how that is written down in a tar (GNU's sparse format
//! 1.0, which `tar -x` knows).
//! Invariant: pieces are in order, do not overlap, and end within the file.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt as _,
};

use anyhow::{Context, bail};
use rustix::fs::{SeekFrom, seek};

use super::document::MAP_MAX;

/// Unit of tar.
pub(super) const BLOCK: u64 = 512;

/// A hole that is shorter costs more to write down than to store.
const HOLE_MIN_BYTES: u64 = 64 * 1024;

/// Unit of reading and writing.
pub(super) const CHUNK: usize = 256 * 1024;

/// Data between two holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// Where a file has data.
pub(super) fn pieces(file: &File, length: u64) -> io::Result<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < length {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(length);
        match pieces.last_mut() {
            Some(last) if start - (last.at + last.bytes) < HOLE_MIN_BYTES => {
                last.bytes = end - last.at;
            }
            _ => pieces.push(Piece { at: start, bytes: end.saturating_sub(start) }),
        }
        at = end.max(at + 1);
    }
    // A hole at the end is written down as an empty piece there: readers take its end for the file's.
    pieces.push(Piece { at: length, bytes: 0 });
    Ok(pieces)
}

/// The list of pieces as it stands before their data.
pub(super) fn map(pieces: &[Piece]) -> Vec<u8> {
    let mut map = format!("{}\n", pieces.len()).into_bytes();
    for piece in pieces {
        map.extend(format!("{}\n{}\n", piece.at, piece.bytes).into_bytes());
    }
    let padded = map.len().next_multiple_of(BLOCK.try_into().unwrap_or(usize::MAX));
    map.resize(padded, 0);
    map
}

/// Reads the list back. `length` is the size of the file, `stored` what there is of it with the list.
///
/// # Errors
/// Where it is no list of that file's pieces.
pub(super) fn read_map(
    input: &mut dyn Read,
    (length, stored): (u64, u64),
) -> anyhow::Result<Vec<Piece>> {
    let mut numbers = Numbers { input, block: Vec::new(), used: 0, read: 0 };
    let count = numbers.next()?;
    if count > MAP_MAX / 4 {
        bail!("its list of pieces is too long");
    }
    let (mut pieces, mut end, mut sum) = (Vec::new(), 0, 0_u64);
    for _ in 0..count {
        let piece = Piece { at: numbers.next()?, bytes: numbers.next()? };
        let after = piece.at.checked_add(piece.bytes);
        let after = after.filter(|after| piece.at >= end && *after <= length);
        end = after.context("its list of pieces is wrong")?;
        sum = sum.saturating_add(piece.bytes);
        pieces.push(piece);
    }
    if numbers.read.checked_add(sum) != Some(stored) {
        bail!("its list of pieces does not match its size");
    }
    Ok(pieces)
}

/// Decimal numbers, one a line, in blocks of tar.
struct Numbers<'r> {
    input: &'r mut dyn Read,
    block: Vec<u8>,
    used: usize,
    read: u64,
}

impl Numbers<'_> {
    fn next(&mut self) -> anyhow::Result<u64> {
        /// Digits of the largest number.
        const DIGITS_MAX: usize = 20;
        let mut digits = String::new();
        loop {
            match self.byte()? {
                b'\n' => return digits.parse().context("its list of pieces is wrong"),
                digit if digit.is_ascii_digit() && digits.len() < DIGITS_MAX => {
                    digits.push(char::from(digit));
                }
                _ => bail!("its list of pieces is wrong"),
            }
        }
    }

    fn byte(&mut self) -> anyhow::Result<u8> {
        if self.used == self.block.len() {
            if self.read > MAP_MAX {
                bail!("its list of pieces is too long");
            }
            self.block = vec![0; BLOCK.try_into()?];
            self.input.read_exact(&mut self.block)?;
            self.read += BLOCK;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        Ok(byte)
    }
}

/// Copies a piece of a file.
pub(super) fn copy_piece(file: &File, piece: Piece, out: &mut dyn Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    while done < piece.bytes {
        let wanted = usize::try_from(piece.bytes - done).unwrap_or(CHUNK).min(CHUNK);
        let part = chunk.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(part, piece.at + done)?;
        out.write_all(part)?;
        done += u64::try_from(wanted).unwrap_or(0);
    }
    Ok(())
}

/// Writes a piece back. Blocks of zeros become holes again.
pub(super) fn put_piece(file: &File, piece: Piece, input: &mut dyn Read) -> anyhow::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    while done < piece.bytes {
        let wanted = usize::try_from(piece.bytes - done).unwrap_or(CHUNK).min(CHUNK);
        let part = chunk.get_mut(..wanted).unwrap_or_default();
        input.read_exact(part)?;
        if part.iter().any(|byte| *byte != 0) {
            file.write_all_at(part, piece.at + done).context("write to the disk")?;
        }
        done += u64::try_from(wanted).unwrap_or(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_back_and_a_wrong_one_refused() {
        let pieces = [Piece { at: 0, bytes: 10 }, Piece { at: 1 << 40, bytes: 5 }];
        let map = map(&pieces);
        let stored = u64::try_from(map.len()).unwrap() + 15;
        let read = |map: &[u8], length, stored| read_map(&mut &*map, (length, stored));
        assert_eq!(read(&map, (1 << 40) + 5, stored).unwrap(), pieces);
        assert!(read(&map, (1 << 40) + 4, stored).is_err(), "beyond the end");
        assert!(read(&map, (1 << 40) + 5, stored + 1).is_err(), "more data than pieces");
        let block = |text: &str| {
            let mut block = text.as_bytes().to_vec();
            block.resize(512, 0);
            block
        };
        for wrong in [
            "",
            "x\n",
            "-1\n",
            "2\n0\n5\n3\n5\n",
            "99999999999999999999999\n",
            "1\n18446744073709551615\n2\n",
            "9999999999\n",
        ] {
            assert!(read(&block(wrong), 100, 522).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn holes_are_found_and_short_ones_stored() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.write_all_at(&[1; 4096], (8 << 20) + 32 * 1024).unwrap();
        file.write_all_at(&[1; 4096], 32 << 20).unwrap();
        let found = pieces(&file, 64 << 20).unwrap();
        let starts: Vec<_> = found.iter().map(|piece| piece.at >> 20).collect();
        assert_eq!(starts, [8, 32, 64]);
        assert!(found.iter().map(|piece| piece.bytes).sum::<u64>() < 1 << 20);
    }
}
