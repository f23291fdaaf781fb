//! The address of a Rigbox server. Pure.

use std::{fmt, net::IpAddr, str::FromStr};

use http::Uri;
use serde::{Deserialize, Serialize};

/// Where `rigbox up` listens when nobody says otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:7070";

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// A server: scheme, host and port, and a path where it is not at the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ServerUrl {
    scheme: Scheme,
    host: String,
    port: u16,
    prefix: String,
}

/// Text that is no server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no server address: {reason}")]
pub(crate) struct InvalidServerUrl {
    text: String,
    reason: &'static str,
}

impl ServerUrl {
    /// Whether the connection is encrypted.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or IP address, without brackets.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What comes before the API's own paths.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `host:port` for the Host header; the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        if self.port == default_port(self.scheme) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the connection stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.host() == "localhost"
            || self.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// A name for a context of this server, made of letters, digits and hyphens.
    pub(crate) fn context_name(&self) -> String {
        let name: String = self
            .authority()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        name.trim_matches('-').to_owned()
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        let refuse = |reason| InvalidServerUrl { text: text.to_owned(), reason };
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(_) => return Err(refuse("it begins with http:// or https://")),
            None => (None, text),
        };
        let uri: Uri = format!("http://{rest}")
            .parse()
            .map_err(|_| refuse("write it as https://host or https://host:port"))?;
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it must not contain a user name or key"));
        }
        if uri.query().is_some() {
            return Err(refuse("it must not contain a query"));
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let prefix = uri.path().trim_end_matches('/');
        let prefix = prefix.strip_suffix("/api/v1").unwrap_or(prefix).to_owned();
        let mut url = Self { scheme: Scheme::Http, host, port: 0, prefix };
        // Without a scheme: plain on this machine, encrypted to any other.
        url.scheme =
            scheme.unwrap_or_else(|| if url.is_local() { Scheme::Http } else { Scheme::Https });
        url.port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().len() == authority.host().len() => default_port(url.scheme),
            None => return Err(refuse("its port is no number below 65536")),
        };
        Ok(url)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = InvalidServerUrl;

    fn try_from(text: String) -> Result<Self, InvalidServerUrl> {
        text.parse()
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> Self {
        url.to_string()
    }
}

const fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_in_one_form() {
        for (text, expected) in [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("http://127.0.0.1:7070/api/v1/", "http://127.0.0.1:7070"),
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("localhost:7070", "http://localhost:7070"),
            ("rigbox.example", "https://rigbox.example"),
            ("HTTPS://rigbox.example", ""),
            ("https://Rigbox.Example:443/", "https://rigbox.example"),
            ("https://example.com/rig/api/v1", "https://example.com/rig"),
            ("http://[::1]:7070", "http://[::1]:7070"),
            ("ftp://x", ""),
            ("https://user:rb_secret@x", ""),
            ("https://x?y=1", ""),
            ("https://", ""),
            ("https://x:99999", ""),
            ("http://x y", ""),
        ] {
            let read = text.parse::<ServerUrl>().map(|url| url.to_string()).unwrap_or_default();
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn only_loopback_is_local() {
        for (text, local) in [
            ("http://127.9.9.9", true),
            ("http://[::1]", true),
            ("http://localhost", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().is_local(), local, "{text}");
        }
    }
}
