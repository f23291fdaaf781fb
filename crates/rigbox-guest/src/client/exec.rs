//! A command in the guest that is talked to: frames over an upgraded stream.

use std::{io, time::Duration};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rigbox_types::guest::frame::{Frame, FrameDecoder, FrameError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// Read at once.
const READ_BYTES: usize = 32 * 1024;

/// Longest that the guest may refuse to take a frame.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a stream of frames broke.
#[derive(Debug, thiserror::Error)]
pub enum ExecStreamError {
    /// The guest sent something else.
    #[error("the guest broke the protocol")]
    Frame(#[from] FrameError),
    /// The stream was cut.
    #[error("the stream to the guest was cut")]
    Io(#[from] io::Error),
    /// The guest does not read.
    #[error("the guest does not take input")]
    Stuck,
}

/// Both directions of an exec stream. Dropping it detaches.
#[derive(Debug)]
pub struct ExecStream {
    reader: ReadHalf<TokioIo<Upgraded>>,
    writer: WriteHalf<TokioIo<Upgraded>>,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

impl ExecStream {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        Self { reader, writer, decoder: FrameDecoder::default(), buffer: vec![0; READ_BYTES] }
    }

    /// Sends a frame. Standard input must stay within the credit that the guest gives.
    ///
    /// # Errors
    /// When the stream is cut or not read.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ExecStreamError> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.writer.write_all(&bytes)).await;
        sent.map_err(|_| ExecStreamError::Stuck)?.map_err(ExecStreamError::Io)
    }

    /// The next frame, or none at the end of the stream. Waits as long as the command is silent.
    ///
    /// # Errors
    /// When the stream is cut or carries something else.
    pub async fn next(&mut self) -> Result<Option<Frame>, ExecStreamError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            let count = self.reader.read(&mut self.buffer).await?;
            if count == 0 {
                return if self.decoder.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                };
            }
            self.decoder.push(self.buffer.get(..count).unwrap_or_default());
        }
    }
}
