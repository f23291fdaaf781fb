//! Names of apps: the first label of the host name by which an app is visited.
//! Invariant: a name is a DNS label in lower case, and none that the platform needs for itself or
//! that would pass for something else; two spellings of one name are one name.
//! Does not know which names are taken, nor the names of regions (see [`AppName::usable`]).

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{RegionName, id::text_type};

/// Longest name, in bytes: a DNS label (RFC 1035).
pub const APP_NAME_MAX_LEN: usize = 63;

/// The name of an app, unique on the platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// Text that is no name of an app; says which rule it breaks and never repeats it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAppName(&'static str);

/// A name that no app may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(&'static str);

impl AppName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an app may have this name, where these are the platform's regions.
    ///
    /// # Errors
    /// Why not.
    pub fn usable<'a>(
        &self,
        regions: impl IntoIterator<Item = &'a RegionName>,
    ) -> Result<(), Unusable> {
        let name = self.as_str();
        if regions.into_iter().any(|region| region.as_str() == name) {
            return Err(Unusable(
                "it is the name of a region, where workspaces are reached by SSH",
            ));
        }
        if name.get(2..4) == Some("--") {
            return Err(Unusable(
                "names with hyphens in third and fourth place stand for names in other letters",
            ));
        }
        let found = RESERVED.iter().find(|(names, _)| names.contains(&name));
        found.map_or(Ok(()), |(_, why)| Err(Unusable(why)))
    }
}

/// Names that no app may have, with the reason.
const RESERVED: &[(&[&str], &str)] = &[
    (
        &[
            "www",
            "api",
            "app",
            "apps",
            "dashboard",
            "admin",
            "console",
            "status",
            "docs",
            "help",
            "support",
            "auth",
            "login",
            "signin",
            "sign-in",
            "account",
            "accounts",
            "id",
            "sso",
            "oauth",
            "billing",
            "security",
            "rigbox",
            "static",
            "assets",
            "cdn",
            "edge",
            "control",
            "host",
            "hosts",
            "internal",
            "metrics",
            "health",
            "registry",
        ],
        "it is kept for the platform itself, and would pass for it",
    ),
    (
        &[
            "mail",
            "email",
            "smtp",
            "imap",
            "pop",
            "pop3",
            "mx",
            "webmail",
            "postmaster",
            "hostmaster",
            "webmaster",
            "abuse",
            "noreply",
            "no-reply",
            "root",
            "administrator",
            "ssladmin",
            "sslwebmaster",
            "sysadmin",
            "is",
            "it",
            "mis",
        ],
        "mail or certificates are given on the strength of it",
    ),
    (
        &[
            "ns",
            "ns1",
            "ns2",
            "ns3",
            "ns4",
            "dns",
            "ssh",
            "sftp",
            "ftp",
            "git",
            "vpn",
            "proxy",
            "gateway",
            "acme",
            "ca",
            "wpad",
            "isatap",
            "autoconfig",
            "autodiscover",
            "mta-sts",
            "openpgpkey",
            "localhost",
            "local",
            "localdomain",
            "broadcasthost",
        ],
        "programs look for a service of the network by it",
    ),
];

impl FromStr for AppName {
    type Err = InvalidAppName;

    fn from_str(text: &str) -> Result<Self, InvalidAppName> {
        if text.is_empty() || text.len() > APP_NAME_MAX_LEN {
            return Err(InvalidAppName("must have 1 to 63 characters"));
        }
        if text.starts_with('_') {
            return Err(InvalidAppName(
                "may not begin with '_': such names hold records of the network, not hosts",
            ));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(InvalidAppName("may have only letters, digits and hyphens"));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(InvalidAppName("must begin and end with a letter or digit"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

text_type!(
    AppName,
    json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
        "description": "app name; kept in lower case",
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_in_lower_case() {
        for (text, kept) in [("a", "a"), ("My-API", "my-api"), ("0", "0")] {
            assert_eq!(text.parse::<AppName>().unwrap().as_str(), kept);
        }
        let long = "a".repeat(APP_NAME_MAX_LEN + 1);
        for bad in ["", "-a", "a-", "a_b", "_a", "a.b", "ä", "a b", "a\n", &long] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_that_would_pass_for_something_else_is_not_usable() {
        let region: RegionName = "fra".parse().unwrap();
        for name in ["www", "WWW", "api", "dashboard", "admin", "mail", "fra", "xn--a", "ab--c"] {
            let name: AppName = name.parse().unwrap();
            assert!(name.usable([&region]).is_err(), "{name}");
        }
        for name in ["my-api", "www2", "fra1", "a--b", "xn-a"] {
            let name: AppName = name.parse().unwrap();
            assert_eq!(name.usable([&region]), Ok(()), "{name}");
        }
    }

    #[test]
    fn reserved_names_are_names() {
        for name in RESERVED.iter().flat_map(|(names, _)| *names) {
            assert_eq!(name.parse::<AppName>().unwrap().as_str(), *name);
        }
    }
}
