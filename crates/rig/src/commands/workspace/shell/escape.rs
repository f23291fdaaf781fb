//! Finds the way out in what is typed: Enter, then `~.` leaves; Enter, then `~~` is one `~`. Pure.

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    /// Goes to the workspace.
    Send(Vec<u8>),
    /// The way out.
    Leave,
}

/// Where in a line typing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Escape {
    /// At its beginning.
    #[default]
    Fresh,
    /// After a `~` at its beginning, which is held back.
    Tilde,
    /// Somewhere else.
    Inside,
}

impl Escape {
    /// Takes what was typed.
    pub(super) fn typed(&mut self, bytes: &[u8]) -> Typed {
        let mut send = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            *self = match (*self, byte) {
                (Self::Tilde, b'.') => return Typed::Leave,
                (Self::Fresh, b'~') => Self::Tilde,
                (Self::Tilde, b'~') => {
                    send.push(b'~');
                    Self::Inside
                }
                (before, byte) => {
                    if before == Self::Tilde {
                        send.push(b'~');
                    }
                    send.push(byte);
                    if matches!(byte, b'\r' | b'\n') { Self::Fresh } else { Self::Inside }
                }
            };
        }
        Typed::Send(send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: Option<&[u8]>) {
        let mut escape = Escape::default();
        let mut sent = Vec::new();
        for piece in pieces {
            match escape.typed(piece) {
                Typed::Send(bytes) => sent.extend(bytes),
                Typed::Leave => return assert_eq!(expected, None, "{pieces:?}"),
            }
        }
        assert_eq!(Some(sent.as_slice()), expected, "{pieces:?}");
    }

    #[test]
    fn the_way_out_is_at_the_beginning_of_a_line() {
        check(&[b"~."], None);
        check(&[b"ls\r", b"~", b"."], None);
        check(&[b"a~."], Some(b"a~."));
        check(&[b"\r~~."], Some(b"\r~."));
        check(&[b"~x\r~\r"], Some(b"~x\r~\r"));
        check(&[b"cd ~\r"], Some(b"cd ~\r"));
    }
}
