//! The few pages that people need before there is a dashboard: signing in and out, setting a
//! password, letting a command line in, and looking after one's sessions.
//! Invariants: everything is rendered here, works without scripts and is escaped; a GET changes
//! nothing; a POST shows that our own page sent it, and, once somebody is signed in, carries a token
//! of their session. Answers are kept by nobody, and no other page may hold them in a frame.
//! Does not decide anything: see `identity`.

mod answer;
mod device;
mod entry;
mod form;
mod layout;
mod next;
mod oidc;
mod password;
mod second_factor;
mod security;
mod sign_in;
mod visit;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, header};

use crate::{control::Control, error::ApiError};
use answer::{PageError, PageResult};

/// The style of all pages.
const STYLE: &str = include_str!("style.css");

/// Where it is; changed with its content, because browsers keep it.
const STYLE_PATH: &str = "/assets/pages-1.css";

/// The pages.
pub(crate) fn router(control: &Arc<Control>) -> Router<Arc<Control>> {
    Router::new()
        .route("/", get(sign_in::home))
        .route("/visit", get(visit::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-in/code", get(second_factor::ask).post(second_factor::show))
        .route("/device", get(device::show).post(device::decide))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/setup", get(password::setup).post(password::submit))
        .route("/password", get(password::password).post(password::submit))
        .route("/security", get(security::show))
        .route("/security/password", post(security::change))
        .route("/security/sessions", post(security::end))
        .route("/security/second-factor", get(second_factor::offered))
        .route("/security/second-factor/start", post(second_factor::start))
        .route("/security/second-factor/confirm", post(second_factor::confirm))
        .route("/security/second-factor/remove", post(second_factor::remove))
        .route("/security/recovery-codes", post(second_factor::renew_codes))
        .route("/auth/oidc/{name}", get(oidc::begin))
        .route("/auth/oidc/{name}/callback", get(oidc::finish))
        .route("/auth/connect", get(oidc::connect).post(oidc::connected))
        .route("/auth/disconnect", post(oidc::disconnect))
        .route_layer(from_fn_with_state(control.clone(), entry::enter))
        .route(STYLE_PATH, get(style))
}

/// A refusal as a page.
pub(crate) fn refusal(error: ApiError) -> Response {
    let mut response = PageError::from(error).into_response();
    entry::protect(response.headers_mut());
    response
}

/// The style sheet. The only answer that is kept.
async fn style() -> impl IntoResponse {
    let kept = HeaderValue::from_static("public, max-age=86400, immutable");
    let css = HeaderValue::from_static("text/css; charset=utf-8");
    ([(header::CONTENT_TYPE, css), (header::CACHE_CONTROL, kept), entry::NO_SNIFF], STYLE)
}
