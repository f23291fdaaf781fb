//! Which names a workspace may ask for. Pure.

use std::{str::FromStr, sync::Arc};

use hickory_proto::rr::Name;

/// Longest name in text form (RFC 1035: 255 bytes on the wire).
const NAME_MAX_LEN: usize = 253;

/// What the egress policy means for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePolicy {
    /// Every name.
    All,
    /// No name.
    Nothing,
    /// The listed ones, whose addresses are then let through.
    Listed(Arc<[NamePattern]>),
}

impl NamePolicy {
    pub(super) fn allows(&self, name: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Listed(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

/// A name, or every name below one (`*.example.com`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    name: Name,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Exact,
    Below,
}

/// Text that is no pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no host name; write api.example.com or *.example.com")]
pub struct InvalidPattern {
    text: String,
}

impl NamePattern {
    fn matches(&self, name: &Name) -> bool {
        match self.scope {
            Scope::Exact => self.name.eq_ignore_root(&name.to_lowercase()),
            Scope::Below => {
                self.name.zone_of(&name.to_lowercase())
                    && name.num_labels() > self.name.num_labels()
            }
        }
    }
}

impl FromStr for NamePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern { text: text.chars().take(NAME_MAX_LEN).collect() };
        let (scope, rest) = match text.strip_prefix("*.") {
            Some(rest) => (Scope::Below, rest),
            None => (Scope::Exact, text),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if rest.is_empty() || rest.len() > NAME_MAX_LEN || !rest.bytes().all(plain) {
            return Err(invalid());
        }
        let mut name = Name::from_ascii(rest.to_ascii_lowercase()).map_err(|_| invalid())?;
        name.set_fqdn(true);
        Ok(Self { name, scope })
    }
}
