//! What a page answers: a document, or a way to another page; and a refusal as a page of its own.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use rigbox_types::api::error::ErrorCode;

use super::layout::document;
use crate::error::ApiError;

/// What handlers of pages return.
pub(super) type PageResult = Result<Response, PageError>;

/// A refusal, shown as a page.
#[derive(Debug)]
pub(super) struct PageError(ApiError);

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let error = self.0;
        error.log();
        let title = title(error.code());
        let body = html! {
            h1 { (title) }
            p { (sentence(error.message())) }
            p { a href="/" { "Go to the start page" } }
        };
        let mut response = page(error.http_status(), title, None, &body);
        if let Some(seconds) = error.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A page. `out` is what the button to sign out with needs, where somebody is signed in.
pub(super) fn page(status: StatusCode, title: &str, out: Option<&str>, body: &Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let text = document(title, out, body).into_string();
    (status, [(header::CONTENT_TYPE, html)], text).into_response()
}

/// To another page, which is asked for with GET.
pub(super) fn see_other(to: &str) -> Response {
    // Paths are checked, or ours.
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// To where somebody wanted to go before they signed in. The page that leads to an app goes on to
/// another origin, to which browsers let no form lead, however many redirects are between.
pub(super) fn onward(to: &str) -> Response {
    if !to.starts_with("/visit?") {
        return see_other(to);
    }
    let body = html! {
        h1 { "Signed in" }
        p { a href=(to) { "Go on to the app" } }
    };
    let mut response = page(StatusCode::OK, "Signed in", None, &body);
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={to}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// Adds cookies to an answer.
pub(super) fn with_cookies(
    mut response: Response,
    cookies: impl IntoIterator<Item = HeaderValue>,
) -> Response {
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A message of the API as a sentence for people.
pub(super) fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|c| c.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}

fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "There is nothing here",
        ErrorCode::Unauthenticated => "You are not signed in",
        ErrorCode::Forbidden => "That is not allowed",
        ErrorCode::RateLimited => "Too many tries",
        ErrorCode::Unavailable | ErrorCode::CapacityExhausted => "Not just now",
        ErrorCode::Internal => "Something went wrong",
        _ => "That did not work",
    }
}
