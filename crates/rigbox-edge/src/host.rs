//! The host name of a request, from its `Host` header and its target.
//! Invariant: what this yields is in lower case, without port or last dot, and of letters, digits,
//! hyphens and dots: nothing else is ever looked up, compared or written into a header.

use std::borrow::Cow;

use http::{HeaderMap, Uri, Version, header};

/// Longest DNS name.
const NAME_MAX: usize = 253;

/// What is wrong with how a request names its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    #[error("a request must name its host")]
    Missing,
    #[error("a request must name its host once")]
    Twice,
    #[error("host names in the request differ")]
    Differ,
    #[error("this is no host name")]
    Malformed,
}

/// The name that a request is for.
pub(crate) fn of_request<'a>(
    version: Version,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Cow<'a, str>, HostError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(HostError::Twice);
    }
    let said = match first {
        Some(value) => Some(name(value.to_str().map_err(|_| HostError::Malformed)?)?),
        None => None,
    };
    let targeted = uri.authority().map(|authority| name(authority.as_str())).transpose()?;
    match (said, targeted) {
        (Some(said), Some(targeted)) if said != targeted => Err(HostError::Differ),
        (Some(said), _) => Ok(said),
        // HTTP/1.1 demands the header, whatever the target says.
        (None, Some(targeted)) if version >= Version::HTTP_2 => Ok(targeted),
        (None, _) => Err(HostError::Missing),
    }
}

/// The name within `name[:port]`.
pub(crate) fn name(text: &str) -> Result<Cow<'_, str>, HostError> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    if port.is_some_and(|port| port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(HostError::Malformed);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if !is_name(name) {
        return Err(HostError::Malformed);
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Ok(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Ok(Cow::Borrowed(name))
    }
}

/// Whether text is a DNS name, in any case, without last dot.
pub(crate) fn is_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.len() <= 63 && label.bytes().all(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_the_same_however_it_is_written() {
        for text in ["a.example", "A.Example", "a.example.", "a.example:8443", "A.EXAMPLE.:443"] {
            assert_eq!(name(text).as_deref(), Ok("a.example"), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "a:b",
            "a:1:2",
            "[::1]",
            "a\\b",
            "a,b",
            "a:123456",
            "ä.example",
        ] {
            assert_eq!(name(text), Err(HostError::Malformed), "{text}");
        }
        assert_eq!(name(&"a.".repeat(127)[..253]), Ok(Cow::Owned("a.".repeat(127)[..253].into())));
        assert_eq!(name(&format!("{}a", "a.".repeat(127))), Err(HostError::Malformed));
    }
}
