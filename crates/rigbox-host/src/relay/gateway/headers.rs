//! Which headers pass between a guest and the AI proxy: all that belong to the message, none that
//! belong to the connection, and none that says who asks. Does not look at what a value means.

use http::{HeaderMap, HeaderName, header};

/// What belongs to one connection only. `expect` is answered here.
const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// What a guest says of where it is, which is known; or of its body's length, which is counted.
const OF_THE_GUEST: [&str; 5] = ["host", "cookie", "forwarded", "x-real-ip", "content-length"];

/// What a guest may say to the proxy itself. All else with our prefix is ours to say.
const TO_THE_PROXY: [&str; 3] =
    ["x-rigbox-subject", "x-rigbox-subject-budget", "x-rigbox-subject-rate"];

/// The headers of a guest's request that the proxy gets.
pub(super) fn outward(headers: &HeaderMap) -> HeaderMap {
    kept(headers, |name| {
        let ours = name.starts_with("x-rigbox-") && !TO_THE_PROXY.contains(&name);
        !ours && !name.starts_with("x-forwarded-") && !OF_THE_GUEST.contains(&name)
    })
}

/// The headers of the proxy's answer that the guest gets.
pub(super) fn inward(headers: &HeaderMap) -> HeaderMap {
    kept(headers, |_| true)
}

/// The headers of the message that `passes` lets through, with all their values in their order.
fn kept(headers: &HeaderMap, passes: impl Fn(&str) -> bool) -> HeaderMap {
    let named = |name: &HeaderName| {
        let lists =
            headers.get_all(header::CONNECTION).iter().filter_map(|list| list.to_str().ok());
        let mut words = lists.flat_map(|list| list.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(name.as_str()))
    };
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let text = name.as_str();
        if passes(text) && !OF_THE_CONNECTION.contains(&text) && !named(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}
