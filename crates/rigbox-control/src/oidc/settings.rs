//! What an operator says of a provider. Secrets come from files, never from the configuration itself.
//! Invariant: a provider that makes accounts for everybody in the world is one of which the operator
//! has said so.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::PlanName;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::url::ProviderUrl;

/// Most providers of an installation: each is a button, and a row in everybody's account.
const PROVIDERS_MAX: usize = 16;
/// Longest name of a provider.
const NAME_MAX_LEN: usize = 32;
/// Longest name for people, client id or scope.
const TEXT_MAX_LEN: usize = 256;
/// Most scopes, and most domains.
const LIST_MAX: usize = 64;
/// Stands for all domains.
const ANY_DOMAIN: &str = "*";

/// One provider of OpenID Connect, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// Its address, to the letter as its metadata have it.
    pub issuer: String,
    /// What it knows this installation by.
    pub client_id: String,
    /// File with the secret for that; none for a client without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<Utf8PathBuf>,
    /// What people know it by; its name in the configuration where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What is asked for.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// Domains of addresses that may sign in; empty where accounts are not made by it: all.
    #[serde(default)]
    pub allowed_domains: Vec<String>,
    /// Whether somebody without an account gets one.
    #[serde(default)]
    pub create_accounts: bool,
    /// The plan of such an account.
    #[serde(default = "default_plan")]
    pub plan: PlanName,
    /// Whether somebody gets the account that has their address without showing its password once.
    #[serde(default)]
    pub link_by_email: bool,
    /// File with certificates to know it by besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<Utf8PathBuf>,
}

/// One provider, with what its files hold.
#[derive(Clone)]
pub struct OidcProvider {
    /// Its name in the configuration and in addresses.
    pub name: String,
    /// What the configuration says.
    pub settings: OidcSettings,
    /// The content of its `client_secret_file`.
    pub client_secret: Option<SecretString>,
    /// The content of its `ca_file`.
    pub authorities: Option<Vec<u8>>,
}

/// Which key of a provider is wrong, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {rule}")]
pub struct InvalidSettings {
    /// The key.
    pub key: String,
    /// What it must be.
    pub rule: &'static str,
}

impl OidcSettings {
    /// Checks the providers of a configuration.
    ///
    /// # Errors
    /// Names the first key that is wrong, as `oidc.<name>.<key>`.
    pub fn check(all: &BTreeMap<String, Self>) -> Result<(), InvalidSettings> {
        let wrong = |key: &str, rule| InvalidSettings { key: key.to_owned(), rule };
        if all.len() > PROVIDERS_MAX {
            return Err(wrong("oidc", "may have at most 16 providers"));
        }
        for (name, settings) in all {
            if !is_name(name) {
                let rule = "must be named by 1 to 32 lower-case letters, digits and hyphens";
                return Err(wrong("oidc", rule));
            }
            if let Some((key, rule)) = settings.breach() {
                return Err(wrong(&format!("oidc.{name}.{key}"), rule));
            }
        }
        let issuers = all.values().map(|settings| &settings.issuer);
        if issuers.collect::<std::collections::BTreeSet<_>>().len() < all.len() {
            return Err(wrong("oidc", "must not have two providers with one issuer"));
        }
        Ok(())
    }

    /// The first key that breaks its rule.
    fn breach(&self) -> Option<(&'static str, &'static str)> {
        let has_issuer =
            self.issuer.parse::<ProviderUrl>().is_ok_and(|url| url.uri().query().is_none());
        let has_openid = self.scopes.iter().any(|scope| scope == "openid");
        let domains = &self.allowed_domains;
        let rules = [
            (has_issuer, "issuer", ISSUER_RULE),
            (is_text(&self.client_id), "client_id", "must have 1 to 256 bytes of one line"),
            (
                self.display_name.as_deref().is_none_or(is_text),
                "display_name",
                "must have 1 to 256 bytes of one line",
            ),
            (
                has_openid && self.scopes.len() <= LIST_MAX,
                "scopes",
                "must have openid, and at most 64 words",
            ),
            (
                self.scopes.iter().all(|scope| is_scope(scope)),
                "scopes",
                "must be words of visible ASCII",
            ),
            (
                domains.len() <= LIST_MAX && domains.iter().all(|domain| is_domain(domain)),
                "allowed_domains",
                "must be at most 64 lower-case domains such as example.com, or \"*\"",
            ),
            (!self.create_accounts || !domains.is_empty(), "allowed_domains", EVERYBODY_RULE),
            (
                is_absolute(self.client_secret_file.as_deref()),
                "client_secret_file",
                "must be an absolute path",
            ),
            (is_absolute(self.ca_file.as_deref()), "ca_file", "must be an absolute path"),
        ];
        rules.into_iter().find(|(holds, ..)| !holds).map(|(_, key, rule)| (key, rule))
    }

    /// Whether somebody with an address in this domain may sign in.
    pub(super) fn allows(&self, domain: &str) -> bool {
        self.is_open() || self.allowed_domains.iter().any(|allowed| allowed == domain)
    }

    /// Whether the address does not matter.
    pub(super) fn is_open(&self) -> bool {
        self.allowed_domains.is_empty()
            || self.allowed_domains.iter().any(|allowed| allowed == ANY_DOMAIN)
    }
}

const ISSUER_RULE: &str =
    "must be an https address without user, query or fragment; http only on this machine";
const EVERYBODY_RULE: &str = "must say for whom accounts are made: domains, or \"*\" for everybody \
     whom the provider knows";

fn is_text(text: &str) -> bool {
    (1..=TEXT_MAX_LEN).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_scope(text: &str) -> bool {
    is_text(text) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

fn is_absolute(file: Option<&Utf8Path>) -> bool {
    file.is_none_or(Utf8Path::is_absolute)
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_MAX_LEN).contains(&name.len()) && name.bytes().all(plain)
}

fn is_domain(text: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    text == ANY_DOMAIN
        || (text.contains('.') && text.len() <= TEXT_MAX_LEN && text.bytes().all(plain))
}

fn default_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

fn default_plan() -> PlanName {
    "free".parse().expect("a lower-case word is a plan's name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wrong: Option<&str>) {
        let all = toml_like(text);
        let found = OidcSettings::check(&all).err().map(|error| error.key);
        assert_eq!(found.as_deref(), wrong, "{text}");
    }

    fn toml_like(text: &str) -> BTreeMap<String, OidcSettings> {
        serde_json::from_str(text).unwrap()
    }

    fn with(rest: &str) -> String {
        format!(r#"{{"a": {{"issuer": "https://id.example", "client_id": "c"{rest}}}}}"#)
    }

    #[test]
    fn what_would_let_in_too_many_is_refused() {
        check(&with(""), None);
        check(&with(r#", "create_accounts": true"#), Some("oidc.a.allowed_domains"));
        check(&with(r#", "create_accounts": true, "allowed_domains": ["*"]"#), None);
        check(&with(r#", "allowed_domains": ["Example.com"]"#), Some("oidc.a.allowed_domains"));
        check(&with(r#", "allowed_domains": ["com"]"#), Some("oidc.a.allowed_domains"));
        check(&with(r#", "scopes": ["email"]"#), Some("oidc.a.scopes"));
        check(&with(r#", "scopes": ["openid", "a b"]"#), Some("oidc.a.scopes"));
        check(&with(r#", "client_secret_file": "secret""#), Some("oidc.a.client_secret_file"));
        check(r#"{"a": {"issuer": "http://id.example", "client_id": "c"}}"#, Some("oidc.a.issuer"));
        check(r#"{"A b": {"issuer": "https://id.example", "client_id": "c"}}"#, Some("oidc"));
        let twice = r#"{"a": {"issuer": "https://id.example", "client_id": "c"},
            "b": {"issuer": "https://id.example", "client_id": "d"}}"#;
        check(twice, Some("oidc"));
    }
}
