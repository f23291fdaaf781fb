//! The text of an API key: `rb_`, eight characters to find it by, and 256 random bits in hex.

use std::{fmt::Write as _, str::FromStr};

use secrecy::{ExposeSecret as _, SecretString};

use crate::source::{NoRandom, random};

const START: &str = "rb_";
/// Characters that find the key's row. They are no secret: they are shown as the key's preview.
const FIND_LEN: usize = 8;
/// Random bytes that only the holder knows.
const SECRET_BYTES: usize = 32;
const PREFIX_LEN: usize = START.len() + FIND_LEN;
const LEN: usize = PREFIX_LEN + 2 * SECRET_BYTES;

/// An API key as its holder has it.
pub(crate) struct ApiKey {
    text: SecretString,
}

/// Text that is no API key.
#[derive(Debug, thiserror::Error)]
#[error("not an API key")]
pub(crate) struct InvalidKey;

impl ApiKey {
    /// Makes a new one.
    pub(crate) fn new() -> Result<Self, NoRandom> {
        let bytes = random::<{ FIND_LEN / 2 + SECRET_BYTES }>()?;
        let mut text = String::with_capacity(LEN);
        text.push_str(START);
        for byte in bytes {
            // Writing to a `String` cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        Ok(Self { text: text.into() })
    }

    /// What finds its row.
    pub(crate) fn prefix(&self) -> &str {
        self.text.expose_secret().get(..PREFIX_LEN).unwrap_or_default()
    }

    /// The whole key.
    pub(crate) fn text(&self) -> &SecretString {
        &self.text
    }
}

impl FromStr for ApiKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let rest = text.strip_prefix(START).ok_or(InvalidKey)?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != LEN || !rest.bytes().all(hex) {
            return Err(InvalidKey);
        }
        Ok(Self { text: text.into() })
    }
}
