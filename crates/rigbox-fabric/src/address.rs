//! Where a part listens. Parsed once; does not resolve names and opens nothing.

use std::{fmt, str::FromStr};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// Longest path of a unix socket in bytes: `sun_path` holds 108 with its end mark.
const UNIX_PATH_MAX: usize = 107;

/// `unix:/path` on the same machine, `https://name:port` on another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// A unix socket; the kernel says who is at the other end.
    Unix(Utf8PathBuf),
    /// TCP with TLS; certificates of the platform's CA say who is at the other end.
    Tls {
        /// Name or IP address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {text:?} {rule}")]
pub struct InvalidAddress {
    text: String,
    rule: &'static str,
}

impl Address {
    /// The path, where the address is a unix socket.
    #[must_use]
    pub fn as_unix(&self) -> Option<&Utf8Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tls { .. } => None,
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let wrong = |rule| InvalidAddress { text: text.to_owned(), rule };
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(wrong("must have an absolute path after 'unix:'"));
            }
            if path.len() > UNIX_PATH_MAX || path.contains('\0') {
                return Err(wrong("must have a path of at most 107 bytes"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let Some(authority) = text.strip_prefix("https://") else {
            return Err(wrong("must begin with 'unix:/' or 'https://'"));
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| wrong("must have a port"))?;
        let port = port.parse().map_err(|_| wrong("must have a port from 0 to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let known = bare.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
        // A bare IPv6 address would be read as a name with a port.
        if bare.is_empty() || !known || (bare == host && host.contains(':')) {
            return Err(wrong("must have a host name or an IP address, IPv6 in brackets"));
        }
        Ok(Self::Tls { host: bare.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tls { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_back_as_it_was_written() {
        for text in ["unix:/run/rigbox/host.sock", "https://host-1.example:7443", "https://[::1]:1"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("unix:/{}", "a".repeat(UNIX_PATH_MAX));
        for text in [
            "",
            "unix:",
            "unix:run/x",
            &long,
            "http://a:1",
            "https://a",
            "https://a:b",
            "https://:1",
            "https://::1:1",
            "https://a@b:1",
            "https://a/b:1",
            "https://a:70000",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
