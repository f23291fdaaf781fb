//! Copies files that are mostly holes: memory of guests.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use rustix::fs::SeekFrom as Sparse;

/// Copies `from` to `to`, which has the same size and holds zeros, leaving out the holes.
pub fn copy(from: &mut File, to: &mut File) -> io::Result<()> {
    if from.metadata()?.len() != to.metadata()?.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the sizes differ"));
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut position = 0;
    while let Some((start, end)) = next_data(from, position)? {
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        copy_exactly(from, to, end - start, &mut buffer)?;
        position = end;
    }
    Ok(())
}

fn copy_exactly(from: &mut File, to: &mut File, count: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        from.read_exact(chunk)?;
        to.write_all(chunk)?;
        left -= want as u64;
    }
    Ok(())
}

/// The next extent from `position` on that is not a hole.
fn next_data(file: &File, position: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(file, Sparse::Data(position)) {
        Ok(start) => start,
        // No data after the position.
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, Sparse::Hole(start))?;
    Ok(Some((start, end)))
}

/// Large enough that system calls do not count.
const BUFFER_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn data_is_copied_and_holes_stay_holes() {
        let mut from = tempfile::tempfile().expect("temporary file");
        let mut to = tempfile::tempfile().expect("temporary file");
        let size = 64 << 20;
        from.set_len(size).expect("size");
        to.set_len(size).expect("size");
        let places = [(0, 5_u8), (3 << 20, 6), (size - 4096, 7)];
        for (offset, byte) in places {
            from.write_all_at(&[byte; 4096], offset).expect("write");
        }
        copy(&mut from, &mut to).expect("copy");
        for (offset, byte) in places {
            let mut read = [0; 4096];
            to.read_exact_at(&mut read, offset).expect("read");
            assert_eq!(read, [byte; 4096], "at {offset}");
        }
        assert!(to.metadata().expect("stat").blocks() * 512 < 8 << 20, "holes were filled");
    }

    #[test]
    fn a_file_of_another_size_is_refused() {
        let mut from = tempfile::tempfile().expect("temporary file");
        let mut to = tempfile::tempfile().expect("temporary file");
        from.set_len(4096).expect("size");
        assert!(copy(&mut from, &mut to).is_err());
    }
}
