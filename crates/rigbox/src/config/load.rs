//! Reads the configuration file and says what is wrong with it: file, line, key, nearest key.
//! Does not repeat values in errors: a file may have been given by mistake that holds a secret.

use std::{fs, io, net::Ipv4Addr};

use camino::{Utf8Path, Utf8PathBuf};
use http::uri::Authority;
use rigbox_control::OidcSettings;
use rigbox_types::{WorkspaceName, nearest::nearest};

use super::Config;

/// Longest domain: a host name has at most 253 bytes, and a label of 63 and a dot stand in front.
const DOMAIN_MAX_LEN: usize = 253 - 64;

/// Where the configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File(Utf8PathBuf),
    /// There is no file: all defaults.
    Defaults,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key that does not exist.
    #[error("{path}, line {line}: unknown key {key}, the nearest known one is {nearest}")]
    UnknownKey {
        /// Which file.
        path: Utf8PathBuf,
        /// Where in it.
        line: usize,
        /// The key.
        key: String,
        /// What was probably meant.
        nearest: String,
    },
    /// Anything else about its form.
    #[error("{path}, line {line}: {reason}")]
    Form {
        /// Which file.
        path: Utf8PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value that its type allows and we do not.
    #[error("{path}: {key} {reason}")]
    Value {
        /// Which file.
        path: Utf8PathBuf,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads the first of the candidates that exists; a file that was asked for must exist.
///
/// # Errors
/// Names the file, the line and the key.
pub(crate) fn load(
    asked: Option<&Utf8Path>,
    candidates: &[Utf8PathBuf],
) -> Result<(Config, Source), ConfigError> {
    let path = asked.or_else(|| {
        candidates.iter().map(Utf8PathBuf::as_path).find(|candidate| candidate.exists())
    });
    let Some(path) = path else { return Ok((Config::default(), Source::Defaults)) };
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text).map(|config| (config, Source::File(path.to_owned())))
}

/// Reads the text of a file.
pub(super) fn parse(path: &Utf8Path, text: &str) -> Result<Config, ConfigError> {
    let config = toml::from_str(text).map_err(|error| explain(path, text, &error))?;
    check(path, &config)?;
    Ok(config)
}

fn explain(path: &Utf8Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    let said = error.message();
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    if said.starts_with("unknown field")
        && let Some((key, known)) = quoted.split_first()
        && let Some(nearest) = nearest(key, known.iter().copied())
    {
        let (key, nearest) = ((*key).to_owned(), nearest.to_owned());
        return ConfigError::UnknownKey { path: path.to_owned(), line, key, nearest };
    }
    // The first line says what; the rest would quote the file.
    let reason = said.lines().next().unwrap_or_default().to_owned();
    ConfigError::Form { path: path.to_owned(), line, reason }
}

/// Whether a region's label in front of it makes a host name.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= DOMAIN_MAX_LEN && text.split('.').all(is_label)
}

/// Whether an address is a scheme and a host, perhaps with a port, and nothing behind it.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        host.bytes().all(plain) && host.parse::<Authority>().is_ok()
    })
}

/// Whether it is an address whose bits behind the prefix are zero.
fn is_network(text: &str) -> bool {
    let Some((base, prefix)) = text.split_once('/') else { return false };
    let (base, prefix) = (base.parse::<Ipv4Addr>(), prefix.parse::<u32>());
    let (Ok(base), Ok(prefix @ 0..=32)) = (base, prefix) else { return false };
    base.to_bits() & u32::MAX.checked_shr(prefix).unwrap_or(0) == 0
}

fn check(path: &Utf8Path, config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &str, reason: &str| {
        let (key, reason) = (key.to_owned(), reason.to_owned());
        Err(ConfigError::Value { path: path.to_owned(), key, reason })
    };
    if let Err(error) = OidcSettings::check(&config.oidc) {
        return wrong(&error.key, error.rule);
    }
    if let Err(error) = config.certificates.check() {
        return wrong(&format!("certificates.{}", error.key), error.rule);
    }
    let name = &config.first.workspace;
    if !name.is_empty()
        && let Err(error) = name.parse::<WorkspaceName>()
    {
        return wrong("first.workspace", &error.to_string());
    }
    if !is_domain(&config.domain) {
        let rule = "must be a domain name of lower-case labels, such as rigbox.example.com";
        return wrong("domain", rule);
    }
    if config.api.url.as_deref().is_some_and(|url| !is_origin(url)) {
        let rule = "must be scheme and host alone, such as https://rigbox.example.com";
        return wrong("api.url", rule);
    }
    if config.ssh.port == Some(0) {
        return wrong("ssh.port", "must be from 1 to 65535");
    }
    if config
        .ssh
        .host
        .as_deref()
        .is_some_and(|host| !is_domain(host) && host.parse::<std::net::IpAddr>().is_err())
    {
        return wrong("ssh.host", "must be a domain name in lower case, or an IP address");
    }
    if config.control.uid == Some(0) {
        return wrong("control.uid", "must not be root: control holds keys and needs no rights");
    }
    let host = &config.host;
    for (key, value, least, most) in [
        ("host.memory_mib", host.memory_mib, 64, 64 << 20),
        ("host.vcpus", host.vcpus.map(u64::from), 1, 1 << 20),
        ("host.pool_gib", host.pool_gib.map(u64::from), 1, 1 << 20),
        ("host.boot_s", Some(host.boot_s.into()), 1, 3600),
        ("host.shutdown_s", Some(host.shutdown_s.into()), 1, 3600),
        ("host.sweep_s", Some(host.sweep_s.into()), 1, 86_400),
    ] {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            return wrong(key, &format!("must be from {least} to {most}"));
        }
    }
    if host.network.as_deref().is_some_and(|network| !is_network(network)) {
        return wrong("host.network", "must be a network of IPv4, such as 10.201.0.0/16");
    }
    for (key, file) in [
        ("control.database_url_file", config.control.database_url_file.as_ref()),
        ("images.recipes", config.images.recipes.as_ref()),
        ("images.guest", config.images.guest.as_ref()),
        ("host.qemu", Some(&config.host.qemu)),
        ("host.firecracker", Some(&config.host.firecracker)),
        ("host.jailer", Some(&config.host.jailer)),
    ] {
        if file.is_some_and(|file| !file.is_absolute()) {
            return wrong(key, "must be an absolute path");
        }
    }
    Ok(())
}
