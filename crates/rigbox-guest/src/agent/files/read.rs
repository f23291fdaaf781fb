//! `GET /files`: the bytes of a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use rigbox_types::{api::error::ErrorCode, guest::FILE_MODE_HEADER, limits::FILE_MAX_BYTES};

use super::{Target, octal};
use crate::agent::{exchange::Answer, refusal::Refusal};

/// Read at once.
const CHUNK_BYTES: usize = 256 * 1024;

pub(super) async fn answer(target: Target) -> Result<Answer, Refusal> {
    let (file, length, mode) = target
        .act(|target| {
            // Without waiting: opening a pipe would wait for whoever writes to it.
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(&target.path)?;
            let metadata = file.metadata()?;
            match (metadata.is_file(), metadata.is_dir()) {
                (true, _) => Ok((file, metadata.len(), metadata.permissions().mode())),
                (false, true) => Err(io::ErrorKind::IsADirectory.into()),
                (false, false) => Err(io::Error::other("is neither a file nor a directory")),
            }
        })
        .await?;
    if length > FILE_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!("{} has more than {FILE_MAX_BYTES} bytes", target.shown),
        ));
    }
    // Files of /proc have no length and yet have content.
    let left = if length == 0 { FILE_MAX_BYTES } else { length };
    let mut answer = Response::new(StreamBody::new(chunks(file, left, length > 0)).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(mode) = HeaderValue::from_str(&octal(mode)) {
        headers.insert(FILE_MODE_HEADER, mode);
    }
    if length > 0 {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(answer)
}

/// The file in chunks, up to its length at the beginning. A file that shrinks meanwhile breaks the
/// answer: half a file must not look like a whole one.
fn chunks(
    file: File,
    left: u64,
    has_length: bool,
) -> impl stream::Stream<Item = io::Result<Frame<Bytes>>> + Send {
    stream::try_unfold((file, left), move |(file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let reading = tokio::task::spawn_blocking(move || read(file, left));
        let (file, bytes) = reading.await.map_err(io::Error::other)??;
        if bytes.is_empty() {
            return if has_length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        }
        let left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(Some((Frame::data(Bytes::from(bytes)), (file, left))))
    })
}

fn read(mut file: File, left: u64) -> io::Result<(File, Vec<u8>)> {
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let mut bytes = vec![0; most];
    let count = file.read(&mut bytes)?;
    bytes.truncate(count);
    Ok((file, bytes))
}
