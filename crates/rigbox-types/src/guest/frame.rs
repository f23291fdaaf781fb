//! Frames of an upgraded exec stream: one byte of kind, four of length (big endian), the payload.
//! Sans-IO: bytes in, frames out.
//!
//! ```text
//! client                                   guest
//!   <──────────────────────────────  Started, then the first Credit
//!   Stdin (within credit) ──────────────────>
//!   Resize, Signal, StdinEnd ───────────────>   never wait behind Stdin
//!   <─────────────────────  Stdout, Stderr, Lost
//!   <───────────────────────── Exit or Error, end
//! ```
//!
//! Invariant: a frame is at most [`FRAME_MAX_BYTES`]; a peer that breaks the form is cut off.
//! Does not know what a command is.

use serde::{Serialize, de::DeserializeOwned};

use super::{ExecExit, ExecStarted, TtySize};

/// Most payload of a frame.
pub const FRAME_MAX_BYTES: usize = 64 * 1024;
/// Bytes before the payload.
const HEADER_BYTES: usize = 5;
/// Most standard input that is under way without the command having taken it. A client begins with
/// no credit and gets this much right after `Started`.
pub const STDIN_WINDOW_BYTES: u32 = 256 * 1024;

/// One frame. Which side may send which is said at each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Client: bytes for standard input or the terminal, never more than the credit.
    Stdin(Vec<u8>),
    /// Client: standard input is over. On a terminal it is sent as end-of-file character.
    StdinEnd,
    /// Client: the terminal has another size.
    Resize(TtySize),
    /// Client: a signal for the command's process group.
    Signal(u8),
    /// Guest: the command runs.
    Started(ExecStarted),
    /// Guest: this many more bytes of `Stdin` may be sent.
    Credit(u32),
    /// Guest: bytes of standard output or of the terminal.
    Stdout(Vec<u8>),
    /// Guest: bytes of standard error.
    Stderr(Vec<u8>),
    /// Guest: this many bytes of output fell out of the replay buffer before anybody attached.
    Lost(u64),
    /// Guest, last: the command ended.
    Exit(ExecExit),
    /// Guest, last: why this stream ends without an exit.
    Error(String),
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length beyond the limit.
    #[error("frame of {0} bytes is over the limit")]
    TooLong(u32),
    /// A kind that nobody sends.
    #[error("frame of unknown kind {0}")]
    UnknownKind(u8),
    /// A payload that does not fit its kind.
    #[error("malformed frame of kind {0}")]
    Malformed(u8),
}

mod kind {
    pub(super) const STDIN: u8 = 1;
    pub(super) const STDIN_END: u8 = 2;
    pub(super) const RESIZE: u8 = 3;
    pub(super) const SIGNAL: u8 = 4;
    pub(super) const STARTED: u8 = 16;
    pub(super) const CREDIT: u8 = 17;
    pub(super) const STDOUT: u8 = 18;
    pub(super) const STDERR: u8 = 19;
    pub(super) const LOST: u8 = 20;
    pub(super) const EXIT: u8 = 21;
    pub(super) const ERROR: u8 = 22;
}

impl Frame {
    /// Appends the frame to `out`. Bytes beyond [`FRAME_MAX_BYTES`] become further frames of the
    /// same kind; a text is cut there.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Stdin(bytes) => encode_bytes(kind::STDIN, bytes, out),
            Self::StdinEnd => encode_one(kind::STDIN_END, &[], out),
            Self::Resize(size) => {
                let [cols_high, cols_low] = size.cols.to_be_bytes();
                let [rows_high, rows_low] = size.rows.to_be_bytes();
                encode_one(kind::RESIZE, &[cols_high, cols_low, rows_high, rows_low], out);
            }
            Self::Signal(number) => encode_one(kind::SIGNAL, &[*number], out),
            Self::Started(started) => encode_document(kind::STARTED, started, out),
            Self::Credit(bytes) => encode_one(kind::CREDIT, &bytes.to_be_bytes(), out),
            Self::Stdout(bytes) => encode_bytes(kind::STDOUT, bytes, out),
            Self::Stderr(bytes) => encode_bytes(kind::STDERR, bytes, out),
            Self::Lost(bytes) => encode_one(kind::LOST, &bytes.to_be_bytes(), out),
            Self::Exit(exit) => encode_document(kind::EXIT, exit, out),
            Self::Error(message) => {
                let bytes = message.as_bytes();
                let cut = bytes.get(..FRAME_MAX_BYTES).unwrap_or(bytes);
                encode_one(kind::ERROR, cut, out);
            }
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let malformed = FrameError::Malformed(kind);
        match (kind, payload) {
            (kind::STDIN, bytes) => Ok(Self::Stdin(bytes.to_vec())),
            (kind::STDIN_END, []) => Ok(Self::StdinEnd),
            (kind::RESIZE, &[cols_high, cols_low, rows_high, rows_low]) => {
                Ok(Self::Resize(TtySize {
                    cols: u16::from_be_bytes([cols_high, cols_low]),
                    rows: u16::from_be_bytes([rows_high, rows_low]),
                }))
            }
            (kind::SIGNAL, &[number]) => Ok(Self::Signal(number)),
            (kind::STARTED, bytes) => document(bytes).map(Self::Started).ok_or(malformed),
            (kind::CREDIT, bytes) => {
                let bytes = bytes.try_into().map_err(|_| malformed)?;
                Ok(Self::Credit(u32::from_be_bytes(bytes)))
            }
            (kind::STDOUT, bytes) => Ok(Self::Stdout(bytes.to_vec())),
            (kind::STDERR, bytes) => Ok(Self::Stderr(bytes.to_vec())),
            (kind::LOST, bytes) => {
                let bytes = bytes.try_into().map_err(|_| malformed)?;
                Ok(Self::Lost(u64::from_be_bytes(bytes)))
            }
            (kind::EXIT, bytes) => document(bytes).map(Self::Exit).ok_or(malformed),
            (kind::ERROR, bytes) => Ok(Self::Error(String::from_utf8_lossy(bytes).into_owned())),
            (kind::STDIN_END | kind::RESIZE | kind::SIGNAL, _) => Err(malformed),
            _ => Err(FrameError::UnknownKind(kind)),
        }
    }
}

fn encode_bytes(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(FRAME_MAX_BYTES) {
        encode_one(kind, chunk, out);
    }
}

/// Documents of ours are a few hundred bytes: ids and numbers.
fn encode_document<T: Serialize>(kind: u8, document: &T, out: &mut Vec<u8>) {
    let bytes = serde_json::to_vec(document).expect("plain structs of numbers and text serialise");
    encode_one(kind, &bytes, out);
}

fn encode_one(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("callers keep to FRAME_MAX_BYTES");
    out.reserve(HEADER_BYTES.saturating_add(payload.len()));
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}

fn document<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// Turns bytes into frames. Holds at most one frame that is not whole yet, plus what was pushed
/// and not taken.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    taken: usize,
}

impl FrameDecoder {
    /// Takes in bytes of the stream. Call [`FrameDecoder::next_frame`] until it has none before
    /// pushing more, so that the buffer stays small.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// When the bytes are no frame. The stream cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((&[kind, a, b, c, d], body)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes([a, b, c, d]);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > FRAME_MAX_BYTES {
            return Err(FrameError::TooLong(announced));
        }
        let Some(payload) = body.get(..length) else { return Ok(None) };
        let frame = Frame::decode(kind, payload)?;
        self.taken = self.taken.saturating_add(HEADER_BYTES).saturating_add(length);
        Ok(Some(frame))
    }

    /// Whether the stream may end here: no frame has begun and not ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.buffer.len()
    }
}

#[cfg(test)]
mod tests;
