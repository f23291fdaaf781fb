//! Who may be given what: references to accounts and to things, the roles, and the tags of things.
//! Parsed once: what holds a value of these types needs no check.
//! Invariant: roles are ordered, and a higher one gives all that a lower one gives.
//! Does not decide anything: what a role gives is in [`authz`](crate::authz).

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AppId, WorkspaceId,
    limits::{TAG_KEY_MAX_LEN, TAG_VALUE_MAX_LEN, TAGS_MAX_COUNT},
};

/// Text that refers to nobody and nothing, or tags that cannot be; says which rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAccess(Cow<'static, str>);

/// What somebody may do with a thing that is not theirs. The order is that of what they give.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees it.
    Viewer,
    /// Starts, stops and enters it, too.
    Developer,
    /// Changes and deletes it, and says who else may reach it, but for owners.
    Admin,
    /// All of it.
    Owner,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Admin, Self::Owner];

    /// The role's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kinds of things that roles are given on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// An account with all its workspaces.
    Account,
    /// One workspace.
    Workspace,
    /// One app.
    App,
}

impl ScopeKind {
    /// The words of all of them.
    pub const WORDS: &'static [&'static str] = &["account", "workspace", "app"];

    /// The kind's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Workspace => "workspace",
            Self::App => "app",
        }
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Conversions and schema of a reference that parses with `FromStr` and is written by `Display`.
macro_rules! reference {
    ($name:ident, $pattern:expr, $about:literal) => {
        impl TryFrom<String> for $name {
            type Error = InvalidAccess;

            fn try_from(text: String) -> Result<Self, InvalidAccess> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $about })
            }
        }
    };
}

/// Somebody who can be given a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PrincipalRef {
    /// An account.
    User(AccountId),
}

impl PrincipalRef {
    /// The account that it is.
    #[must_use]
    pub const fn account(self) -> AccountId {
        match self {
            Self::User(account) => account,
        }
    }
}

impl FromStr for PrincipalRef {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, InvalidAccess> {
        let form = || InvalidAccess("must be user:<account id>".into());
        let id = text.strip_prefix("user:").ok_or_else(form)?;
        canonical(id).map(Self::User).ok_or_else(form)
    }
}

impl fmt::Display for PrincipalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(account) => write!(f, "user:{account}"),
        }
    }
}

reference!(
    PrincipalRef,
    "^user:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "Somebody who can be given a role."
);

/// A thing that roles are given on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourceRef {
    /// An account with all its workspaces.
    Account(AccountId),
    /// One workspace.
    Workspace(WorkspaceId),
    /// One app.
    App(AppId),
}

impl ResourceRef {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ScopeKind {
        match self {
            Self::Account(_) => ScopeKind::Account,
            Self::Workspace(_) => ScopeKind::Workspace,
            Self::App(_) => ScopeKind::App,
        }
    }

    /// Its id, without its kind.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Account(id) => id.to_string(),
            Self::Workspace(id) => id.to_string(),
            Self::App(id) => id.to_string(),
        }
    }
}

impl FromStr for ResourceRef {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, InvalidAccess> {
        let form = "must be account:<id>, workspace:<id> or app:<id>";
        let form = || InvalidAccess(form.into());
        match text.split_once(':').ok_or_else(form)? {
            ("account", id) => canonical(id).map(Self::Account).ok_or_else(form),
            ("workspace", id) => id.parse().map(Self::Workspace).map_err(|_| form()),
            ("app", id) => id.parse().map(Self::App).map_err(|_| form()),
            _ => Err(form()),
        }
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id())
    }
}

/// What a reference to a thing looks like.
pub(crate) const RESOURCE_PATTERN: &str = "^(account:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|workspace:ws-[a-z0-9]{8}|app:app-[a-z0-9]{8})$";

reference!(ResourceRef, RESOURCE_PATTERN, "A thing that roles are given on.");

/// An account's id in the one spelling that is kept: a UUID may be written in several.
fn canonical(text: &str) -> Option<AccountId> {
    let id: AccountId = text.parse().ok()?;
    (id.to_string() == text).then_some(id)
}

/// Words on a thing, for people and programs to tell things by, and for roles that count only where
/// they match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl TryFrom<BTreeMap<String, String>> for Tags {
    type Error = InvalidAccess;

    fn try_from(tags: BTreeMap<String, String>) -> Result<Self, InvalidAccess> {
        if tags.len() > TAGS_MAX_COUNT {
            return Err(InvalidAccess(format!("may have at most {TAGS_MAX_COUNT} tags").into()));
        }
        let known = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._:/-".contains(&byte)
        };
        let is_key =
            |key: &str| (1..=TAG_KEY_MAX_LEN).contains(&key.len()) && key.bytes().all(known);
        if !tags.keys().all(|key| is_key(key)) {
            let rule = format!(
                "keys of tags have 1 to {TAG_KEY_MAX_LEN} lower-case letters, digits, '.', '_', \
                 ':', '/' and '-'"
            );
            return Err(InvalidAccess(rule.into()));
        }
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let is_value =
            |value: &str| value.len() <= TAG_VALUE_MAX_LEN && value.bytes().all(printable);
        if !tags.values().all(|value| is_value(value)) {
            let rule = format!(
                "values of tags have at most {TAG_VALUE_MAX_LEN} printable ASCII characters"
            );
            return Err(InvalidAccess(rule.into()));
        }
        Ok(Self(tags))
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

impl JsonSchema for Tags {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Tags".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": TAGS_MAX_COUNT,
            "propertyNames": { "pattern": "^[a-z0-9._:/-]{1,64}$" },
            "additionalProperties": {
                "type": "string", "maxLength": TAG_VALUE_MAX_LEN, "pattern": "^[ -~]*$",
            },
        })
    }
}

/// When a role that was given counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Keys of tags whose value must be the same on the thing and on the account that was given the
    /// role.
    pub match_tag_keys: Vec<String>,
    /// Tags that the thing must have.
    pub required_resource_tags: Tags,
}

impl Conditions {
    /// Whether there are none, so that no tags need to be known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_tag_keys.is_empty() && self.required_resource_tags.is_empty()
    }

    /// Whether they hold between a thing with these tags and an account with those.
    #[must_use]
    pub fn hold(&self, thing: &Tags, account: &Tags) -> bool {
        let matches = |key: &String| {
            let value = thing.value(key);
            value.is_some() && value == account.value(key)
        };
        self.match_tag_keys.iter().all(matches)
            && self
                .required_resource_tags
                .iter()
                .all(|(key, value)| thing.value(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a";

    fn tags(pairs: &[(&str, &str)]) -> Result<Tags, InvalidAccess> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect::<BTreeMap<_, _>>().try_into()
    }

    #[test]
    fn references_are_read_back_as_they_were_written() {
        for text in [&format!("account:{ACCOUNT}"), "workspace:ws-abcdefgh", "app:app-abcdefgh"] {
            assert_eq!(text.parse::<ResourceRef>().unwrap().to_string(), *text);
        }
        let text = format!("user:{ACCOUNT}");
        assert_eq!(text.parse::<PrincipalRef>().unwrap().to_string(), text);
    }

    #[test]
    fn what_refers_to_nothing_is_refused() {
        let braces = format!("account:{{{ACCOUNT}}}");
        let upper = format!("account:{}", ACCOUNT.to_uppercase());
        for text in ["", "account", "account:", "workspace:x", "app:ws-abcdefgh", &braces, &upper] {
            assert!(text.parse::<ResourceRef>().is_err(), "{text}");
        }
        for text in ["", "user:", "user:x", ACCOUNT, &format!("user:{}", ACCOUNT.to_uppercase())] {
            assert!(text.parse::<PrincipalRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags_are_bounded() {
        assert!(tags(&[("a/b.c_d:e-1", "Any text, ~"), ("b", "")]).is_ok());
        let long = "k".repeat(TAG_KEY_MAX_LEN + 1);
        let large = "v".repeat(TAG_VALUE_MAX_LEN + 1);
        for pair in
            [("", "v"), ("K", "v"), ("k k", "v"), (&*long, "v"), ("k", "\n"), ("k", &*large)]
        {
            assert!(tags(&[pair]).is_err(), "{pair:?}");
        }
        let many: Vec<String> = (0..=TAGS_MAX_COUNT).map(|n| format!("k{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
        assert!(tags(&many).is_err());
        assert!(tags(many.get(1..).unwrap()).is_ok());
    }

    #[test]
    fn a_condition_that_names_a_tag_needs_it() {
        let of = |pairs: &[(&str, &str)]| tags(pairs).unwrap();
        let none = Conditions::default();
        assert!(none.is_empty() && none.hold(&Tags::default(), &Tags::default()));
        let required =
            Conditions { required_resource_tags: of(&[("env", "dev")]), ..Conditions::default() };
        assert!(required.hold(&of(&[("env", "dev"), ("a", "b")]), &Tags::default()));
        assert!(!required.hold(&of(&[("env", "prod")]), &of(&[("env", "dev")])));
        assert!(!required.hold(&Tags::default(), &Tags::default()));
        let matching =
            Conditions { match_tag_keys: vec!["team".to_owned()], ..Conditions::default() };
        assert!(matching.hold(&of(&[("team", "x")]), &of(&[("team", "x")])));
        assert!(!matching.hold(&of(&[("team", "x")]), &of(&[("team", "y")])));
        assert!(!matching.hold(&Tags::default(), &Tags::default()));
    }
}
