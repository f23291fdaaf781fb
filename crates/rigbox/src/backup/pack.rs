//! Writes a backup: a tar of its parts, compressed. `zstd -dc FILE | tar -x` takes it apart as well.
//! Invariant: memory does not grow with the size of a part; the manifest is written last.

use std::{
    fs::File,
    io::{self, Read as _, Write},
};

use anyhow::{Context, ensure};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::{
    document::{MANIFEST, Manifest, Part},
    sparse::{self, BLOCK},
};

/// Level of compression: three times as fast as a disk reads, and a tenth larger than the best.
const LEVEL: i32 = 3;

/// A backup that is being written.
pub(super) struct Pack<W: Write> {
    out: zstd::Encoder<'static, W>,
    parts: Vec<Part>,
}

impl<W: Write> Pack<W> {
    /// Begins one.
    ///
    /// # Errors
    /// Where the compressor cannot be had.
    pub(super) fn new(out: W) -> anyhow::Result<Self> {
        let mut out = zstd::Encoder::new(out, LEVEL).context("start the compressor")?;
        out.include_checksum(true).context("start the compressor")?;
        Ok(Self { out, parts: Vec::new() })
    }

    /// Adds a part that is in memory.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let length = u64::try_from(bytes.len())?;
        self.part(name, (length, length), |out| Ok(out.write_all(bytes)?))
    }

    /// Adds a file, up to the length that it has now.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub(super) fn file(&mut self, name: &str, mut file: File) -> anyhow::Result<()> {
        let length = file.metadata().with_context(|| format!("read {name}"))?.len();
        self.part(name, (length, length), |out| {
            let copied = io::copy(&mut (&mut file).take(length), out)?;
            ensure!(copied == length, "{name} became shorter while it was read");
            Ok(())
        })
    }

    /// Adds a file without its holes. Nobody may change it meanwhile.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub(super) fn sparse(&mut self, name: &str, file: &File) -> anyhow::Result<()> {
        let length = file.metadata().with_context(|| format!("read {name}"))?.len();
        let pieces = sparse::pieces(file, length).with_context(|| format!("read {name}"))?;
        let map = sparse::map(&pieces);
        let data: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        let stored = data + u64::try_from(map.len())?;
        let records = [
            ("GNU.sparse.major", "1".to_owned()),
            ("GNU.sparse.minor", "0".to_owned()),
            ("GNU.sparse.name", name.to_owned()),
            ("GNU.sparse.realsize", length.to_string()),
        ];
        let extended: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.header("pax", EntryType::XHeader, u64::try_from(extended.len())?)?;
        self.out.write_all(extended.as_bytes())?;
        self.pad(u64::try_from(extended.len())?)?;
        self.part(name, (length, stored), |out| {
            out.write_all(&map)?;
            for piece in &pieces {
                sparse::copy_piece(file, *piece, out)?;
            }
            Ok(())
        })
    }

    /// Ends it with its manifest, and gives back what it was written to.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn finish(mut self, manifest: &mut Manifest) -> anyhow::Result<W> {
        manifest.parts = std::mem::take(&mut self.parts);
        let text = serde_json::to_vec_pretty(manifest).context("the manifest as JSON")?;
        self.bytes(MANIFEST, &text)?;
        // Two empty blocks end a tar.
        self.out.write_all(&[0; 1024])?;
        self.out.finish().context("write the end of the backup")
    }

    fn part(
        &mut self,
        name: &str,
        (bytes, stored_bytes): (u64, u64),
        write: impl FnOnce(&mut Summed<'_, zstd::Encoder<'static, W>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.header(name, EntryType::Regular, stored_bytes)?;
        let mut summed = Summed { out: &mut self.out, sum: Sha256::new() };
        write(&mut summed).with_context(|| format!("write {name} to the backup"))?;
        let sha256 = hex(&summed.sum.finalize());
        self.pad(stored_bytes)?;
        self.parts.push(Part { name: name.to_owned(), bytes, stored_bytes, sha256 });
        Ok(())
    }

    fn header(&mut self, name: &str, kind: EntryType, bytes: u64) -> anyhow::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name).with_context(|| format!("the name {name} in a backup"))?;
        header.set_entry_type(kind);
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.out.write_all(header.as_bytes()).context("write the backup")
    }

    fn pad(&mut self, bytes: u64) -> anyhow::Result<()> {
        let rest = usize::try_from(bytes.next_multiple_of(BLOCK) - bytes)?;
        let zeros = [0; 512];
        self.out.write_all(zeros.get(..rest).unwrap_or_default()).context("write the backup")
    }
}

/// A record of an extended header: its own length, key and value.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

/// Sums up what passes.
struct Summed<'o, W> {
    out: &'o mut W,
    sum: Sha256,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Bytes as the manifest writes them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("a", "b"), "6 a=b\n");
        let long = record("key", &"v".repeat(92));
        assert_eq!(long.len().to_string(), long.split(' ').next().unwrap());
        let at_the_edge = record("key", &"v".repeat(91));
        assert_eq!(at_the_edge.len().to_string(), at_the_edge.split(' ').next().unwrap());
    }
}
