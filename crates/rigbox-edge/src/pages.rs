//! What the edge answers itself: a small page for people, the API's error document for programs.
//! Invariant: nothing of a request is in a page, except where it is a path that was checked; a page has
//! no script and asks nobody for anything. Does not decide what to refuse.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rigbox_types::api::error::{ApiErrorBody, ApiErrorDetail, ErrorCode};

use crate::{body::EdgeBody, headers::REQUEST_ID};

/// A request that is not passed on, or that nobody answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    /// For people and programs.
    pub(crate) message: &'static str,
    /// Where a person can go on, as a path of this host.
    pub(crate) link: Option<(String, &'static str)>,
    pub(crate) retry_after_s: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: &'static str) -> Self {
        Self { status, code, message, link: None, retry_after_s: None }
    }

    /// The request is not one that can be passed on without doubt.
    pub(crate) fn malformed(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, message)
    }

    /// Too fast, or too much at once.
    pub(crate) fn rate(message: &'static str, retry_after_s: u32) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, message);
        Self { retry_after_s: Some(retry_after_s), ..refusal }
    }

    /// No app has this name.
    pub(crate) fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is no app at this address")
    }

    /// The connection was made for another name; over a new one the request may be right.
    pub(crate) fn misdirected() -> Self {
        let message = "this connection was made for another host name";
        Self::new(StatusCode::MISDIRECTED_REQUEST, ErrorCode::InvalidRequest, message)
    }

    /// What does not answer now, but may later.
    pub(crate) fn unavailable(message: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
    }

    /// As a page or a document.
    pub(crate) fn answer(&self, for_people: bool, id: HeaderValue) -> Response<EdgeBody> {
        let (text, kind) = if for_people {
            (page(self, &id), "text/html; charset=utf-8")
        } else {
            (self.document(), "application/json")
        };
        let mut answer = Response::new(EdgeBody::full(Bytes::from(text)));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if for_people {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; \
                          base-uri 'none'; form-action 'none'";
            let policy = HeaderValue::from_static(policy);
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.insert(REQUEST_ID, id);
        answer
    }

    fn document(&self) -> Vec<u8> {
        let details = self
            .retry_after_s
            .map_or(serde_json::Value::Null, |s| serde_json::json!({ "retry_after_s": s }));
        let error = ApiErrorDetail { code: self.code, message: self.message.to_owned(), details };
        serde_json::to_vec(&ApiErrorBody { error }).unwrap_or_default()
    }
}

/// Whether somebody looks who wants a page.
pub(crate) fn for_people(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn page(refusal: &Refusal, id: &HeaderValue) -> Vec<u8> {
    let status = refusal.status.as_u16();
    let reason = refusal.status.canonical_reason().unwrap_or("Error");
    let message = refusal.message;
    let link = match &refusal.link {
        Some((path, text)) => format!("<p><a href=\"{}\">{text}</a>", escaped(path)),
        None => String::new(),
    };
    let id = escaped(id.to_str().unwrap_or_default());
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><meta name=color-scheme \
         content=\"light dark\"><meta name=robots content=noindex><title>{status} {reason}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;\
         padding:0 1rem}}h1{{font-size:1.25rem}}small{{opacity:.6}}a{{color:inherit}}</style>\
         <h1>{status} {reason}</h1><p>{message}.{link}<p><small>request {id}</small></html>\n"
    )
    .into_bytes()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
