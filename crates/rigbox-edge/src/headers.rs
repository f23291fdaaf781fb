//! What of a request's and an answer's headers passes, and what the edge says itself.
//! Invariants: a header that only we may set is taken away in every spelling before we set it; what a
//! client names in `Connection` is gone before that too; nothing of a connection passes to the next.
//! Keeps nothing.

use std::net::IpAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// An API key of a program that visits an app.
pub(crate) const KEY: HeaderName = HeaderName::from_static("x-rigbox-key");

/// Known to the visitor, the edge and the app.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const USER_ID: HeaderName = HeaderName::from_static("x-rigbox-user-id");
const USER_EMAIL: HeaderName = HeaderName::from_static("x-rigbox-user-email");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// Longest `X-Request-Id` that is taken over from a client.
const REQUEST_ID_MAX_LEN: usize = 64;

/// What the edge says of one connection: the same for all its requests, since its name is.
pub(crate) struct Said {
    /// `name[:port]`, from the name that was verified and our own port.
    pub(crate) host: HeaderValue,
    for_: HeaderValue,
    forwarded: HeaderValue,
}

impl Said {
    /// None for a name that fits into no header, which none is that was verified.
    pub(crate) fn new(name: &str, https_port: u16, from: IpAddr) -> Option<Self> {
        let host = if https_port == 443 { name.to_owned() } else { format!("{name}:{https_port}") };
        let node = match from {
            IpAddr::V4(from) => from.to_string(),
            IpAddr::V6(from) => format!("\"[{from}]\""),
        };
        let quoted = if https_port == 443 { host.clone() } else { format!("\"{host}\"") };
        Some(Self {
            for_: HeaderValue::try_from(from.to_string()).ok()?,
            forwarded: HeaderValue::try_from(format!("for={node};host={quoted};proto=https"))
                .ok()?,
            host: HeaderValue::try_from(host).ok()?,
        })
    }
}

/// Makes a request's headers ready for the workspace, or for control.
pub(crate) fn forward(headers: &mut HeaderMap, said: &Said, id: HeaderValue, to: To<'_>) {
    remove_named(headers);
    remove(headers, |name| is_of_connection(name) || is_ours(name.as_str(), &to));
    headers.insert(header::HOST, said.host.clone());
    headers.insert(FORWARDED_FOR, said.for_.clone());
    headers.insert(FORWARDED_HOST, said.host.clone());
    headers.insert(FORWARDED_PROTO, HTTPS);
    headers.insert(header::FORWARDED, said.forwarded.clone());
    headers.insert(REQUEST_ID, id);
    if let To::Workspace(Some((account, email))) = to {
        headers.insert(USER_ID, account.clone());
        if let Some(email) = email {
            headers.insert(USER_EMAIL, email.clone());
        }
    }
}

/// Whom a request is made ready for.
pub(crate) enum To<'a> {
    /// A workspace, and the visitor's account and address where they are known.
    Workspace(Option<(&'a HeaderValue, Option<&'a HeaderValue>)>),
    /// Control, which is shown keys and cookies of its own.
    Control,
}

/// Makes an answer's headers ready for the visitor.
pub(crate) fn answer(headers: &mut HeaderMap, id: HeaderValue) {
    remove_named(headers);
    remove(headers, |name| *name != header::TRAILER && is_of_connection(name));
    crate::visit::cookies::strip_set(headers);
    headers.insert(REQUEST_ID, id);
}

/// Leaves of a request nothing but the question whether another one may be sent.
pub(crate) fn keep_question(headers: &mut HeaderMap) {
    remove(headers, |name| {
        *name != header::ORIGIN
            && *name != header::HOST
            && !name.as_str().starts_with("access-control-request-")
    });
}

/// What an answer says about that, and nothing else of it.
pub(crate) fn permission(answer: &mut HeaderMap) -> HeaderMap {
    remove(answer, |name| {
        *name != header::VARY
            && *name != header::ALLOW
            && name.as_str() != REQUEST_ID.as_str()
            && !name.as_str().starts_with("access-control-")
    });
    std::mem::take(answer)
}

/// Makes what follows a visitor's body ready for the workspace: some servers take it for headers.
pub(crate) fn trailers(headers: &mut HeaderMap) {
    let to = To::Workspace(None);
    remove(headers, |name| {
        is_of_connection(name)
            || is_ours(name.as_str(), &to)
            || [header::HOST, header::COOKIE, header::AUTHORIZATION].contains(name)
    });
}

/// Removes what `Connection` names, except what frames the message.
fn remove_named(headers: &mut HeaderMap) {
    let Some(first) = headers.get(header::CONNECTION) else { return };
    // Nearly always one word, and none that names a header.
    let is_plain = |value: &HeaderValue| {
        ["close", "keep-alive", "Upgrade", "upgrade"].iter().any(|word| value == word)
    };
    if is_plain(first) && headers.get_all(header::CONNECTION).iter().nth(1).is_none() {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|word| HeaderName::try_from(word.trim()).ok())
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

fn remove(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    // At most times there is nothing, and then nothing is allocated.
    let gone: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Whether a header is about the connection, not the message.
fn is_of_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::UPGRADE,
        header::EXPECT,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
    ]
    .contains(name)
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings" | "proxy-authentication-info"
        )
}

/// Whether a header is one that only we may set, or an alias: programs behind CGI see `-`, `_` and
/// often `.` as one. Names in a `HeaderMap` are in lower case.
fn is_ours(name: &str, to: &To<'_>) -> bool {
    if !name.starts_with(['x', 'f']) {
        return false;
    }
    let starts = |with: &str| {
        name.len() >= with.len()
            && name
                .bytes()
                .zip(with.bytes())
                .all(|(its, b)| its == b || (b == b'-' && (its == b'_' || its == b'.')))
    };
    let is = |whole: &str| name.len() == whole.len() && starts(whole);
    let of_rigbox = match to {
        To::Workspace(_) => starts("x-rigbox-"),
        To::Control => starts("x-rigbox-user-"),
    };
    of_rigbox || starts("x-forwarded-") || is("x-real-ip") || is("forwarded") || is("x-request-id")
}

/// The request id that a client gave, where it is a plain one.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = value.as_bytes();
    let fits = !bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX_LEN && bytes.iter().all(plain);
    fits.then(|| value.clone())
}

/// A header of 16 hexadecimal digits.
pub(crate) fn hex_value(number: u64) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = BytesMut::with_capacity(16);
    for shift in (0..16).rev() {
        let digit = usize::try_from((number >> (shift * 4)) & 15).unwrap_or_default();
        text.put_u8(DIGITS.get(digit).copied().unwrap_or(b'0'));
    }
    let text: Bytes = text.freeze();
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let said = Said::new("a.example", 8443, "2001:db8::1".parse().unwrap()).unwrap();
        let id = HeaderValue::from_static("7");
        let account = HeaderValue::from_static("account");
        forward(&mut headers, &said, id, To::Workspace(Some((&account, None))));
        headers
    }

    #[test]
    fn what_only_we_may_say_is_said_by_us_however_it_was_written() {
        let headers = forwarded(&[
            ("X-Forwarded-For", "1.2.3.4"),
            ("x_forwarded_for", "1.2.3.4"),
            ("X.Forwarded.Host", "evil"),
            ("X-Forwarded_Proto", "http"),
            ("X_Real_IP", "1.2.3.4"),
            ("Forwarded", "for=1.2.3.4"),
            ("X-Rigbox-User-Id", "evil"),
            ("x_rigbox.user-Email", "evil"),
            ("X-Rigbox-Key", "secret"),
            ("X-Other", "stays"),
            ("Connection", "close, X-Forwarded-For, X-Rigbox-User-Id, X-Named, Host"),
            ("X-Named", "goes"),
            ("Keep-Alive", "1"),
            ("TE", "trailers"),
        ]);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "forwarded: for=\"[2001:db8::1]\";host=\"a.example:8443\";proto=https",
                "host: a.example:8443",
                "x-forwarded-for: 2001:db8::1",
                "x-forwarded-host: a.example:8443",
                "x-forwarded-proto: https",
                "x-other: stays",
                "x-request-id: 7",
                "x-rigbox-user-id: account",
            ]
        );
    }

    #[test]
    fn a_number_is_written_with_all_its_digits() {
        assert_eq!(hex_value(0x0123_4567_89ab_cdef), "0123456789abcdef");
        assert_eq!(hex_value(0), "0000000000000000");
    }
}
