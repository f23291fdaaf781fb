//! Public SSH keys of the one kind that the platform and its workspaces have themselves: Ed25519.
//! A type that only parsing can make, so that a line from a guest is a key or nothing.
//! Invariant: one line of 80 ASCII characters, in the one way in which such a key is written; no
//! comment, no options. Does not know whose it is, nor whether its 32 bytes are a point.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::id::text_type;

/// What every such line begins with: the kind in words, then in Base64 its length and itself again,
/// then the length of what follows.
const PREFIX: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI";
/// Characters after that. The first has two bits of the length before it, which are none.
const REST_LEN: usize = 43;

/// A public SSH key as a line: `ssh-ed25519 AAAA…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ed25519Key(String);

/// Text that is no such key; never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a public key such as `ssh-ed25519 AAAA…`, without a comment")]
pub struct InvalidEd25519Key;

impl Ed25519Key {
    /// The key as a line, without an end of line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ed25519Key {
    type Err = InvalidEd25519Key;

    fn from_str(text: &str) -> Result<Self, InvalidEd25519Key> {
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidEd25519Key)?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        if rest.len() != REST_LEN || !rest.bytes().all(is_base64) {
            return Err(InvalidEd25519Key);
        }
        if !rest.starts_with(|first| ('A'..='P').contains(&first)) {
            return Err(InvalidEd25519Key);
        }
        Ok(Self(text.to_owned()))
    }
}

text_type!(
    Ed25519Key,
    json_schema!({
        "type": "string",
        "pattern": format!("^{PREFIX}[A-P][A-Za-z0-9+/]{{42}}$"),
        "description": "public SSH key of the kind Ed25519",
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaye/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ";

    fn check(text: &str, expected: bool) {
        assert_eq!(text.parse::<Ed25519Key>().is_ok(), expected, "{text:?}");
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        check(KEY, true);
        assert_eq!(KEY.parse::<Ed25519Key>().unwrap().as_str(), KEY);
    }

    #[test]
    fn what_is_more_or_less_than_a_key_is_refused() {
        for text in ["", "ssh-ed25519", "ssh-ed25519 ", &KEY[..79], &KEY[12..]] {
            check(text, false);
        }
        for around in [" ", "\n", "\r", "\0", "A", "=", "ä"] {
            check(&format!("{KEY}{around}"), false);
            check(&format!("{around}{KEY}"), false);
            check(&KEY.replace("aye/", &format!("aye{around}")), around == "A");
        }
        check(&format!("{KEY} root@workspace"), false);
        check(&format!("cert-authority {KEY}"), false);
        check(&format!("{KEY}\n{KEY}"), false);
        check(&KEY.replace("ed25519", "rsa"), false);
        // 32 bytes and no more are said to follow.
        check(&KEY.replace("AAAAIP", "AAAAIQ"), false);
        check(&KEY.replace("AAAAIP", "AAAAJP"), false);
    }
}
