//! Answers that come bit by bit: lines of JSON and server-sent events.
//! Invariant: a line is bounded, and silence beyond the heartbeats counts as a broken connection
//! where the server promises heartbeats.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Client, ClientError};

/// Longest line: a log message is at most 16 KiB, output of a command 64 KiB before JSON escapes it.
const LINE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Three of the server's heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The lines of an answer.
pub(crate) struct Lines<'a> {
    client: &'a Client,
    body: Incoming,
    splitter: Splitter,
    silence_max: Option<Duration>,
}

impl<'a> Lines<'a> {
    /// Lines of an answer that may be silent as long as it likes.
    pub(crate) fn new(client: &'a Client, response: Response<Incoming>) -> Self {
        let splitter = Splitter::default();
        Self { client, body: response.into_body(), splitter, silence_max: None }
    }

    /// The next line without its end; none at the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(line) = self.splitter.line() {
                return Ok(Some(line));
            }
            if self.splitter.is_over() {
                return Err(self.client.unexpected("a line without an end".to_owned()));
            }
            match self.chunk().await? {
                Some(bytes) => self.splitter.push(&bytes),
                None => return Ok(self.splitter.rest()),
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = match self.silence_max {
                None => self.body.frame().await,
                Some(limit) => timeout(limit, self.body.frame()).await.map_err(|_| {
                    let server = self.client.server().clone();
                    ClientError::Slow { server, seconds: limit.as_secs() }
                })?,
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.client.broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Splitter {
    buffer: Vec<u8>,
    /// Bytes before this one have no line end.
    searched: usize,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn line(&mut self) -> Option<String> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched.saturating_add(found);
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        self.searched = 0;
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }

    fn is_over(&self) -> bool {
        self.buffer.len() > LINE_MAX_BYTES
    }
}

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its kind; `message` where none is named.
    pub(crate) kind: String,
    /// Its data.
    pub(crate) data: String,
    /// Its id, if it has one.
    pub(crate) id: Option<String>,
}

/// The events of an answer.
pub(crate) struct Events<'a> {
    lines: Lines<'a>,
    parser: EventParser,
}

impl<'a> Events<'a> {
    /// Events of an answer with heartbeats.
    pub(crate) fn new(client: &'a Client, response: Response<Incoming>) -> Self {
        let mut lines = Lines::new(client, response);
        lines.silence_max = Some(SILENCE_MAX);
        Self { lines, parser: EventParser::default() }
    }

    /// The next event; none at the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while let Some(line) = self.lines.next().await? {
            if let Some(event) = self.parser.line(&line) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

/// Puts events together out of lines, as the HTML standard says.
#[derive(Debug, Default)]
struct EventParser {
    event: Event,
    has_data: bool,
}

impl EventParser {
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            if event.kind.is_empty() {
                "message".clone_into(&mut event.kind);
            }
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            // A comment, which has no name, or a field that we have no use for.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            out.extend(std::iter::from_fn(|| splitter.line()));
        }
        out.extend(splitter.rest());
        out
    }

    #[test]
    fn lines_are_found_however_the_bytes_are_cut() {
        assert_eq!(lines(&[b"a\r\nb", b"c\n", b"\nd"]), ["a", "bc", "", "d"]);
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in "[ab\n]{0,60}", cut in 1_usize..9) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(lines(&pieces), lines(&[text.as_bytes()]));
        }
    }

    #[test]
    fn an_event_ends_with_an_empty_line() {
        let mut parser = EventParser::default();
        let text =
            ": heartbeat\n\nevent: status\nid: 7\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\nid: 9\n\n";
        let events: Vec<Event> = text.split('\n').filter_map(|line| parser.line(line)).collect();
        let expected = [("status", "{\"a\":\n1}", Some("7")), ("message", "x", None)];
        assert_eq!(events.len(), expected.len());
        for (event, (kind, data, id)) in events.iter().zip(expected) {
            assert_eq!((event.kind.as_str(), event.data.as_str()), (kind, data));
            assert_eq!(event.id.as_deref(), id);
        }
    }
}
