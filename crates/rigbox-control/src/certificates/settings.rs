//! What an operator says of certificates. Secrets come from files, never from the configuration
//! itself.

use camino::Utf8PathBuf;
use rigbox_certs::{Authority, DnsHook, ExternalAccount};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Longest text of a setting.
const TEXT_MAX_LEN: usize = 1024;

/// Most words of a command.
const WORDS_MAX: usize = 32;

/// How certificates are had, as the configuration has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSettings {
    /// Address of the directory of an authority; without it a CA of the installation's own signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_directory: Option<String>,
    /// Where the authority writes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_email: Option<String>,
    /// Whether the authority's terms were agreed to.
    pub acme_terms_agreed: bool,
    /// Id of an account that there is with the authority already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_account_id: Option<String>,
    /// File with the key that the authority gave for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_account_key_file: Option<Utf8PathBuf>,
    /// File with the roots by which the authority is known, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_ca_file: Option<Utf8PathBuf>,
    /// Command that puts up TXT records; empty: edges answer for the delegated zone.
    pub dns_hook: Vec<String>,
    /// The name that `_acme-challenge.<domain>` is an alias of, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_alias: Option<String>,
}

/// How certificates are had, with what files hold.
#[derive(Clone, Default)]
pub struct CertificateConfig {
    /// What the configuration says.
    pub settings: CertificateSettings,
    /// The content of `acme_account_key_file`.
    pub account_key: Option<SecretString>,
    /// The content of `acme_ca_file`.
    pub authorities: Option<Vec<u8>>,
}

/// Which key is wrong, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificates.{key} {rule}")]
pub struct InvalidCertificateSettings {
    /// The key.
    pub key: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl CertificateSettings {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn check(&self) -> Result<(), InvalidCertificateSettings> {
        let wrong = |key, rule| Err(InvalidCertificateSettings { key, rule });
        let is_text = |text: &String| {
            !text.is_empty() && text.len() <= TEXT_MAX_LEN && text.chars().all(|c| !c.is_control())
        };
        if let Some(directory) = &self.acme_directory {
            let uri: Option<http::Uri> = directory.parse().ok();
            let is_https = uri.is_some_and(|uri| uri.scheme_str() == Some("https"));
            if !is_https || !is_text(directory) {
                return wrong("acme_directory", "must be an https address");
            }
            if !self.acme_terms_agreed {
                return wrong(
                    "acme_terms_agreed",
                    "must be true: read the authority's terms, then say that you agree to them",
                );
            }
        } else if self.acme_account_id.is_some() || !self.dns_hook.is_empty() {
            return wrong("acme_directory", "must be set where anything of an authority is");
        }
        if self.acme_email.as_ref().is_some_and(|text| !is_text(text) || !text.contains('@')) {
            return wrong("acme_email", "must be an e-mail address");
        }
        if self.acme_account_id.is_some() != self.acme_account_key_file.is_some() {
            return wrong(
                "acme_account_id",
                "and acme_account_key_file must be set both or neither",
            );
        }
        if self.acme_account_id.as_ref().is_some_and(|text| !is_text(text)) {
            return wrong("acme_account_id", "must be a text");
        }
        if self.dns_hook.len() > WORDS_MAX || !self.dns_hook.iter().all(is_text) {
            return wrong("dns_hook", "must be at most 32 words");
        }
        if self.dns_hook.first().is_some_and(|program| !program.starts_with('/')) {
            return wrong("dns_hook", "must begin with the absolute path of a program");
        }
        let is_name = |text: &String| {
            is_text(text)
                && text.len() <= 253
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c))
        };
        if self.dns_alias.as_ref().is_some_and(|text| !is_name(text)) {
            return wrong("dns_alias", "must be a DNS name in lower case, without a last dot");
        }
        Ok(())
    }
}

impl CertificateConfig {
    /// The authority, where there is one.
    pub(super) fn authority(&self) -> Option<Authority> {
        let settings = &self.settings;
        let external = settings.acme_account_id.as_ref().zip(self.account_key.as_ref());
        Some(Authority {
            directory: settings.acme_directory.clone()?,
            roots: self.authorities.clone(),
            email: settings.acme_email.clone(),
            terms_agreed: settings.acme_terms_agreed,
            external: external
                .map(|(id, key)| ExternalAccount { id: id.clone(), key: key.clone() }),
        })
    }

    /// The command for TXT records, where there is one.
    pub(super) fn hook(&self) -> Option<DnsHook> {
        DnsHook::new(self.settings.dns_hook.clone()).ok()
    }
}
