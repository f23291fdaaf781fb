//! What an API key is narrowed to. Parsed once: what holds a value of these types needs no check.
//! Invariants: a key has at least one scope; scopes only ever narrow what the key's account may do
//! (see [`authz`](crate::authz)); those of a key that may do everything are just `full`.
//! Does not decide anything.

use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{AppId, WorkspaceId, limits::API_KEY_SCOPES_MAX_COUNT};

/// One thing that a key is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyScope {
    /// Everything that its account may do.
    Full,
    /// Everything that its account may see, and no change.
    Read,
    /// One workspace: to see it, to change it and to enter it.
    Workspace(WorkspaceId),
    /// One app: to visit it, to see it and to change it.
    App(AppId),
}

/// Text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be full, read, workspace:<id> or app:<id>")]
pub struct InvalidScope;

impl FromStr for KeyScope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        match text.split_once(':') {
            None if text == "full" => Ok(Self::Full),
            None if text == "read" => Ok(Self::Read),
            Some(("workspace", id)) => id.parse().map(Self::Workspace).map_err(|_| InvalidScope),
            Some(("app", id)) => id.parse().map(Self::App).map_err(|_| InvalidScope),
            None | Some(_) => Err(InvalidScope),
        }
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Read => f.write_str("read"),
            Self::Workspace(id) => write!(f, "workspace:{id}"),
            Self::App(id) => write!(f, "app:{id}"),
        }
    }
}

impl TryFrom<String> for KeyScope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<KeyScope> for String {
    fn from(scope: KeyScope) -> Self {
        scope.to_string()
    }
}

impl JsonSchema for KeyScope {
    fn schema_name() -> Cow<'static, str> {
        "KeyScope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(full|read|workspace:ws-[a-z0-9]{8}|app:app-[a-z0-9]{8})$",
            "description": "What a key is good for.",
        })
    }
}

/// All that a key is good for: what any of its scopes allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<KeyScope>", into = "Vec<KeyScope>")]
pub struct KeyScopes(BTreeSet<KeyScope>);

/// Scopes that no key can have together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {API_KEY_SCOPES_MAX_COUNT} scopes")]
pub struct InvalidScopes;

impl KeyScopes {
    /// Those of a key that may do everything that its account may.
    #[must_use]
    pub fn full() -> Self {
        Self(BTreeSet::from([KeyScope::Full]))
    }

    /// Whether the key is not narrowed at all.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.contains(&KeyScope::Full)
    }

    /// Whether the key is good for workspaces that it names, and for nothing else.
    #[must_use]
    pub fn is_of_workspaces(&self) -> bool {
        self.0.iter().all(|scope| matches!(scope, KeyScope::Workspace(_)))
    }

    /// Each of them once, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &KeyScope> {
        self.0.iter()
    }
}

impl TryFrom<Vec<KeyScope>> for KeyScopes {
    type Error = InvalidScopes;

    fn try_from(scopes: Vec<KeyScope>) -> Result<Self, InvalidScopes> {
        if scopes.is_empty() || scopes.len() > API_KEY_SCOPES_MAX_COUNT {
            return Err(InvalidScopes);
        }
        if scopes.contains(&KeyScope::Full) {
            return Ok(Self::full());
        }
        Ok(Self(scopes.into_iter().collect()))
    }
}

impl From<KeyScopes> for Vec<KeyScope> {
    fn from(scopes: KeyScopes) -> Self {
        scopes.0.into_iter().collect()
    }
}

/// Separated by spaces: the same text for the same scopes.
impl fmt::Display for KeyScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, scope) in self.iter().enumerate() {
            if number > 0 {
                f.write_str(" ")?;
            }
            scope.fmt(f)?;
        }
        Ok(())
    }
}

impl JsonSchema for KeyScopes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeyScopes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": generator.subschema_for::<KeyScope>(),
            "minItems": 1,
            "maxItems": API_KEY_SCOPES_MAX_COUNT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(words: &[&str]) -> Option<String> {
        let parsed: Result<Vec<KeyScope>, _> = words.iter().map(|word| word.parse()).collect();
        KeyScopes::try_from(parsed.ok()?).ok().map(|scopes| scopes.to_string())
    }

    #[test]
    fn scopes_are_read_back_as_they_were_written() {
        for word in ["full", "read", "workspace:ws-abcdefgh", "app:app-abcdefgh"] {
            assert_eq!(scopes(&[word]).as_deref(), Some(word));
        }
        let two = scopes(&["workspace:ws-b0000000", "read", "workspace:ws-a0000000", "read"]);
        assert_eq!(two.as_deref(), Some("read workspace:ws-a0000000 workspace:ws-b0000000"));
        assert_eq!(scopes(&["read", "full"]).as_deref(), Some("full"));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for word in [
            "",
            "Full",
            "write",
            "read ",
            "workspace",
            "workspace:",
            "workspace:x",
            "app:ws-abcdefgh",
        ] {
            assert_eq!(scopes(&[word]), None, "{word}");
        }
        assert_eq!(scopes(&[]), None);
        assert_eq!(scopes(&["read"; API_KEY_SCOPES_MAX_COUNT + 1]), None);
        assert!(scopes(&["read"; API_KEY_SCOPES_MAX_COUNT]).is_some());
    }
}
