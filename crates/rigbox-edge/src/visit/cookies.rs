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

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let found = pairs(headers).find_map(|pair| {
        let (its, value) = pair.split_once('=')?;
        (its.trim() == name).then(|| value.trim())
    })?;
    (!found.is_empty() && found.len() <= VALUE_MAX_LEN).then_some(found)
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let texts = headers.get_all(header::COOKIE).iter();
    texts.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';')).map(str::trim)
}

/// Whether a cookie, or what sets one, is of ours.
fn is_ours(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
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
        ] {
            assert_eq!(app(&cookies(values)), expected, "{values:?}");
        }
    }
}
