//! The text of a session's token: `rbs_`, the session's id in hex to find it by, and 256 random bits
//! in hex.

use std::str::FromStr;

use rigbox_types::SessionId;
use secrecy::{ExposeSecret as _, SecretString};

use super::hex;
use crate::source::{NoRandom, random};

const START: &str = "rbs_";
/// Hex digits of the id.
const ID_LEN: usize = 32;
/// Random bytes that only the holder knows.
const SECRET_BYTES: usize = 32;
const LEN: usize = START.len() + ID_LEN + 2 * SECRET_BYTES;

/// A session's token as its holder has it.
pub(crate) struct SessionToken {
    id: SessionId,
    text: SecretString,
}

/// Text that is no session's token.
#[derive(Debug, thiserror::Error)]
#[error("not a session's token")]
pub(crate) struct InvalidToken;

impl SessionToken {
    /// Makes a new one for a session.
    pub(crate) fn new(id: SessionId) -> Result<Self, NoRandom> {
        let secret = hex(&random::<SECRET_BYTES>()?);
        let digits = id.to_string().replace('-', "");
        Ok(Self { id, text: format!("{START}{digits}{secret}").into() })
    }

    /// Which session's it says it is.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// The whole token.
    pub(crate) fn text(&self) -> &SecretString {
        &self.text
    }

    /// Whether a text is meant to be one.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.starts_with(START)
    }

    /// The token, to be sent to its holder.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl FromStr for SessionToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.strip_prefix(START).ok_or(InvalidToken)?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != LEN || !rest.bytes().all(hex) {
            return Err(InvalidToken);
        }
        let id = rest.get(..ID_LEN).and_then(|digits| digits.parse().ok()).ok_or(InvalidToken)?;
        Ok(Self { id, text: text.into() })
    }
}
