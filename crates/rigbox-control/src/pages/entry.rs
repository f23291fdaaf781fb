//! The way of every request to its page: a place, a limit by address, proof of origin, and what every
//! answer says to the browser. Also who is signed in.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use rigbox_types::{AccountId, Principal, SessionId, api::error::ErrorCode};
use tokio::time::timeout;

use super::{
    PageError,
    answer::{see_other, with_cookies},
    next,
};
use crate::{
    authn::{Caller, hex},
    control::Control,
    error::{ApiError, ApiResult},
    identity::http::own_session,
};

/// How long a page may take: the hashing of passwords has a queue.
const TIMEOUT: Duration = Duration::from_secs(60);

const BUSY_RETRY_S: u32 = 1;

/// Nothing from anywhere but here, no scripts at all, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) const NO_SNIFF: (HeaderName, HeaderValue) =
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// Somebody whose browser has a full session.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    pub(super) account: AccountId,
    pub(super) session: SessionId,
    /// Goes with every form, and is good for this session only.
    pub(super) form_token: String,
}

/// A page is asked for by who has to sign in first.
pub(super) struct NotSignedIn(Response);

/// The new cookie of a session whose secret was changed on the way in.
#[derive(Clone)]
struct Renewed(HeaderValue);

/// Lets one request in.
pub(super) async fn enter(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let mut renewed = None;
    let answered = admit(&control, request, (next, &mut renewed)).await;
    let mut response = answered.unwrap_or_else(|error| PageError::from(error).into_response());
    let headers = response.headers_mut();
    protect(headers);
    // Where the page itself has set the cookie, that is the newer one.
    match renewed {
        Some(Renewed(cookie)) if !headers.contains_key(header::SET_COOKIE) => {
            with_cookies(response, [cookie])
        }
        _ => response,
    }
}

/// Says what browsers may do with a page.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: browsers then hide the origin from our own forms, too.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let (name, value) = NO_SNIFF;
    headers.insert(name, value);
}

async fn admit(
    control: &Arc<Control>,
    mut request: Request,
    (next, renewed): (Next, &mut Option<Renewed>),
) -> ApiResult<Response> {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    let place = control.places.take(false)?;
    if let Some(from) = from {
        control.rates.draw_open(from)?;
    }
    let changes = !request.method().is_safe();
    if changes {
        // Also without a session: nobody is signed in, or out, by another site's page.
        control.authn.cookies.check_origin(request.headers(), true)?;
    }
    let caller = caller(control, request.headers()).await?;
    let _share = match caller {
        Some(_) => None,
        None => control.places.of_stranger(from)?,
    };
    if let Some(caller) = caller {
        *renewed = caller.renewed.clone().map(Renewed);
        if let Some(signed_in) = SignedIn::of(control, &caller.principal) {
            request.extensions_mut().insert(signed_in);
        }
    }
    let work = timeout(TIMEOUT, next.run(request));
    let response =
        work.await.map_err(|_| ApiError::unavailable("this took too long", BUSY_RETRY_S))?;
    drop(place);
    Ok(response)
}

/// Who asks, if anybody who is known.
async fn caller(control: &Control, headers: &HeaderMap) -> ApiResult<Option<Caller>> {
    let presented = match control.authn.presented(headers) {
        Ok(presented) if presented.is_cookie() => presented,
        Ok(_) | Err(_) => return Ok(None),
    };
    match control.authn.caller(&control.store, &presented).await {
        Ok(caller) => Ok(Some(caller)),
        Err(error) if error.code() == ErrorCode::Unauthenticated => Ok(None),
        Err(error) => Err(error),
    }
}

impl SignedIn {
    fn of(control: &Control, who: &Principal) -> Option<Self> {
        let (session, Principal::Key { account, .. }) = (own_session(who)?, who) else {
            return None;
        };
        let form_token = hex(&control.authn.hasher.tag("form", &session.to_string()));
        Some(Self { account: *account, session, form_token })
    }
}

impl FromRequestParts<Arc<Control>> for SignedIn {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> Result<Self, NotSignedIn> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            // A form that was sent is not sent again.
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let path = if parts.method.is_safe() { next::checked(Some(path)) } else { next::HOME };
            NotSignedIn(see_other(&format!("/sign-in?{}", next::encoded(path))))
        })
    }
}

impl OptionalFromRequestParts<Arc<Control>> for SignedIn {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<Control>,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl axum::response::IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        self.0
    }
}
