//! How a browser comes to be known at an app: it is sent to sign in, comes back with a token, and gets
//! a cookie for this host alone. Answers the paths under `/.rigbox/`, which no app ever sees.
//! Invariants: nobody is sent anywhere but to the sign-in page that control named, or to a path of the
//! same host; a token is taken only with the cookie that the same browser got before it left.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use rigbox_types::{
    api::error::ErrorCode,
    edge::{EdgeSettings, Exchange, Exchanged},
};
use ring::digest;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Showed, Turned, admissions::ASK_TIMEOUT, cookies};
use crate::{body::EdgeBody, clock, edge::Edge, headers::REQUEST_ID, pages::Refusal, table::App};

/// Under this, paths are ours.
const OURS: &str = "/.rigbox/";

const ENTER: &str = "/.rigbox/enter";
const LINK: &str = "/.rigbox/link";
const LEAVE: &str = "/.rigbox/leave";

/// Longest path that a browser is sent back to.
const PATH_MAX_LEN: usize = 4_096;

/// Longest token that is looked at.
const TOKEN_MAX_LEN: usize = 512;

/// Whether a path is one that the edge answers.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with(OURS) || path == "/.rigbox"
}

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    token: String,
    #[serde(default)]
    path: String,
}

/// Answers a path of ours.
pub(crate) async fn answer<B>(
    edge: &Edge,
    app: &App,
    name: &str,
    request: &Request<B>,
    id: &HeaderValue,
) -> Result<Response<EdgeBody>, Refusal> {
    let uri = request.uri();
    let known = [ENTER, LINK, LEAVE].contains(&uri.path());
    if !known {
        let message = "there is no such page";
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message));
    }
    if request.method() != Method::GET {
        let message = "this path is only to be read";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal::new(status, ErrorCode::InvalidRequest, message));
    }
    let query = uri.query().unwrap_or_default();
    let query: Query = serde_urlencoded::from_str(query)
        .map_err(|_| Refusal::malformed("the address is not complete"))?;
    let path = if is_own_path(&query.path) { query.path.as_str() } else { "/" };
    if uri.path() == LEAVE {
        let set = [cookies::unset_app(), cookies::unset_state()];
        return Ok(see_other(StatusCode::SEE_OTHER, path, set, id));
    }
    let state = match uri.path() {
        ENTER => {
            let state = cookies::state(request.headers());
            Some(state.ok_or_else(|| refused(path))?.to_owned())
        }
        _ => None,
    };
    if query.token.is_empty() || query.token.len() > TOKEN_MAX_LEN {
        return Err(refused(path));
    }
    let app_id = app.route.app.clone();
    let exchange =
        Exchange { app: app_id, name: name.to_owned(), token: query.token.clone(), state };
    let ask = async {
        let turn = edge.admissions.turn(app).await;
        let asked = edge.control.json(Method::POST, "/internal/v1/edge/exchanges", &exchange).await;
        drop(turn);
        asked
    };
    let Ok(asked) = timeout(ASK_TIMEOUT, ask).await else {
        tracing::warn!(app = %app.route.app, "token not exchanged in time");
        return Err(Refusal::unavailable("signing in is not possible right now"));
    };
    match asked {
        Ok(Exchanged::Cookie { value, expires_at }) => {
            let left = (expires_at.as_micros() - clock::now_micros()).max(0) / 1_000_000;
            let set = cookies::set_app(&value, u64::try_from(left).unwrap_or_default());
            let set = set.ok_or_else(|| refused(path))?;
            Ok(see_other(StatusCode::SEE_OTHER, path, [Some(set), cookies::unset_state()], id))
        }
        Ok(Exchanged::Refused) => Err(refused(path)),
        Err(error) => {
            tracing::warn!(app = %app.route.app, %error, "token not exchanged");
            Err(Refusal::unavailable("signing in is not possible right now"))
        }
    }
}

/// What somebody is answered who may not pass.
pub(crate) fn turned<B>(
    settings: Option<&EdgeSettings>,
    name: &str,
    request: &Request<B>,
    turned: &Turned,
    id: &HeaderValue,
) -> Result<Response<EdgeBody>, Refusal> {
    let forbidden = |message| Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message);
    match turned {
        Turned::TwoKeys => Err(Refusal::malformed("a request may show one key")),
        Turned::Unknown if is_navigation(request.method(), request.headers()) => {
            let settings = settings
                .ok_or_else(|| Refusal::unavailable("signing in is not possible right now"))?;
            sign_in(settings, name, request.uri(), id)
        }
        Turned::Unknown => Err(unauthenticated()),
        Turned::NotEnough(Showed::Cookie) => Err(Refusal {
            link: Some((LEAVE.to_owned(), "Sign in as somebody else")),
            ..forbidden("this app is not shown to you")
        }),
        Turned::NotEnough(_) => Err(forbidden("what was shown is not enough to visit this app")),
        Turned::ForeignOrigin => {
            Err(forbidden("a page of another origin may not ask this with a cookie"))
        }
        Turned::ControlAway => Err(Refusal::unavailable("who you are cannot be checked right now")),
    }
}

/// To whoever shows nothing that counts.
pub(crate) fn unauthenticated() -> Refusal {
    let message = "this app is not public: sign in, or send a key as X-Rigbox-Key";
    Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, message)
}

/// Sends a browser to sign in.
fn sign_in(
    settings: &EdgeSettings,
    name: &str,
    uri: &Uri,
    id: &HeaderValue,
) -> Result<Response<EdgeBody>, Refusal> {
    let failed = || Refusal::unavailable("signing in is not possible right now");
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| failed())?;
    let state = hex(&secret);
    let hash = hex(digest::digest(&digest::SHA256, state.as_bytes()).as_ref());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if is_own_path(path) { path } else { "/" };
    let query = serde_urlencoded::to_string([("name", name), ("path", path), ("state", &hash)])
        .map_err(|_| failed())?;
    let to = format!("{}/visit?{query}", settings.sign_in_origin);
    let set = cookies::set_state(&state).ok_or_else(failed)?;
    Ok(see_other(StatusCode::FOUND, &to, [Some(set), None], id))
}

/// Whether a person goes to a page, so that another one may be shown instead.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    if method != Method::GET {
        return false;
    }
    match headers.get("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => crate::pages::for_people(headers),
    }
}

/// Whether text is a path of this host, and no browser can read anything else in it.
fn is_own_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path.len() <= PATH_MAX_LEN
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && !is_ours(path)
}

/// A token that is of no use: most often it is too old.
fn refused(path: &str) -> Refusal {
    let message = "this link is not valid, or no longer";
    let refusal = Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message);
    Refusal { link: Some((path.to_owned(), "Try again")), ..refusal }
}

fn see_other(
    status: StatusCode,
    to: &str,
    set: [Option<HeaderValue>; 2],
    id: &HeaderValue,
) -> Response<EdgeBody> {
    let mut answer = Response::new(EdgeBody::empty());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let to = HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    headers.insert(header::LOCATION, to);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address has a token in it, or where a visitor wanted to go.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for value in set.into_iter().flatten() {
        headers.append(header::SET_COOKIE, value);
    }
    headers.insert(REQUEST_ID, id.clone());
    answer
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_host_is_one() {
        for path in ["/", "/a?b=c&d=%2F", "/a//b", "/rigbox", "/.rigboxes"] {
            assert!(is_own_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//evil",
            "/\\evil",
            "\\\\evil",
            "https://evil",
            "/a b",
            "/a\r\nX: y",
            "/ä",
            "/.rigbox/leave",
            "/a\\b",
            "/\t/evil",
        ] {
            assert!(!is_own_path(path), "{path:?}");
        }
    }
}
