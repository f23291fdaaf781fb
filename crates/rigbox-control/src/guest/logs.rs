//! The journal of a workspace: pages, and following as server-sent events.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{Response, sse::Event},
};
use futures_util::stream;
use http::{HeaderMap, Method};
use rigbox_types::{
    guest::{GetWorkspaceLogsResponse, LogLine, services::UNIT_PREFIX},
    limits::LOG_LINES_MAX,
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    guest::{console, lines::Lines},
    http::{
        access::{ForWorkspace, NameOf},
        params::Params,
        sse,
    },
};

/// A page of the journal.
pub(crate) async fn workspace_logs(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<GetWorkspaceLogsResponse>> {
    if about.params.text("source") == Some("console") {
        return console::page(&control, &about).await.map(Json);
    }
    let unit = about.params.text("unit").map(str::to_owned);
    page(&control, &about, unit).await
}

/// A page of one service's journal.
pub(crate) async fn workspace_service_logs(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    NameOf(name): NameOf<String>,
) -> ApiResult<Json<GetWorkspaceLogsResponse>> {
    let known = super::services::specs(&control, &about.row).await?;
    if !known.iter().any(|row| row.spec.name == name) {
        return Err(ApiError::not_found("service"));
    }
    page(&control, &about, Some(format!("{UNIT_PREFIX}{name}.service"))).await
}

async fn page(
    control: &Control,
    about: &ForWorkspace,
    unit: Option<String>,
) -> ApiResult<Json<GetWorkspaceLogsResponse>> {
    let lines = about.params.number("lines").to_string();
    let direction = about.params.text("direction").unwrap_or("newest");
    let mut pairs = vec![("lines", lines.as_str()), ("direction", direction)];
    pairs.extend(about.params.text("cursor").map(|cursor| ("cursor", cursor)));
    pairs.extend(unit.as_deref().map(|unit| ("unit", unit)));
    let query = serde_urlencoded::to_string(pairs).map_err(ApiError::internal)?;
    let agent = control.agent(about, "read its logs").await?;
    let mut page: GetWorkspaceLogsResponse = agent.get(&format!("/logs?{query}")).await?;
    page.lines.truncate(usize::try_from(LOG_LINES_MAX).unwrap_or(usize::MAX));
    Ok(Json(page))
}

/// Follows the journal.
pub(crate) async fn workspace_logs_stream(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    about: ForWorkspace,
) -> ApiResult<Response> {
    // What the reader saw last beats where it once began.
    let cursor = sse::last_event_id(&headers).or_else(|| about.params.text("cursor"));
    let path = format!("/logs/stream?{}", stream_query(&about.params, cursor)?);
    let agent = control.agent(&about, "follow its logs").await?;
    let request = agent.request(Method::GET, &path, Body::empty());
    let answer = agent.open_soon(request).await?;
    let events =
        stream::unfold((Lines::new(answer.into_body()), 0_u64), |(mut lines, count)| async move {
            let mut line: LogLine = lines.next().await?;
            let count = count.saturating_add(1);
            line.line_number = count;
            let event: Event = sse::event("line", line.cursor.as_deref(), &line);
            Some((event, (lines, count)))
        });
    Ok(sse::response(events, control.shutdown.clone()))
}

fn stream_query(params: &Params, cursor: Option<&str>) -> ApiResult<String> {
    let pairs: Vec<_> = cursor
        .map(|cursor| ("cursor", cursor))
        .into_iter()
        .chain(params.text("unit").map(|unit| ("unit", unit)))
        .collect();
    serde_urlencoded::to_string(pairs).map_err(ApiError::internal)
}
