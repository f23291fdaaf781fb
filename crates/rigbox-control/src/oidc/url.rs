//! Addresses of a provider that we speak to or send a browser to.
//! Invariant: a value of this type is absolute, and encrypted unless it leads to this machine.
//! Does not decide whose address it is: the issuer's comes from the operator, all others from the
//! issuer's own metadata, and none ever from a token.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{Uri, uri::Scheme};

/// Longest address, in bytes.
const URL_MAX_LEN: usize = 1_024;

/// An address of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderUrl {
    text: String,
    uri: Uri,
}

/// Text that is no such address; never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address without user, query or fragment; http only on this machine")]
pub struct InvalidProviderUrl;

impl ProviderUrl {
    /// The address as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, parsed.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or_else(|| if self.is_encrypted() { 443 } else { 80 })
    }

    /// Whether it is spoken to with TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// The address with parameters added to those that it has.
    pub(super) fn with_query(
        &self,
        pairs: &[(&str, &str)],
    ) -> Result<String, serde_urlencoded::ser::Error> {
        let sign = if self.uri.query().is_some() { '&' } else { '?' };
        Ok(format!("{}{sign}{}", self.text, serde_urlencoded::to_string(pairs)?))
    }
}

impl FromStr for ProviderUrl {
    type Err = InvalidProviderUrl;

    fn from_str(text: &str) -> Result<Self, InvalidProviderUrl> {
        if text.len() > URL_MAX_LEN || text.contains(['#', '\\']) || !text.is_ascii() {
            return Err(InvalidProviderUrl);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidProviderUrl)?;
        let authority = uri.authority().ok_or(InvalidProviderUrl)?;
        if authority.as_str().contains('@') {
            return Err(InvalidProviderUrl);
        }
        let url = Self { text: text.to_owned(), uri };
        let is_plain = url.uri.scheme() == Some(&Scheme::HTTP) && is_here(url.host());
        if url.host().is_empty() || !(url.is_encrypted() || is_plain) {
            return Err(InvalidProviderUrl);
        }
        Ok(url)
    }
}

impl fmt::Display for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, u16)>) {
        let parsed = text.parse::<ProviderUrl>();
        let found = parsed.as_ref().ok().map(|url| (url.host(), url.port()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_is_not_encrypted_leads_nowhere_but_here() {
        check("https://id.example.com/realms/a", Some(("id.example.com", 443)));
        check("https://id.example.com:8443", Some(("id.example.com", 8_443)));
        check("http://127.0.0.1:9/a", Some(("127.0.0.1", 9)));
        check("http://[::1]:9", Some(("::1", 9)));
        check("http://localhost", Some(("localhost", 80)));
        for text in [
            "http://id.example.com",
            "http://10.0.0.1/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com",
            "https://user@id.example.com",
            "https://id.example.com/#a",
            "https://",
            "ftp://id.example.com",
            "file:///etc/passwd",
            "/relative",
            "id.example.com",
            "",
        ] {
            check(text, None);
        }
        check(&format!("https://id.example.com/{}", "a".repeat(2_000)), None);
    }

    #[test]
    fn parameters_are_added_to_those_that_are_there() {
        let url: ProviderUrl = "https://a.example/x".parse().unwrap();
        assert_eq!(url.with_query(&[("a", "1 &")]).unwrap(), "https://a.example/x?a=1+%26");
        let url: ProviderUrl = "https://a.example/x?y=1".parse().unwrap();
        assert_eq!(url.with_query(&[("a", "b")]).unwrap(), "https://a.example/x?y=1&a=b");
    }
}
