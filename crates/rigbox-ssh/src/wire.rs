//! Data types of the SSH protocol (RFC 4251, section 5). Pure.
//! Invariant: reading borrows and allocates nothing, so that a length which lies costs nothing.

use crate::error::SshError;

/// Reads values out of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], SshError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(SshError::Malformed("a message ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, SshError> {
        let (first, rest) =
            self.rest.split_first().ok_or(SshError::Malformed("a message ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, SshError> {
        Ok(self.u8()? != 0)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, SshError> {
        let (first, rest) = self
            .rest
            .split_first_chunk::<4>()
            .ok_or(SshError::Malformed("a message ends early"))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*first))
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], SshError> {
        let length = self.u32()?;
        // What cannot be addressed cannot be there either.
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, SshError> {
        str::from_utf8(self.string()?).map_err(|_| SshError::Malformed("a text is not UTF-8"))
    }

    /// A list of names, as the text that carries it.
    pub(crate) fn names(&mut self) -> Result<&'a str, SshError> {
        let text = self.text()?;
        if text.is_ascii() { Ok(text) } else { Err(SshError::Malformed("a name is not ASCII")) }
    }

    /// That nothing follows.
    pub(crate) fn end(&self) -> Result<(), SshError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(SshError::Malformed("a message goes on after its end"))
        }
    }
}

/// Writes values into a message.
pub(crate) trait Put {
    fn put_u32(&mut self, value: u32);
    fn put_string(&mut self, value: &[u8]);
    /// A positive integer, of its bytes from the highest on.
    fn put_mpint(&mut self, value: &[u8]);
    fn put_names(&mut self, names: &[&str]);
}

impl Put for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_string(&mut self, value: &[u8]) {
        self.put_u32(length(value.len()));
        self.extend_from_slice(value);
    }

    fn put_mpint(&mut self, value: &[u8]) {
        let zeros = value.iter().take_while(|byte| **byte == 0).count();
        let value = value.get(zeros..).unwrap_or_default();
        // A set highest bit would make it negative.
        let sign = value.first().is_some_and(|first| first & 0x80 != 0);
        self.put_u32(length(value.len() + usize::from(sign)));
        if sign {
            self.push(0);
        }
        self.extend_from_slice(value);
    }

    fn put_names(&mut self, names: &[&str]) {
        self.put_string(names.join(",").as_bytes());
    }
}

/// Lengths on the wire have 32 bits; nothing of ours comes near.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_as_the_protocol_says() {
        // The examples of RFC 4251, section 5.
        for (value, expected) in [
            (&[][..], &[0, 0, 0, 0][..]),
            (&[0, 0], &[0, 0, 0, 0]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0x7f, 1], &[0, 0, 0, 2, 0x7f, 1]),
        ] {
            let mut out = Vec::new();
            out.put_mpint(value);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]).string().is_err());
        assert!(Reader::new(&[0, 0, 0]).u32().is_err());
        assert!(Reader::new(&[0, 0, 0, 2, b'a']).text().is_err());
        let mut reader = Reader::new(&[0, 0, 0, 1, b'a', 7]);
        assert_eq!(reader.string().unwrap(), b"a");
        assert!(reader.end().is_err());
    }
}
