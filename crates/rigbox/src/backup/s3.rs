//! A backup in an object store that speaks S3's protocol: written in parts, read in one stream.
//! Invariants: memory is bounded by one part; an object appears whole or not at all, and parts of one
//! that does not come to its end are removed; credentials come from the environment and are shown
//! nowhere.
//! A process that is killed leaves its parts: the store removes them where it is told to (a rule for
//! incomplete uploads).

mod wire;

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use anyhow::{Context, bail};
use bytes::{Buf as _, Bytes};
use http::StatusCode;
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CompleteMultipartUploadResponse,
    CreateMultipartUpload, GetObject, HeadObject, S3Action as _, UploadPart,
};
use tokio::runtime::Runtime;

use super::place::Sink;
use wire::{Call, LINK_LIFE, Stream, Wire};

/// The first parts. A part grows where there are many, because there may be no more than ten thousand:
/// 970 GiB in all.
const PART_BYTES: usize = 16 * 1024 * 1024;
const PARTS_MAX: usize = 10_000;
const PARTS_OF_ONE_SIZE: usize = 2_000;

/// How often a stream that breaks is taken up again in a row.
const RESUMES_MAX: u32 = 4;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    bucket: String,
    key: String,
}

impl Address {
    /// The same, with a name where it only has a prefix.
    pub(super) fn named(&self, name: &str) -> Self {
        let is_prefix = self.key.is_empty() || self.key.ends_with('/');
        let key = if is_prefix { format!("{}{name}", self.key) } else { self.key.clone() };
        Self { bucket: self.bucket.clone(), key }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be s3://BUCKET/KEY, or s3://BUCKET/PREFIX/ to have a name made";
        let rest = text.strip_prefix("s3://").ok_or(RULE)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(plain) || key.starts_with('/') {
            return Err(RULE.to_owned());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// An object that is being written.
pub(super) struct Upload {
    address: Address,
    runtime: Runtime,
    wire: Wire,
    upload_id: String,
    /// What the store calls each part that it has.
    tags: Vec<String>,
    part: Vec<u8>,
    is_complete: bool,
}

impl Upload {
    /// Begins one.
    ///
    /// # Errors
    /// Where there is such an object already, or the store refuses.
    pub(super) fn begin(address: &Address, force: bool) -> anyhow::Result<Self> {
        let (runtime, mut wire) = open(address)?;
        let upload_id = runtime.block_on(async {
            let head = HeadObject::new(&wire.bucket, Some(&wire.credentials), &address.key);
            let url = head.sign(LINK_LIFE);
            let there = wire.status(Call::new(http::Method::HEAD, url)).await?;
            match there {
                StatusCode::NOT_FOUND => {}
                status if status.is_success() && force => {}
                status if status.is_success() => {
                    bail!("{address} is there already\nhint: choose another name, or --force")
                }
                status => bail!("the store refuses to look for {address}: {status}"),
            }
            let create =
                CreateMultipartUpload::new(&wire.bucket, Some(&wire.credentials), &address.key);
            let call = Call::new(http::Method::POST, create.sign(LINK_LIFE));
            let answer = wire.document(call).await?;
            let created = CreateMultipartUpload::parse_response(&answer);
            let created = created.map_err(|_| anyhow::anyhow!("the store's answer is not S3's"))?;
            Ok(created.upload_id().to_owned())
        });
        let upload_id = upload_id.with_context(|| format!("begin {address}"))?;
        let part = Vec::with_capacity(PART_BYTES);
        let (address, tags) = (address.clone(), Vec::new());
        Ok(Self { address, runtime, wire, upload_id, tags, part, is_complete: false })
    }

    /// Sends what was gathered as the next part.
    fn send(&mut self) -> anyhow::Result<()> {
        if self.tags.len() == PARTS_MAX {
            bail!("the backup is too large for one object");
        }
        let number = u16::try_from(self.tags.len() + 1)?;
        let body = Bytes::from(std::mem::take(&mut self.part));
        let (wire, key, id) = (&mut self.wire, &self.address.key, &self.upload_id);
        let tag = self.runtime.block_on(async {
            let part = UploadPart::new(&wire.bucket, Some(&wire.credentials), key, number, id);
            let call = Call::new(http::Method::PUT, part.sign(LINK_LIFE)).with_body(body);
            wire.tag(call).await
        });
        self.tags.push(tag.with_context(|| format!("write {}", self.address))?);
        Ok(())
    }

    fn complete(&mut self) -> anyhow::Result<()> {
        if !self.part.is_empty() || self.tags.is_empty() {
            self.send()?;
        }
        let (wire, key, id) = (&mut self.wire, &self.address.key, &self.upload_id);
        let tags = self.tags.iter().map(String::as_str);
        let answer = self.runtime.block_on(async {
            let (bucket, credentials) = (wire.bucket.clone(), wire.credentials.clone());
            let complete = CompleteMultipartUpload::new(&bucket, Some(&credentials), key, id, tags);
            let url = complete.sign(LINK_LIFE);
            let body = Bytes::from(complete.body());
            wire.document(Call::new(http::Method::POST, url).with_body(body)).await
        })?;
        // A store may say that it failed after it has said that all is well.
        match CompleteMultipartUploadResponse::parse(&answer) {
            Ok(_) => Ok(()),
            Err(_) => bail!("the store did not put the parts together: {}", wire::reason(&answer)),
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = part_bytes(self.tags.len());
        let room = most.saturating_sub(self.part.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.part.extend_from_slice(taken);
        if self.part.len() >= most {
            self.send().map_err(|error| io::Error::other(format!("{error:#}")))?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Upload {
    fn finish(mut self: Box<Self>) -> anyhow::Result<String> {
        self.complete().with_context(|| format!("end {}", self.address))?;
        self.is_complete = true;
        Ok(self.address.to_string())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        let (wire, key, id) = (&mut self.wire, &self.address.key, &self.upload_id);
        let aborted = self.runtime.block_on(async {
            let abort = AbortMultipartUpload::new(&wire.bucket, Some(&wire.credentials), key, id);
            let call = Call::new(http::Method::DELETE, abort.sign(LINK_LIFE));
            wire.forget_interrupt();
            wire.status(call).await
        });
        if !aborted.is_ok_and(|status| status.is_success()) {
            crate::output::note(&format!(
                "note: parts of {} stay in the store, as upload {}",
                self.address, self.upload_id
            ));
        }
    }
}

/// The size of the next part.
fn part_bytes(parts: usize) -> usize {
    PART_BYTES << (parts / PARTS_OF_ONE_SIZE)
}

/// An object that is being read. A stream that breaks is taken up where it broke.
pub(super) struct Download {
    address: Address,
    runtime: Runtime,
    wire: Wire,
    stream: Option<Stream>,
    rest: Bytes,
    at: u64,
    /// What the store calls these very bytes.
    tag: Option<String>,
    resumes: u32,
}

impl Download {
    /// Begins.
    ///
    /// # Errors
    /// Where it is not there or the store refuses.
    pub(super) fn begin(address: &Address) -> anyhow::Result<Self> {
        let (runtime, wire) = open(address)?;
        let (address, rest) = (address.clone(), Bytes::new());
        let mut download =
            Self { address, runtime, wire, stream: None, rest, at: 0, tag: None, resumes: 0 };
        download.request().with_context(|| format!("read {}", download.address))?;
        Ok(download)
    }

    fn request(&mut self) -> anyhow::Result<()> {
        let get =
            GetObject::new(&self.wire.bucket, Some(&self.wire.credentials), &self.address.key);
        let mut call = Call::new(http::Method::GET, get.sign(LINK_LIFE));
        if let Some(tag) = &self.tag {
            call = call.with_header("range", &format!("bytes={}-", self.at));
            call = call.with_header("if-match", tag);
        }
        let wire = &mut self.wire;
        let (stream, tag) = self.runtime.block_on(async { wire.stream(call).await })?;
        self.tag = self.tag.take().or(tag);
        self.stream = Some(stream);
        Ok(())
    }

    /// The next bytes; none at the end.
    fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let wire = &mut self.wire;
            let Some(stream) = self.stream.as_mut() else { bail!("there is no stream") };
            match self.runtime.block_on(async { wire.next(stream).await }) {
                Ok(bytes) => {
                    self.resumes = 0;
                    return Ok(bytes);
                }
                Err(_) if self.tag.is_some() && self.resumes < RESUMES_MAX => {
                    self.resumes += 1;
                    self.request()?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let next = self
                .next()
                .map_err(|error| io::Error::other(format!("read {}: {error:#}", self.address)))?;
            self.rest = next.unwrap_or_default();
        }
        let most = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(buffer.get_mut(..most).unwrap_or_default());
        self.at += u64::try_from(most).unwrap_or(0);
        Ok(most)
    }
}

fn open(address: &Address) -> anyhow::Result<(Runtime, Wire)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wire = runtime.block_on(async { Wire::from_environment(&address.bucket) })?;
    Ok((runtime, wire))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bucket_and_a_key() {
        let address: Address = "s3://my-bucket/backups/".parse().unwrap();
        assert_eq!(address.named("one").to_string(), "s3://my-bucket/backups/one");
        let address: Address = "s3://my-bucket".parse().unwrap();
        assert_eq!(address.named("one").to_string(), "s3://my-bucket/one");
        let address: Address = "s3://my-bucket/a/b".parse().unwrap();
        assert_eq!(address.named("one"), address);
        for wrong in ["s3://", "s3:///k", "s3://b//k", "s3://a b/k", "s3://a@b/k"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ten_thousand_parts_are_enough() {
        let all: usize = (0..PARTS_MAX).map(part_bytes).sum();
        assert!(all > 900 << 30, "{all}");
        assert_eq!(part_bytes(0), 16 << 20);
        assert!(part_bytes(PARTS_MAX - 1) <= 256 << 20, "memory is bounded");
    }
}
