//! Carries a request of control to the agent of a guest, and a stream that it is upgraded to.
//! Invariants: only listed headers pass; the guest's answer is bounded, and never trusted for more
//! than its status, its kind and its bytes.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rigbox_fabric::task;
use rigbox_guest::client::{Agent, AgentError};
use rigbox_types::{
    WorkspaceId,
    api::error::ErrorCode,
    guest::{EXEC_UPGRADE, FILE_MODE_HEADER},
};
use tokio::io::copy_bidirectional;

use super::{allow, refuse};
use crate::{host::Host, metrics::count};

/// What passes to the guest. An upgrade is made anew, because its headers belong to a connection.
const PASSED: [HeaderName; 3] = [header::ACCEPT, header::CONTENT_TYPE, header::CONTENT_LENGTH];

/// What passes back.
const PASSED_BACK: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, HeaderName::from_static(FILE_MODE_HEADER)];

pub(super) async fn forward(
    State(host): State<Arc<Host>>,
    Path((workspace, path)): Path<(WorkspaceId, String)>,
    mut request: Request,
) -> Response {
    let Some(limits) = allow::limits(request.method(), &path) else {
        return refuse(ErrorCode::NotFound, "no such operation of a guest");
    };
    let Some(view) = host.table.view(&workspace) else {
        return refuse(ErrorCode::NotFound, "this host does not have that workspace");
    };
    let Some(agent) = view.agent else {
        return refuse(ErrorCode::Unavailable, "the workspace does not run");
    };
    let Some(uri) = agent_uri(&path, request.uri().query()) else {
        return refuse(ErrorCode::InvalidRequest, "the path is not well-formed");
    };
    count(&host.metrics.guest_requests_total);
    let upgrade = wants_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let mut onward = http::Request::new(Body::empty());
    *onward.method_mut() = request.method().clone();
    *onward.uri_mut() = uri;
    copy_headers(&PASSED, request.headers(), onward.headers_mut());
    if upgrade.is_some() {
        upgrade_headers(onward.headers_mut());
    }
    *onward.body_mut() = request.into_body();
    let mut answer = match Agent::new(agent).forward(onward, limits).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::info!(%workspace, %path, %error, "guest does not answer");
            return refuse(code_of(&error), "the workspace does not answer");
        }
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(upgrade) = upgrade else {
            return refuse(ErrorCode::Internal, "the workspace answered out of turn");
        };
        let inner = hyper::upgrade::on(&mut answer);
        task::spawn("host.guest.stream", async move {
            if let (Ok(outer), Ok(inner)) = tokio::join!(upgrade, inner) {
                let (mut outer, mut inner) = (TokioIo::new(outer), TokioIo::new(inner));
                // Either side may end it at any time.
                drop(copy_bidirectional(&mut outer, &mut inner).await);
            }
        });
        let mut switched = Response::new(Body::empty());
        *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        upgrade_headers(switched.headers_mut());
        return switched;
    }
    let (head, body) = answer.into_parts();
    let mut back = Response::new(Body::new(body));
    *back.status_mut() = head.status;
    copy_headers(&PASSED_BACK, &head.headers, back.headers_mut());
    back
}

fn agent_uri(path: &str, query: Option<&str>) -> Option<Uri> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{path}{query}").parse().ok()
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes() == EXEC_UPGRADE.as_bytes())
}

fn upgrade_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(EXEC_UPGRADE));
}

fn copy_headers(names: &[HeaderName], from: &HeaderMap, to: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name, value.clone());
        }
    }
}

fn code_of(error: &AgentError) -> ErrorCode {
    match error {
        AgentError::Request(_) => ErrorCode::InvalidRequest,
        AgentError::Connect(_)
        | AgentError::Refused { .. }
        | AgentError::TimedOut(_)
        | AgentError::Http(_)
        | AgentError::Protocol(_) => ErrorCode::Unavailable,
    }
}
