//! The cookies of a browser, and the proof that our own page asked for something.
//! Invariants: a cookie is for this host alone, not to be read by scripts, and over TLS not to be
//! set by another host or over a plain connection (`__Host-`); a request that changes something and
//! is known by a cookie says that it comes from our own origin. Browsers refuse `__Host-` over plain
//! HTTP, so on this machine, without TLS, names go without it.

use ::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use rigbox_types::api::error::ErrorCode;

use crate::{
    authn::SessionToken,
    error::{ApiError, ApiResult},
};

const SESSION: &str = "rigbox-session";
/// A session that waits for the second factor.
const PENDING: &str = "rigbox-pending";
/// Knows a browser in which somebody has signed in before.
const DEVICE: &str = "rigbox-device";
/// A one-time link, while its page is open.
const LINK: &str = "rigbox-link";
/// A sign-in at a provider, while it is under way.
const FLOW: &str = "rigbox-oidc";
/// Who somebody is to a provider, until an account is connected with it.
const CONNECT: &str = "rigbox-connect";

/// The session's own end comes before: the cookie goes with the browser at the latest after that.
const SESSION_MAX_AGE_S: u32 = 30 * 24 * 3600;
const PENDING_MAX_AGE_S: u32 = 600;
const DEVICE_MAX_AGE_S: u32 = 400 * 24 * 3600;
const LINK_MAX_AGE_S: u32 = 3600;
const TICKET_MAX_AGE_S: u32 = 600;

/// Longest cookie header that is looked at.
const MAX_LEN: usize = 8 * 1024;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How cookies are written and read here.
pub(crate) struct Cookies {
    /// The API's public origin, without a path.
    origin: String,
    /// Whether browsers reach it over TLS.
    secure: bool,
}

impl Cookies {
    /// For an installation whose API is at this address.
    pub(crate) fn new(api_url: &str) -> Self {
        let origin = origin_of(api_url).unwrap_or_default();
        Self { secure: origin.starts_with("https://"), origin }
    }

    /// The token of a session.
    pub(crate) fn session<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        self.find(headers, SESSION)
    }

    /// The token of a session that waits for the second factor.
    pub(crate) fn pending<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        self.find(headers, PENDING)
    }

    /// What knows the browser.
    pub(crate) fn device<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        self.find(headers, DEVICE)
    }

    /// The secret of a one-time link.
    pub(crate) fn link<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        self.find(headers, LINK)
    }

    /// The ticket of a sign-in at a provider.
    pub(crate) fn flow<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        self.find(headers, FLOW)
    }

    /// The ticket of an identity that waits for an account.
    pub(crate) fn connect<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        self.find(headers, CONNECT)
    }

    pub(crate) fn set_session(&self, token: &SessionToken) -> HeaderValue {
        self.set(SESSION, token.expose(), SESSION_MAX_AGE_S)
    }

    pub(crate) fn set_pending(&self, token: &SessionToken) -> HeaderValue {
        self.set(PENDING, token.expose(), PENDING_MAX_AGE_S)
    }

    pub(crate) fn set_device(&self, value: &str) -> HeaderValue {
        self.set(DEVICE, value, DEVICE_MAX_AGE_S)
    }

    pub(crate) fn set_link(&self, secret: &str) -> HeaderValue {
        self.set(LINK, secret, LINK_MAX_AGE_S)
    }

    pub(crate) fn set_flow(&self, ticket: &str) -> HeaderValue {
        self.set(FLOW, ticket, TICKET_MAX_AGE_S)
    }

    pub(crate) fn set_connect(&self, ticket: &str) -> HeaderValue {
        self.set(CONNECT, ticket, TICKET_MAX_AGE_S)
    }

    pub(crate) fn clear_flow(&self) -> HeaderValue {
        self.set(FLOW, "", 0)
    }

    pub(crate) fn clear_connect(&self) -> HeaderValue {
        self.set(CONNECT, "", 0)
    }

    pub(crate) fn clear_session(&self) -> HeaderValue {
        self.set(SESSION, "", 0)
    }

    pub(crate) fn clear_pending(&self) -> HeaderValue {
        self.set(PENDING, "", 0)
    }

    pub(crate) fn clear_link(&self) -> HeaderValue {
        self.set(LINK, "", 0)
    }

    fn name(&self, name: &str) -> String {
        if self.secure { format!("__Host-{name}") } else { name.to_owned() }
    }

    fn set(&self, name: &str, value: &str, max_age_s: u32) -> HeaderValue {
        let (name, secure) = (self.name(name), if self.secure { "; Secure" } else { "" });
        let text =
            format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
        // Names and values are ours: hex, base64url, digits and dots.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// The value of a cookie, if there is just one of this name. Others may have any bytes: every host
    /// below this one can set some that are sent here, too.
    fn find<'h>(&self, headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
        let name = self.name(name);
        let values = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let values = values.filter(|value| value.len() <= MAX_LEN);
        let mut found =
            values.flat_map(|value| value.split(|byte| *byte == b';')).filter_map(|pair| {
                let pair = pair.trim_ascii();
                let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                (!value.is_empty()).then_some(value)
            });
        let (value, None) = (found.next()?, found.next()) else { return None };
        std::str::from_utf8(value).ok()
    }

    /// Refuses what another site made the browser send. Where it changes something, the request must
    /// say that it comes from here; where not, it must not say that it comes from elsewhere.
    pub(crate) fn check_origin(&self, headers: &HeaderMap, changes: bool) -> ApiResult<()> {
        let one = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?;
            Some(value.to_str().ok().filter(|_| values.next().is_none()).unwrap_or_default())
        };
        let site_is_own = one(FETCH_SITE).map(|site| site == "same-origin");
        // `none`: typed, or from a bookmark. A page never sends anything so.
        let is_typed = !changes && one(FETCH_SITE) == Some("none");
        let origin_is_own = one(header::ORIGIN).map(|origin| self.is_own(origin, headers));
        let contradicts = site_is_own == Some(false) && !is_typed || origin_is_own == Some(false);
        let proves = site_is_own == Some(true) || origin_is_own == Some(true);
        if contradicts || (changes && !proves) {
            let text = "this request does not come from a page of this installation; \
                        programs send a key in the header Authorization";
            return Err(ApiError::new(ErrorCode::Forbidden, text));
        }
        Ok(())
    }

    /// Whether an origin is this installation's: the public one, or, without TLS, the name by which
    /// it was called.
    fn is_own(&self, origin: &str, headers: &HeaderMap) -> bool {
        let origin = origin.to_ascii_lowercase();
        if origin == self.origin {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let scheme = if self.secure { "https" } else { "http" };
        // A name that leads here is no proof without TLS: anybody's can, for a moment.
        let is_ours = self.secure || is_this_machine(&host);
        !host.is_empty() && is_ours && origin == format!("{scheme}://{host}")
    }
}

/// Whether a host, with its port, is an address or a name that leads nowhere else.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<::http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// Scheme and authority of an address, in lower case.
fn origin_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    Some(format!("{scheme}://{}", authority.as_str().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn over_tls_only_a_cookie_counts_that_no_other_host_can_set() {
        let cookies = Cookies::new("https://rigbox.example");
        let of = |text: &str| cookies.session(&headers(&[("cookie", text)])).map(str::to_owned);
        assert_eq!(of("a=b; __Host-rigbox-session=x").as_deref(), Some("x"));
        assert_eq!(of("rigbox-session=x"), None);
        assert_eq!(of("__Host-rigbox-session=x; __Host-rigbox-session=y"), None);
        let letters = HeaderValue::from_bytes(b"a=\xe4; __Host-rigbox-session=x; b=\xff").unwrap();
        let letters = HeaderMap::from_iter([(header::COOKIE, letters)]);
        assert_eq!(cookies.session(&letters), Some("x"), "another host's cookie hides none");
        let set = cookies.set("rigbox-session", "x", 7);
        assert_eq!(
            set.to_str().unwrap(),
            "__Host-rigbox-session=x; Path=/; Max-Age=7; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(!format!("{set:?}").contains("session=x"));
        let plain = Cookies::new("http://127.0.0.1:7070").set("rigbox-session", "x", 7);
        assert_eq!(
            plain.to_str().unwrap(),
            "rigbox-session=x; Path=/; Max-Age=7; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn a_change_must_come_from_our_own_origin() {
        let cookies = Cookies::new("https://rigbox.example");
        let check = |pairs: &[(&str, &str)], looks: bool, changes: bool| {
            let headers = headers(pairs);
            assert_eq!(cookies.check_origin(&headers, false).is_ok(), looks, "{pairs:?} looks");
            assert_eq!(cookies.check_origin(&headers, true).is_ok(), changes, "{pairs:?} changes");
        };
        let host = ("host", "rigbox.example");
        check(&[host], true, false);
        check(&[host, ("origin", "https://rigbox.example")], true, true);
        check(&[host, ("origin", "http://rigbox.example")], false, false);
        check(&[host, ("origin", "https://app.rigbox.example")], false, false);
        check(&[host, ("origin", "null")], false, false);
        check(&[host, ("sec-fetch-site", "same-origin")], true, true);
        check(&[host, ("sec-fetch-site", "none")], true, false);
        check(&[host, ("sec-fetch-site", "same-site")], false, false);
        check(&[host, ("sec-fetch-site", "cross-site")], false, false);
        let both = [host, ("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")];
        check(&both, false, false);
        let both = [host, ("origin", "https://rigbox.example"), ("sec-fetch-site", "cross-site")];
        check(&both, false, false);
        // Without TLS a name is no proof, and an address is.
        let plain = Cookies::new("http://127.0.0.1:7070");
        for (host, is_own) in [
            ("127.0.0.1:7070", true),
            ("a.localhost:7070", true),
            ("[::1]:7070", true),
            ("evil.example:7070", false),
        ] {
            let origin = format!("http://{host}");
            let headers = headers(&[("host", host), ("origin", &origin)]);
            assert_eq!(plain.check_origin(&headers, true).is_ok(), is_own, "{host}");
        }
        // By another name that leads here.
        check(&[("host", "rigbox.lan"), ("origin", "https://rigbox.lan")], true, true);
    }
}
