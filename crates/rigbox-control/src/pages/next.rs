//! Where somebody wanted to go before they had to sign in.
//! Invariant: always a path of this origin, however it is written: no other site can be reached
//! through it.

/// Where to without a wish.
pub(super) const HOME: &str = "/security";

/// Longest path.
const MAX_LEN: usize = 1024;

/// The path, or the usual one where it is none of ours.
pub(super) fn checked(wish: Option<&str>) -> &str {
    wish.filter(|path| is_own(path)).unwrap_or(HOME)
}

/// A path that no browser takes for another host: browsers read `//host` and `/\host` as one, and
/// leave tabs and line ends out before they look.
fn is_own(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= MAX_LEN
        && path.bytes().all(plain)
}

/// A path as part of a query.
pub(super) fn encoded(path: &str) -> String {
    serde_urlencoded::to_string([("next", path)]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_origin_are_followed() {
        for path in ["/", "/device?code=ABCD-EFGH", "/security#sessions", "/%2f%2fevil.example"] {
            assert_eq!(checked(Some(path)), path);
        }
        for path in [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/a\\..\\evil",
            "https://evil.example",
            "javascript:alert(1)",
            "evil.example",
            " /device",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            "/device\r\nset-cookie: a=b",
            "/\u{0}",
            "/ü",
            "",
            &format!("/{}", "a".repeat(2_000)),
        ] {
            assert_eq!(checked(Some(path)), HOME, "{path:?}");
        }
        assert_eq!(checked(None), HOME);
    }
}
