//! What a workspace wrote to its console, as its host keeps it: there before the agent is, and after.

use axum::body::Body;
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use rigbox_types::{
    Authorised, WorkspaceId,
    guest::{GetWorkspaceLogsResponse, LogLine},
};

use super::agent::{from_fabric, timely};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::access::ForWorkspace,
};

/// Largest console of a host, with room.
const CONSOLE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The first or the last lines of the console.
pub(super) async fn page(
    control: &Control,
    about: &ForWorkspace,
) -> ApiResult<GetWorkspaceLogsResponse> {
    for name in ["cursor", "unit"] {
        if about.params.text(name).is_some() {
            return Err(ApiError::field(name, "does not go with source=console"));
        }
    }
    let text = timely(read(control, &about.id, about)).await?;
    let most = usize::try_from(about.params.number("lines")).unwrap_or(usize::MAX);
    let all: Vec<&str> = text.lines().collect();
    let skipped = match about.params.text("direction") {
        Some("oldest") => 0,
        _ => all.len().saturating_sub(most),
    };
    let lines: Vec<LogLine> = (1..)
        .zip(all.iter().skip(skipped).take(most))
        .map(|(line_number, line)| LogLine {
            line_number,
            message: (*line).to_owned(),
            timestamp: None,
            cursor: None,
            unit: None,
            priority: None,
        })
        .collect();
    let has_more = lines.len() < all.len();
    Ok(GetWorkspaceLogsResponse { lines, cursor: None, has_more })
}

async fn read(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    about: &ForWorkspace,
) -> ApiResult<String> {
    let client = control.host_client(&about.row).await?;
    let mut request = http::Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() =
        format!("/v1/workspaces/{}/console", id.target()).parse().unwrap_or_default();
    let response = client.request(request).await.map_err(from_fabric)?;
    if response.status() == http::StatusCode::NOT_FOUND {
        // The host has nothing of it: it was never started.
        return Ok(String::new());
    }
    let response = client.accepted(response).await.map_err(from_fabric)?;
    let body = Limited::new(response.into_body(), CONSOLE_MAX_BYTES).collect().await;
    let bytes = body.map_err(|error| {
        ApiError::unavailable("the workspace's console cannot be read", 2).because(error)
    })?;
    Ok(String::from_utf8_lossy(&bytes.to_bytes()).into_owned())
}
