//! Reads a backup, whoever wrote it: part by part, each with its sum.
//! Invariants: nothing is taken for good before the manifest is read and every part is what it says;
//! memory does not grow with what a backup claims; only plain parts with names of ours are read.
//! Puts nothing anywhere: whoever reads decides what becomes of a part.

use std::io::{self, Read};

use anyhow::{Context, bail, ensure};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::{
    document::{HEAD, Head, MANIFEST, Manifest, Part, SMALL_MAX_BYTES, check_name, known_format},
    pack::hex,
    sparse::{BLOCK, Piece, read_map},
};

/// Most parts of a backup: a disk a workspace, and some hundred files.
const PARTS_MAX: usize = 1_000_000;

/// Largest manifest: 300 bytes a part.
const MANIFEST_MAX_BYTES: u64 = 400 << 20;

/// Largest extended header.
const EXTENDED_MAX_BYTES: u64 = 4096;

/// What is known of a part before its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Size of the file, holes included.
    pub(super) bytes: u64,
    /// Where its data belongs; none where it has no holes.
    pub(super) pieces: Option<Vec<Piece>>,
}

/// Reads all parts and returns the manifest, once everything is as it says. Each part is given to
/// `each`, which need not read its data.
///
/// # Errors
/// Names the part that is wrong.
pub(super) fn read(
    input: impl Read,
    each: &mut dyn FnMut(&Entry, &mut dyn Read) -> anyhow::Result<()>,
) -> anyhow::Result<Manifest> {
    let decoder = zstd::Decoder::new(input).context("start to decompress")?;
    let mut unpack = Unpack { input: decoder, part: "its beginning".to_owned(), parts: Vec::new() };
    match unpack.all(each) {
        Ok(manifest) => Ok(manifest),
        Err(error) => Err(explain(error, &unpack)),
    }
}

/// Says of an error of the decompressor what it means.
fn explain<R: io::BufRead>(error: anyhow::Error, unpack: &Unpack<'_, R>) -> anyhow::Error {
    let error = match error.downcast::<Taken>() {
        Ok(Taken(error)) => return error,
        Err(error) => error,
    };
    let kind = error.downcast_ref::<Stream>().map(|stream| stream.0.kind());
    let part = &unpack.part;
    match kind {
        Some(io::ErrorKind::UnexpectedEof) => {
            anyhow::anyhow!(
                "the backup is cut off, in {part}: it has no good end\nhint: take another"
            )
        }
        Some(_) if unpack.parts.is_empty() => error.context(
            "this is not a backup, or it is damaged\n\
             hint: backups are made by `rigbox backup`, and some are encrypted by other programs",
        ),
        Some(_) => error.context(format!("the backup is damaged, in {part}")),
        None => error.context(format!("the backup is not good, in {part}")),
    }
}

/// An error of reading the backup itself, as opposed to one of whoever takes its parts.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Stream(#[source] io::Error);

/// An error of whoever takes a part: the backup is good.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Taken(anyhow::Error);

struct Unpack<'d, R: io::BufRead> {
    input: zstd::Decoder<'d, R>,
    /// Where the reading is, for errors.
    part: String,
    parts: Vec<Part>,
}

impl<R: io::BufRead> Unpack<'_, R> {
    fn all(
        &mut self,
        each: &mut dyn FnMut(&Entry, &mut dyn Read) -> anyhow::Result<()>,
    ) -> anyhow::Result<Manifest> {
        let mut manifest = None;
        while let Some((header, extended)) = self.header()? {
            ensure!(manifest.is_none(), "there is something behind its manifest");
            let name = match &extended {
                Some(extended) => extended.name.clone(),
                None => String::from_utf8_lossy(&header.path_bytes()).into_owned(),
            };
            check_name(&name)?;
            self.part.clone_from(&name);
            let stored = header.size().context("its size")?;
            if name == MANIFEST {
                let mut bytes = Vec::new();
                ensure!(stored <= MANIFEST_MAX_BYTES, "it is too large");
                self.body(stored, |body| Ok(body.read_to_end(&mut bytes).map(drop)?))?;
                manifest = Some(bytes);
            } else {
                self.one(name, stored, extended.map(|extended| extended.bytes), each)?;
            }
        }
        let ended = self.rest();
        let Some(manifest) = manifest else {
            bail!("it has no manifest: whoever made it did not come to its end");
        };
        self.part = MANIFEST.to_owned();
        // Where only the checksum of all is wrong, the manifest knows which part it is.
        match (Manifest::read(&manifest), ended) {
            (Ok(manifest), Ok(())) => self.compare(&manifest).map(|()| manifest),
            (Ok(manifest), Err(error)) => Err(self.compare(&manifest).err().unwrap_or(error)),
            (Err(error), Ok(())) | (Err(_), Err(error)) => Err(error),
        }
    }

    fn one(
        &mut self,
        name: String,
        stored: u64,
        real: Option<u64>,
        each: &mut dyn FnMut(&Entry, &mut dyn Read) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        ensure!(self.parts.len() < PARTS_MAX, "it has too many parts");
        ensure!(!self.parts.is_empty() || name == HEAD, "it does not begin as a backup does");
        let bytes = real.unwrap_or(stored);
        let is_head = name == HEAD;
        let (entry, sum) = self.body(stored, |body| {
            let pieces = match real {
                Some(real) => Some(read_map(body, (real, stored))?),
                None => None,
            };
            let entry = Entry { name, bytes, pieces };
            if is_head {
                let mut text = Vec::new();
                (&mut *body).take(SMALL_MAX_BYTES).read_to_end(&mut text)?;
                let head: Head = serde_json::from_slice(&text).context("it is no head")?;
                known_format(head.format, &head.rigbox)?;
            } else {
                each(&entry, body).map_err(Taken)?;
            }
            Ok(entry)
        })?;
        self.parts.push(Part { name: entry.name, bytes, stored_bytes: stored, sha256: sum });
        Ok(())
    }

    /// The next header, with what an extended one before it says; none at the end of the tar.
    fn header(&mut self) -> anyhow::Result<Option<(Header, Option<Extended>)>> {
        let Some(header) = self.block()? else { return Ok(None) };
        match header.entry_type() {
            EntryType::Regular => Ok(Some((header, None))),
            EntryType::XHeader => {
                let bytes = header.size().context("the size of a header")?;
                ensure!(bytes <= EXTENDED_MAX_BYTES, "a header is too large");
                let mut text = Vec::new();
                self.body(bytes, |body| Ok(body.read_to_end(&mut text).map(drop)?))?;
                let extended = Extended::read(&text)?;
                let header = self.block()?.context("a header belongs to nothing")?;
                ensure!(header.entry_type() == EntryType::Regular, "a header belongs to no file");
                Ok(Some((header, Some(extended))))
            }
            _ => bail!("it has something that is no file: this is not a backup that rigbox made"),
        }
    }

    /// A header; none where the tar ends.
    fn block(&mut self) -> anyhow::Result<Option<Header>> {
        let mut block = [0; 512];
        self.input.read_exact(&mut block).map_err(Stream)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        let mut own = header.clone();
        own.set_cksum();
        ensure!(own.cksum().ok() == header.cksum().ok(), "a header is damaged");
        ensure!(header.as_ustar().is_some(), "a header is of another format");
        Ok(Some(header.clone()))
    }

    /// Reads a part to its end, also what `read` leaves of it. Gives the sum of all of it.
    fn body<T>(
        &mut self,
        bytes: u64,
        read: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, String)> {
        let mut body =
            Summed { input: &mut self.input, left: bytes, sum: Sha256::new(), failed: None };
        let done = read(&mut body);
        let drained = io::copy(&mut body, &mut io::sink());
        let (failed, sum) = (body.failed.take(), hex(&body.sum.finalize()));
        // What is wrong with the backup explains what happened to whoever read it.
        if let Some(error) = failed {
            return Err(Stream(error).into());
        }
        let done = done?;
        drained.map_err(Stream)?;
        let rest = usize::try_from(bytes.next_multiple_of(BLOCK) - bytes)?;
        let mut padding = vec![0; rest];
        self.input.read_exact(&mut padding).map_err(Stream)?;
        Ok((done, sum))
    }

    /// The end must be one, and its checksum right: only then the decompressor says that it is.
    fn rest(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 4096];
        loop {
            let read = self.input.read(&mut chunk).map_err(Stream)?;
            if read == 0 {
                return Ok(());
            }
            let is_empty = chunk.get(..read).is_some_and(|part| part.iter().all(|byte| *byte == 0));
            ensure!(is_empty, "there is something behind its end");
        }
    }

    fn compare(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        for (found, said) in self.parts.iter().zip(&manifest.parts) {
            if found != said {
                self.part.clone_from(&said.name);
                bail!("it is not what the manifest says: it is damaged");
            }
        }
        ensure!(
            self.parts.len() == manifest.parts.len(),
            "it has {} parts of {}",
            self.parts.len(),
            manifest.parts.len()
        );
        Ok(())
    }
}

/// What an extended header of ours says.
struct Extended {
    name: String,
    bytes: u64,
}

impl Extended {
    fn read(text: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(text).context("a header is no text")?;
        let value = |wanted: &str| {
            let records = text.lines().filter_map(|line| line.split_once(' ')?.1.split_once('='));
            let mut values = records.filter(|(key, _)| *key == wanted).map(|(_, value)| value);
            values.next().filter(|_| values.next().is_none())
        };
        let known =
            value("GNU.sparse.major") == Some("1") && value("GNU.sparse.minor") == Some("0");
        ensure!(known && text.lines().count() == 4, "a header says what no backup says");
        let name = value("GNU.sparse.name").context("a header without a name")?.to_owned();
        let bytes = value("GNU.sparse.realsize").and_then(|bytes| bytes.parse().ok());
        Ok(Self { name, bytes: bytes.context("a header without a size")? })
    }
}

/// The rest of a part. Remembers why it could not be read.
struct Summed<'i, R> {
    input: &'i mut R,
    left: u64,
    sum: Sha256,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        if part.is_empty() {
            return Ok(0);
        }
        let read = self.input.read(part).and_then(|read| match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        });
        match read {
            Ok(read) => {
                self.sum.update(part.get(..read).unwrap_or_default());
                self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(0));
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed.get_or_insert(error);
                Err(kind.into())
            }
        }
    }
}
