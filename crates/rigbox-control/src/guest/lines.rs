//! Lines of a guest's endless answer. A guest may be silent for as long as nothing happens.
//! Invariant: a line that does not end within [`LINE_MAX_BYTES`] ends the stream.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

/// Longest line: a message of 16 KiB in JSON's worst escapes, and what is around it.
const LINE_MAX_BYTES: usize = 128 * 1024;

/// The reader.
pub(crate) struct Lines {
    body: Incoming,
    buffer: BytesMut,
    scanned: usize,
}

impl Lines {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), scanned: 0 }
    }

    /// The next document; none where the stream ended or broke, which a reader cannot tell apart
    /// and treats alike: it comes again with its cursor. Empty lines and others that are no such
    /// document are passed over.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            while let Some(line) = self.take_line() {
                if let Ok(document) = serde_json::from_slice(&line) {
                    return Some(document);
                }
            }
            if self.buffer.len() > LINE_MAX_BYTES {
                tracing::info!("a guest's line is too long");
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned.saturating_add(at)).freeze();
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }
}
