//! E-mail addresses, by which accounts are known to people. A type that only parsing can make, so
//! that two spellings of one address are one account.
//! Invariant: lower case throughout, and nothing but ASCII that is visible: what looks alike is
//! alike. That leaves out addresses with other letters (RFC 6531), which few have, and for which
//! homographs and invisible characters would have to be told apart.
//! Does not know whether mail arrives there.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::id::text_type;

/// Longest address, in bytes: what fits into the path of an SMTP command (RFC 5321).
pub const EMAIL_MAX_LEN: usize = 254;
/// Longest part before the `@`, in bytes (RFC 5321).
const LOCAL_MAX_LEN: usize = 64;
/// Longest label of a host name, in bytes (RFC 1035).
const LABEL_MAX_LEN: usize = 63;
/// What may stand before the `@` besides letters, digits and dots (RFC 5322); no quoted forms.
const LOCAL_SIGNS: &[u8] = b"!#$%&'*+/=?^_`{|}~-";

/// The form of an address, for the API's document; see [`is_local`] and [`is_domain`]. The length of
/// what is before the `@` is said beside it.
const PATTERN: &str = "^ *[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@\
    [A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\
    (\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+ *$";

/// An e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// Text that is no e-mail address; says which rule it breaks and never repeats it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEmail(&'static str);

impl Email {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        // Only ASCII space: other white space is no mistake of typing.
        let text = text.trim_matches(' ');
        if text.is_empty() || text.len() > EMAIL_MAX_LEN {
            return Err(InvalidEmail("must be an e-mail address of 3 to 254 bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidEmail(
                "may have only visible ASCII characters: no spaces, no other letters",
            ));
        }
        let form = InvalidEmail("must be an e-mail address such as ann@example.com");
        let Some((local, domain)) = text.split_once('@') else { return Err(form) };
        if !is_local(local) || !is_domain(domain) {
            return Err(form);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

fn is_local(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || LOCAL_SIGNS.contains(&byte);
    let atom = |atom: &str| !atom.is_empty() && atom.bytes().all(known);
    text.len() <= LOCAL_MAX_LEN && text.split('.').all(atom)
}

/// At least two labels: an address without a dot is more often a mistake than an intranet's.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX_LEN).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(label)
}

text_type!(
    Email,
    json_schema!({
        "type": "string",
        "maxLength": EMAIL_MAX_LEN,
        "pattern": PATTERN,
        "allOf": [{ "pattern": format!("^ *[^@]{{1,{LOCAL_MAX_LEN}}}@") }],
        "description": "e-mail address",
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = text.parse::<Email>();
        assert_eq!(parsed.as_ref().ok().map(Email::as_str), expected, "{text:?}");
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        check("ann@example.com", Some("ann@example.com"));
        check("  Ann@Example.COM ", Some("ann@example.com"));
        check("a.b+tag@x-y.example.org", Some("a.b+tag@x-y.example.org"));
        check("o'neil_1@1.example", Some("o'neil_1@1.example"));
    }

    #[test]
    fn what_is_no_address_or_looks_like_another_is_refused() {
        for text in ["", " ", "@", "a", "a@b", "@example.com", "a@", "a@b@example.com"] {
            check(text, None);
        }
        for text in ["a b@example.com", "a\n@example.com", "a@exam\u{0}ple.com", "a\t@b.example"] {
            check(text, None);
        }
        for text in [".a@b.example", "a.@b.example", "a..b@b.example", "\"a\"@b.example"] {
            check(text, None);
        }
        for text in ["a@-b.example", "a@b-.example", "a@b..example", "a@.example", "a@b.example."] {
            check(text, None);
        }
        // Zero width, bidirectional, full width, Cyrillic, no-break space.
        for odd in ['\u{200b}', '\u{202e}', '\u{feff}', '\u{ff41}', '\u{430}', '\u{a0}', 'ä'] {
            check(&format!("a{odd}@example.com"), None);
            check(&format!("{odd}a@example.com"), None);
            check(&format!("a@example{odd}.com"), None);
        }
    }

    #[test]
    fn an_address_has_at_most_254_bytes() {
        let domain = |len: usize| format!("{}.{}", "a".repeat(63), "b".repeat(len));
        let local = "l".repeat(64);
        let label = "c".repeat(61);
        check(&format!("{local}@{}", domain(63)), Some(&format!("{local}@{}", domain(63))));
        check(&format!("{local}l@{}", domain(9)), None);
        check(&format!("{local}@{}", domain(64)), None);
        let longest = format!("{local}@{}.{label}", domain(63));
        assert_eq!(longest.len(), EMAIL_MAX_LEN);
        check(&longest, Some(&longest));
        check(&format!("{longest}c"), None);
    }
}
