//! Identifiers: opaque to clients, made by parsing or from random bytes the caller brings.
//! Invariant: a value of these types is well-formed.
//! Does not make randomness (see the id sources of the crates that create things).

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Characters of the random part of a prefixed id: lower case, no look-alikes removed because the
/// contract says "alphanumerics".
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Length of the random part. 36^8 is 2.8e12: at 100,000 objects the chance that a new one
/// collides is under 4e-8, and the store refuses a duplicate anyway.
const SUFFIX_LEN: usize = 8;

/// Random bytes that [`WorkspaceId::from_random`] and its siblings consume.
pub const RANDOM_LEN: usize = SUFFIX_LEN;

/// An id that does not have the form its type demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} id must be {form}")]
pub struct InvalidId {
    what: &'static str,
    form: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The part before the random characters, with its hyphen.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from random bytes; each byte picks one character. The bias of a
            /// remainder by 36 costs less than 0.2 bits of the 41 and is of no use to a guesser,
            /// because an id is no secret.
            #[must_use]
            pub fn from_random(random: [u8; RANDOM_LEN]) -> Self {
                Self(with_suffix($prefix, random))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The random part, without the prefix.
            #[must_use]
            pub fn suffix(&self) -> &str {
                self.0.strip_prefix($prefix).unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_prefixed(text, $prefix) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId {
                        what: $what,
                        form: concat!("'", $prefix, "' and 8 lower-case letters or digits"),
                    })
                }
            }
        }

        text_type!($name, $what, concat!("^", $prefix, "[a-z0-9]{8}$"));
    };
}

/// Conversions and schema of a newtype over text that parses with `FromStr`.
macro_rules! text_type {
    ($name:ident, $what:literal, $pattern:expr) => {
        text_type!($name, json_schema!({
            "type": "string", "pattern": $pattern, "description": $what,
        }));
    };
    ($name:ident, $schema:expr) => {
        impl TryFrom<String> for $name {
            type Error = <Self as FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}
pub(crate) use text_type;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a version 4 id from random bytes.
            #[must_use]
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(random).into_uuid())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse().map(Self).map_err(|_| InvalidId {
                    what: stringify!($name),
                    form: "a UUID",
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

prefixed_id! {
    /// A workspace: `ws-` and eight characters.
    WorkspaceId, "ws-", "workspace"
}
prefixed_id! {
    /// A machine that runs workspaces: `host-` and eight characters.
    HostId, "host-", "host"
}
prefixed_id! {
    /// A port of a workspace that is published under a name: `app-` and eight characters.
    AppId, "app-", "app"
}
uuid_id! {
    /// The owner of things: the account of a person or a team.
    AccountId
}
uuid_id! {
    /// An API key, without its secret.
    ApiKeyId
}
uuid_id! {
    /// A session of somebody who signed in, without its secret.
    SessionId
}
uuid_id! {
    /// An account's setup script.
    SetupScriptId
}
uuid_id! {
    /// An account's service specification.
    ServiceSpecId
}
uuid_id! {
    /// An account's public SSH key.
    SshKeyId
}
uuid_id! {
    /// A place where an app's logs can be read.
    AppLogSourceId
}
uuid_id! {
    /// A share link of an app, without its secret.
    ShareLinkId
}

fn with_suffix(prefix: &str, random: [u8; RANDOM_LEN]) -> String {
    let characters = random.iter().map(|byte| {
        let index = usize::from(*byte) % ALPHABET.len();
        ALPHABET.get(index).copied().map_or('a', char::from)
    });
    prefix.chars().chain(characters).collect()
}

fn is_prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|suffix| {
        suffix.len() == SUFFIX_LEN && suffix.bytes().all(|byte| ALPHABET.contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_was_made() {
        let id = WorkspaceId::from_random([0, 35, 36, 255, 7, 1, 2, 3]);
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!(id.suffix().len(), SUFFIX_LEN);
    }

    #[test]
    fn a_malformed_id_is_refused() {
        for text in
            ["", "ws-", "ws-ABCDEFGH", "ws-abcdefg", "ws-abcdefghi", "app-abcdefgh", "ws-abc/../x"]
        {
            assert!(text.parse::<WorkspaceId>().is_err(), "{text}");
        }
    }
}
