//! Makes text from elsewhere harmless to a terminal. Pure.
//! Names, messages and log lines come from servers and guests: whatever could move the cursor,
//! change the title, or turn the reading direction around is shown as an escape instead.

use std::{borrow::Cow, fmt::Write as _};

/// `text` on one line, with everything that a terminal would act on escaped.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !acts(c))
}

/// Like [`line`], but keeps line ends and tabs: for text that we lay out ourselves.
pub(crate) fn block(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || c == '\t' || !acts(c))
}

/// A JSON text in which the control characters that JSON itself lets through are escaped too: they
/// can only be inside strings.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_late_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_late_control(c) {
            // Writing to a string cannot fail.
            write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if keep(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line separators, and the marks that reorder text.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn is_late_control(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_shown_as_text() {
        for (text, expected) in [
            ("plain ä 漢", "plain ä 漢"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("title\x1b]0;x\x07", "title\\u{1b}]0;x\\u{7}"),
            ("csi \u{9b}31m", "csi \\u{9b}31m"),
            ("left \u{202e}right", "left \\u{202e}right"),
        ] {
            assert_eq!(line(text), expected);
        }
        assert_eq!(block("a\n\tb\x1b"), "a\n\tb\\u{1b}");
    }

    #[test]
    fn json_stays_the_same_document() {
        let text = serde_json::to_string("a\u{9b}b\u{7f}").unwrap();
        let safe = json(&text);
        assert!(!safe.chars().any(char::is_control));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "a\u{9b}b\u{7f}");
    }
}
