//! Our two cookies on the host of an app: who a browser was found to be there, and what it was sent
//! to sign in with. Invariant: their names begin with `__Host-`, so that no other host can set them,
//! and neither passes: not to the workspace, and not set by it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Who the browser is.
const APP: &str = "__Host-rigbox-app";

/// What it was sent to sign in with.
const STATE: &str = "__Host-rigbox-state";

/// What all of ours begin with.
const PREFIX: &str = "__Host-rigbox-";

/// How long signing in may take.
const STATE_AGE: Duration = Duration::from_secs(600);

/// Longest value that is taken for one of ours: 256 bits in any writing.
const VALUE_MAX_LEN: usize = 128;

/// The cookie of the app.
pub(crate) fn app(headers: &HeaderMap) -> Option<&str> {
    value(headers, APP)
}

/// The cookie that signing in began with.
pub(crate) fn state(headers: &HeaderMap) -> Option<&str> {
    value(headers, STATE)
}

/// The value of the cookie of a name; none where there are two, of which one is not ours. Others may
/// have any bytes: every host of the domain can set some that are sent here, too.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter();
    let pairs = values.flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    let mut found = pairs.filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (its, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        (its.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    });
    let (found, None) = (found.next()?, found.next()) else { return None };
    let found = std::str::from_utf8(found).ok()?;
    (!found.is_empty() && found.len() <= VALUE_MAX_LEN).then_some(found)
}

/// Whether a cookie, or what sets one, is of ours. One without a name is sent as its value alone, which
/// then looks like one with a name.
fn is_ours(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"=").unwrap_or(text).trim_ascii_start();
    text.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// Takes our cookies out of a request, and makes one header of what is left (HTTP/2 may send many).
pub(crate) fn strip(headers: &mut HeaderMap) {
    let mut all = headers.get_all(header::COOKIE).iter();
    let Some(first) = all.next() else { return };
    let is_one = all.next().is_none();
    if is_one && !first.as_bytes().split(|b| *b == b';').any(is_ours) {
        return;
    }
    let mut left = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        for pair in value.as_bytes().split(|b| *b == b';').filter(|pair| !is_ours(pair)) {
            if !left.is_empty() {
                left.extend_from_slice(b"; ");
            }
            left.extend_from_slice(pair.trim_ascii());
        }
    }
    headers.remove(header::COOKIE);
    if !left.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&left)
    {
        headers.insert(header::COOKIE, value);
    }
}

/// Takes what would set one of our cookies out of an app's answer.
pub(crate) fn strip_set(headers: &mut HeaderMap) {
    let is_clean = |headers: &HeaderMap| {
        !headers.get_all(header::SET_COOKIE).iter().any(|value| is_ours(value.as_bytes()))
    };
    if is_clean(headers) {
        return;
    }
    let all: Vec<_> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in all.into_iter().filter(|value| !is_ours(value.as_bytes())) {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Sets the cookie of the app. None where control's value is no cookie.
pub(crate) fn set_app(value: &str, age_s: u64) -> Option<HeaderValue> {
    set(APP, value, age_s)
}

/// Sets the cookie that signing in begins with.
pub(crate) fn set_state(value: &str) -> Option<HeaderValue> {
    set(STATE, value, STATE_AGE.as_secs())
}

/// Takes one away.
pub(crate) fn unset_app() -> Option<HeaderValue> {
    set(APP, "", 0)
}

/// As [`unset_app`].
pub(crate) fn unset_state() -> Option<HeaderValue> {
    set(STATE, "", 0)
}

fn set(name: &str, value: &str, age_s: u64) -> Option<HeaderValue> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'+');
    if value.len() > VALUE_MAX_LEN || !value.bytes().all(plain) {
        return None;
    }
    HeaderValue::try_from(format!(
        "{name}={value}; Path=/; Max-Age={age_s}; Secure; HttpOnly; SameSite=Lax"
    ))
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn ours_go_and_all_others_stay() {
        for (values, expected) in [
            (&["a=1; b=2"][..], Some("a=1; b=2")),
            (&["a=1; __Host-rigbox-app=x; b=2"], Some("a=1; b=2")),
            (&["__Host-rigbox-app=x"], None),
            (&["a=1", "__host-RIGBOX-state=x", "b=2"], Some("a=1; b=2")),
            (&["a=__Host-rigbox-app"], Some("a=__Host-rigbox-app")),
        ] {
            let mut headers = cookies(values);
            strip(&mut headers);
            let left = headers.get(header::COOKIE).map(|value| value.to_str().unwrap());
            assert_eq!(left, expected, "{values:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        for (values, expected) in [
            (&["a=1; __Host-rigbox-app=x"][..], Some("x")),
            (&["a=1", "__Host-rigbox-app=x"], Some("x")),
            (&["__Host-rigbox-app2=x"], None),
            (&["rigbox-app=x"], None),
            (&["__Host-rigbox-app="], None),
            (&["__host-rigbox-app=x"], None),
            (&["a=\"__Host-rigbox-app=x"], None),
            (&["=__Host-rigbox-app=x"], None),
        ] {
            assert_eq!(app(&cookies(values)), expected, "{values:?}");
        }
    }

    #[test]
    fn of_two_cookies_neither_counts() {
        for values in [
            &["__Host-rigbox-app=x; __Host-rigbox-app=y"][..],
            &["__Host-rigbox-app=x", "a=b; __Host-rigbox-app=x"],
            &["__Host-rigbox-app=; __Host-rigbox-app=x"],
        ] {
            assert_eq!(app(&cookies(values)), None, "{values:?}");
        }
    }

    #[test]
    fn a_cookie_of_another_host_hides_none_of_ours() {
        let mut headers = HeaderMap::new();
        for bytes in [&b"letters=\xe4\xf6; __Host-rigbox-app=x; more=\xff"[..], b"\xe4"] {
            headers.append(header::COOKIE, HeaderValue::from_bytes(bytes).unwrap());
        }
        assert_eq!(app(&headers), Some("x"));
        strip(&mut headers);
        let left = headers.get(header::COOKIE).unwrap();
        assert_eq!(left.as_bytes(), b"letters=\xe4\xf6; more=\xff; \xe4");
    }

    #[test]
    fn no_workspace_sets_one_of_ours() {
        let mut headers = HeaderMap::new();
        for text in [
            "a=b",
            "__Host-rigbox-app=x; Path=/; Secure",
            " __host-rigbox-state=x",
            "=__Host-rigbox-app=x; Domain=rigbox.localhost",
            "= __Host-rigbox-app=x",
            "c=__Host-rigbox-app",
        ] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(text));
        }
        strip_set(&mut headers);
        let left: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(left, ["a=b", "c=__Host-rigbox-app"]);
    }
}
