//! Frames of a command as the API's events, which are text. Pure.
//! Invariant: a character that two frames share is not torn; bytes that are no UTF-8 are replaced.

use rigbox_types::guest::{ExecEvent, frame::Frame};

/// Both outputs of a command.
#[derive(Debug, Default)]
pub(super) struct Texts {
    stdout: Text,
    stderr: Text,
}

impl Texts {
    /// What programs are told of a frame.
    pub(super) fn events(&mut self, frame: &Frame) -> Vec<ExecEvent> {
        match frame {
            Frame::Started(started) => vec![ExecEvent::Started(started.clone())],
            Frame::Stdout(bytes) => stdout(self.stdout.push(bytes)).into_iter().collect(),
            Frame::Stderr(bytes) => stderr(self.stderr.push(bytes)).into_iter().collect(),
            Frame::Exit(exit) => {
                let rests = [stdout(self.stdout.rest()), stderr(self.stderr.rest())];
                rests.into_iter().flatten().chain([ExecEvent::Exit(*exit)]).collect()
            }
            Frame::Stdin(_)
            | Frame::StdinEnd
            | Frame::Resize(_)
            | Frame::Signal(_)
            | Frame::Credit(_)
            | Frame::Lost(_)
            | Frame::Error(_) => Vec::new(),
        }
    }
}

fn stdout(data: String) -> Option<ExecEvent> {
    (!data.is_empty()).then_some(ExecEvent::Stdout { data })
}

fn stderr(data: String) -> Option<ExecEvent> {
    (!data.is_empty()).then_some(ExecEvent::Stderr { data })
}

/// Bytes that become text.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Text {
    /// The text of `bytes`, without a character that has only begun.
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut whole = std::mem::take(&mut self.held);
        whole.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = whole.as_slice();
        while let Err(error) = str::from_utf8(rest) {
            let (valid, invalid) = rest.split_at_checked(error.valid_up_to()).unwrap_or_default();
            text.push_str(&String::from_utf8_lossy(valid));
            let Some(length) = error.error_len() else {
                self.held = invalid.to_vec();
                return text;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            rest = invalid.get(length..).unwrap_or_default();
        }
        text.push_str(&String::from_utf8_lossy(rest));
        text
    }

    /// What is left when nothing follows.
    fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(pieces: &[&[u8]]) -> Vec<String> {
        let mut text = Text::default();
        let mut all: Vec<String> = pieces.iter().map(|piece| text.push(piece)).collect();
        all.push(text.rest());
        all
    }

    #[test]
    fn a_character_is_not_torn() {
        assert_eq!(texts(&[b"a\xe2\x82", b"\xacb"]), ["a", "\u{20ac}b", ""]);
        assert_eq!(texts(&[b"a\xffb\xe2", b"c"]), ["a\u{fffd}b", "\u{fffd}c", ""]);
        assert_eq!(texts(&[b"a\xe2\x82"]), ["a", "\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in any::<String>(), cut in 1_usize..5) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(texts(&pieces).concat(), text);
        }
    }
}
