//! Streams of JSON documents, one a line, that last until one side ends them.
//! Invariant: a line has a greatest length, and a stream that says nothing for three heartbeats is
//! dead. Does not reconnect and does not know what a document means.

use std::{marker::PhantomData, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{Address, Body, FabricError};

/// Longest time between two lines; a heartbeat fills the silence.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// A stream without a line for this long is dead: three missed heartbeats.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest line: an assignment with the largest environment and scripts fits.
pub const LINE_MAX_BYTES: usize = 32 * 1024 * 1024;

/// The reading side.
pub struct Watch<T> {
    address: Address,
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of line.
    scanned: usize,
    document: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Watch<T> {
    pub(crate) fn new(address: Address, body: Incoming) -> Self {
        Self { address, body, buffer: BytesMut::new(), scanned: 0, document: PhantomData }
    }

    /// The next document; none when the other side has ended the stream. May be dropped while it
    /// waits, without losing a byte.
    ///
    /// # Errors
    /// Where the stream broke, went silent, or carries something else. It is of no use then.
    pub async fn next(&mut self) -> Result<Option<T>, FabricError> {
        loop {
            if let Some(line) = self.take_line()? {
                return match serde_json::from_slice(&line) {
                    Ok(document) => Ok(Some(document)),
                    Err(error) => Err(self.malformed(error.to_string())),
                };
            }
            let Ok(frame) = timeout(IDLE_TIMEOUT, self.body.frame()).await else {
                return Err(FabricError::TimedOut { address: self.address.clone() });
            };
            match frame {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(self.malformed("ended within a line".to_owned())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    let address = self.address.clone();
                    return Err(FabricError::Broken { address, source: error.into() });
                }
            }
        }
    }

    fn take_line(&mut self) -> Result<Option<Bytes>, FabricError> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.scanned + at).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            return Ok(Some(line));
        }
        self.scanned = self.buffer.len();
        if self.scanned > LINE_MAX_BYTES {
            return Err(self.malformed(format!("a line longer than {LINE_MAX_BYTES} bytes")));
        }
        Ok(None)
    }

    fn malformed(&self, what: String) -> FabricError {
        FabricError::Malformed { address: self.address.clone(), what }
    }
}

/// The writing side: an answer that carries `documents`, with `heartbeat` wherever there is none
/// for [`HEARTBEAT`]. Reads the next document only when the last one was taken.
pub fn response<T>(
    documents: impl Stream<Item = T> + Send + 'static,
    heartbeat: T,
) -> Response<Body>
where
    T: Serialize + Clone + Send + Sync + 'static,
{
    let lines =
        stream::unfold((Box::pin(documents), heartbeat), |(mut documents, heartbeat)| async {
            let next = timeout(HEARTBEAT, documents.next()).await;
            let line = match next {
                Ok(None) => return None,
                Ok(Some(document)) => line(&document),
                Err(_) => line(&heartbeat),
            };
            Some((line, (documents, heartbeat)))
        });
    let mut answer = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn line<T: Serialize>(document: &T) -> Result<Bytes, serde_json::Error> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
