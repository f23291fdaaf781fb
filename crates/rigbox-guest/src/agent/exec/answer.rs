//! A command's output as an answer: one document at its end, or lines as they come.

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use rigbox_types::{
    guest::{ExecEvent, ExecExit, ExecResult},
    limits::EXEC_OUTPUT_MAX_BYTES,
};
use tokio::time::Instant;

use super::{
    Attached,
    replay::{Item, Source},
};
use crate::agent::exchange::{self, Answer};

/// Waits for the end and answers with everything.
pub(crate) async fn document(attached: Attached) -> ExecResult {
    let began = Instant::now();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut truncated = false;
    let exit = loop {
        match attached.next().await {
            Item::Output(source, bytes) => {
                let kept = match source {
                    Source::Stdout => &mut stdout,
                    Source::Stderr => &mut stderr,
                };
                let room = EXEC_OUTPUT_MAX_BYTES.saturating_sub(kept.len()).min(bytes.len());
                truncated |= room < bytes.len();
                kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            Item::Lost(_) => truncated = true,
            Item::InputTaken => {}
            Item::Exit(exit) => break exit,
            Item::Replaced => break ExecExit::default(),
        }
    };
    attached.forget();
    ExecResult {
        exit,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        truncated,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Answers with one [`ExecEvent`] a line.
pub(crate) fn lines(attached: Attached) -> Answer {
    let started = ExecEvent::Started(attached.session.started());
    let state =
        Lines { attached, first: Some(started), texts: <[Text; 2]>::default(), over: false };
    let lines = futures_util::stream::unfold(state, async |mut state| {
        let event = state.next().await?;
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        Some((Ok(Frame::data(Bytes::from(line))), state))
    });
    exchange::ndjson(StreamBody::new(lines).boxed_unsync())
}

struct Lines {
    attached: Attached,
    first: Option<ExecEvent>,
    texts: [Text; 2],
    over: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<ExecEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while !self.over {
            let [stdout, stderr] = &mut self.texts;
            let event = match self.attached.next().await {
                Item::Output(Source::Stdout, bytes) => {
                    ExecEvent::Stdout { data: stdout.take(&bytes) }
                }
                Item::Output(Source::Stderr, bytes) => {
                    ExecEvent::Stderr { data: stderr.take(&bytes) }
                }
                Item::Lost(_) | Item::InputTaken => continue,
                Item::Exit(exit) => {
                    self.over = true;
                    self.attached.forget();
                    ExecEvent::Exit(exit)
                }
                Item::Replaced => {
                    self.over = true;
                    ExecEvent::Error { message: "another client has attached".to_owned() }
                }
            };
            return Some(event);
        }
        None
    }
}

/// Turns bytes into text without cutting a character in two.
#[derive(Default)]
struct Text {
    begun: Vec<u8>,
}

impl Text {
    fn take(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let whole = self.begun.len().saturating_sub(cut_character(&self.begun));
        let rest = self.begun.split_off(whole);
        let text = String::from_utf8_lossy(&self.begun).into_owned();
        self.begun = rest;
        text
    }
}

/// Length of the character at the end that is not whole.
fn cut_character(bytes: &[u8]) -> usize {
    for (length, byte) in (1..=3).zip(bytes.iter().rev()) {
        let needed = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => 0,
        };
        return if needed > length { length } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_comes_in_two_parts_stays_one() {
        let whole = "aä€😀z";
        for cut in 0..whole.len() {
            let mut text = Text::default();
            let (front, back) = whole.as_bytes().split_at(cut);
            assert_eq!(text.take(front) + &text.take(back), whole, "{cut}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(Text::default().take(b"a\xffb\x80"), "a\u{fffd}b\u{fffd}");
    }
}
