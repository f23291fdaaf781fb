//! Names that people choose. Each is a type that only parsing can make, so it is checked once.
//! Does not know which names are taken.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::id::text_type;

/// Longest name, in bytes: a DNS label (RFC 1035) of 63 must still hold the name, a hyphen and the
/// eight characters of an id.
pub const NAME_MAX_LEN: usize = 54;

/// A name that breaks the rules of its kind; the text says which rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(&'static str);

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_label(text).map(|()| Self(text.to_owned()))
            }
        }

        text_type!($name, $what, "^[a-z0-9]([a-z0-9-]{0,52}[a-z0-9])?$");
    };
}

label! {
    /// The name of a workspace, unique within its account.
    WorkspaceName, "workspace name"
}
label! {
    /// The name of a region: the first label of its host name.
    RegionName, "region name"
}
label! {
    /// The name of an image: `base`, `dev`, `tiny` or one of the operator's.
    ImageName, "image name"
}
label! {
    /// The name of a plan: `free`, `pro`, `operator` or one of the operator's.
    PlanName, "plan name"
}
label! {
    /// The name of a template.
    TemplateId, "template name"
}

fn check_label(text: &str) -> Result<(), InvalidName> {
    if text.is_empty() || text.len() > NAME_MAX_LEN {
        return Err(InvalidName("must have 1 to 54 characters"));
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(InvalidName("may have only lower-case letters, digits and hyphens"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(InvalidName("must begin and end with a letter or digit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "my-project", "0", "a1-b2"] {
            assert!(good.parse::<WorkspaceName>().is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_MAX_LEN + 1);
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", "a\n", &long] {
            assert!(bad.parse::<WorkspaceName>().is_err(), "{bad:?}");
        }
    }
}
