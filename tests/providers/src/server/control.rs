//! What tests ask the simulator itself by HTTP, below `/sim/`: `GET requests`, `GET billed`,
//! `GET totals`, `PUT behaviour` (also `?model=NAME`), `POST reset`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Shared;
use crate::behaviour::Behaviour;

/// Answers one of them.
pub(super) fn answer(shared: &Arc<Shared>, parts: &Parts, body: &Bytes) -> Response<Full<Bytes>> {
    let what = parts.uri.path().strip_prefix("/sim/").unwrap_or_default();
    let (status, document) = match (&parts.method, what) {
        (&Method::GET, "requests") => {
            (StatusCode::OK, json!({ "requests": shared.with(|ledger| ledger.requests()) }))
        }
        (&Method::GET, "billed") => {
            (StatusCode::OK, json!({ "billed": shared.with(|ledger| ledger.billed()) }))
        }
        (&Method::GET, "totals") => (StatusCode::OK, json!(shared.with(|ledger| ledger.totals()))),
        (&Method::POST, "reset") => {
            shared.reset();
            (StatusCode::OK, json!({}))
        }
        (&Method::PUT, "behaviour") => change(shared, parts.uri.query(), body),
        _ => (StatusCode::NOT_FOUND, json!({ "error": "the simulator has no such page" })),
    };
    reply(status, &document)
}

fn change(shared: &Shared, query: Option<&str>, body: &Bytes) -> (StatusCode, Value) {
    match serde_json::from_slice::<Behaviour>(body) {
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error.to_string() })),
        Ok(behaviour) => {
            let pairs: Vec<(String, String)> =
                serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default();
            let model = pairs.into_iter().find(|(name, _)| name == "model");
            shared.change(|settings| match model {
                Some((_, model)) => settings.set(&model, behaviour),
                None => settings.default = behaviour,
            });
            (StatusCode::OK, json!({}))
        }
    }
}

/// A document as an answer.
pub(super) fn reply(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(document.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
