//! Where an app's logs are, and what is in them.
//! Invariants: a unit is read through the guest's journal; a file with no more rights than the user that
//! people work as inside; only who may enter the workspace names a place in it; who may no more than see
//! the app reads its primary unit, other units take the right to see the workspace, and files, as
//! everywhere, the right to enter it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{Response, sse::Event},
};
use futures_util::stream;
use http::{HeaderMap, Method};
use rigbox_store::app_log_sources::{AppLogSourceRow, LogPlace};
use rigbox_types::{
    AppLogSourceId, Authorised, Right, WorkspaceId,
    api::{
        app_logs::{
            AppLogSource, CreateAppLogSourceRequest, GetAppLogSourceResponse, GetAppLogsResponse,
            ListAppLogSourcesResponse, UpdateAppLogSourceRequest,
        },
        change::Change,
        error::ErrorCode,
        services::LogSourceType,
        workspaces::MessageResponse,
    },
    guest::{GetWorkspaceLogsResponse, LogLine},
    limits::{LOG_LINES_MAX, PATH_MAX_LEN},
    text::{Title, check_line},
};

use super::guest;
use crate::{
    access_control::Permit,
    control::Control,
    error::{ApiError, ApiResult},
    guest::{
        agent::{Agent, check_running},
        lines::Lines,
    },
    http::{
        access::{ForApp, SourceId},
        body::Document,
        sse,
    },
    source::random,
};

/// Who reads files of logs.
const READER: &str = "developer";

/// Longest line of a file that is handed on, in bytes.
const LINE_MAX_BYTES: usize = 16 * 1024;

/// Longest name of a unit, as systemd has it.
const UNIT_MAX_LEN: usize = 255;

/// Lists.
pub(crate) async fn app_log_source_list(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<ListAppLogSourcesResponse>> {
    let rows = control.store.app_log_sources().list(about.id.target()).await?;
    Ok(Json(ListAppLogSourcesResponse { sources: rows.into_iter().map(view).collect() }))
}

/// Adds.
pub(crate) async fn app_log_source_create(
    State(control): State<Arc<Control>>,
    about: ForApp,
    Document(request): Document<CreateAppLogSourceRequest>,
) -> ApiResult<Json<GetAppLogSourceResponse>> {
    let place = LogPlace {
        source_type: request.source_type,
        source_ref: request.source_ref,
        display_name: request.display_name,
        is_primary: request.is_primary.unwrap_or_default(),
    };
    name_place(&control, &about).await?;
    check(&place)?;
    let id = AppLogSourceId::from_random(random().map_err(ApiError::internal)?);
    let row = control.store.app_log_sources().insert((about.id.target(), id), &place).await?;
    Ok(Json(GetAppLogSourceResponse { source: view(row) }))
}

/// Changes.
pub(crate) async fn app_log_source_update(
    State(control): State<Arc<Control>>,
    about: ForApp,
    SourceId(id): SourceId<AppLogSourceId>,
    Document(request): Document<UpdateAppLogSourceRequest>,
) -> ApiResult<Json<GetAppLogSourceResponse>> {
    let sources = control.store.app_log_sources();
    let now = find(&control, &about, Some(id)).await?;
    let mut place = now.place.clone();
    place.source_type = request.source_type.unwrap_or(place.source_type);
    place.source_ref = request.source_ref.unwrap_or(place.source_ref);
    place.display_name = match request.display_name {
        Change::Set(text) if text.is_empty() => None,
        other => other.or_keep_optional(place.display_name),
    };
    place.is_primary = request.is_primary.unwrap_or(place.is_primary);
    let renamed = LogPlace { display_name: place.display_name.clone(), ..now.place };
    let is_moved = place != renamed;
    if is_moved {
        name_place(&control, &about).await?;
    }
    check(&place)?;
    let edit = |kept: &mut LogPlace| match is_moved {
        true => *kept = place,
        // Where it is now may be another place than it was a moment ago.
        false => kept.display_name = place.display_name,
    };
    let row = sources.change((about.id.target(), id), edit).await?;
    Ok(Json(GetAppLogSourceResponse { source: view(row) }))
}

/// Forgets.
pub(crate) async fn app_log_source_delete(
    State(control): State<Arc<Control>>,
    about: ForApp,
    SourceId(id): SourceId<AppLogSourceId>,
) -> ApiResult<Json<MessageResponse>> {
    control.store.app_log_sources().delete(about.id.target(), id).await?;
    Ok(Json(MessageResponse { message: "log source deleted".to_owned() }))
}

/// A page.
pub(crate) async fn app_logs(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<GetAppLogsResponse>> {
    let source = asked(&control, &about).await?;
    let workspace = may_read(&control, &about, &source).await?;
    let agent = running(&control, (&about, &workspace), "read its logs")?;
    let page = match source.place.source_type {
        LogSourceType::SystemdUnit => journal(&agent, &about, &source.place.source_ref).await?,
        LogSourceType::FilePath => file(&agent, &about, &source.place.source_ref).await?,
        LogSourceType::DockerContainer => return Err(unsupported("read the output of containers")),
    };
    let GetWorkspaceLogsResponse { lines, cursor, has_more } = page;
    let source = view(source);
    Ok(Json(GetAppLogsResponse { source, lines, cursor, has_more, total_lines: None }))
}

/// Follows.
pub(crate) async fn app_logs_stream(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    about: ForApp,
    // After the app: for what is no app's id there is none.
    Extension(permit): Extension<Permit>,
) -> ApiResult<Response> {
    let source = asked(&control, &about).await?;
    if let Some((right, _)) = taken_by(&source) {
        // What is followed ends with this right, too.
        permit.also(right, about.row.workspace.clone());
    }
    let workspace = may_read(&control, &about, &source).await?;
    if source.place.source_type != LogSourceType::SystemdUnit {
        return Err(unsupported("follow anything but units: read pages instead"));
    }
    let agent = running(&control, (&about, &workspace), "follow its logs")?;
    // What the reader saw last beats where it once began.
    let cursor = sse::last_event_id(&headers).or_else(|| about.params.text("cursor"));
    let pairs = [Some(("unit", source.place.source_ref.as_str())), cursor.map(|at| ("cursor", at))];
    let pairs: Vec<_> = pairs.into_iter().flatten().collect();
    let query = serde_urlencoded::to_string(pairs).map_err(ApiError::internal)?;
    let request = agent.request(Method::GET, &format!("/logs/stream?{query}"), Body::empty());
    let answer = agent.open_soon(request).await?;
    let state = (Lines::new(answer.into_body()), 0_u64);
    let events = stream::unfold(state, |(mut lines, count)| async move {
        let mut line: LogLine = lines.next().await?;
        let count = count.saturating_add(1);
        line.line_number = count;
        let event: Event = sse::event("line", line.cursor.as_deref(), &line);
        Some((event, (lines, count)))
    });
    Ok(sse::response(events, control.shutdown.clone()))
}

async fn journal(agent: &Agent, about: &ForApp, unit: &str) -> ApiResult<GetWorkspaceLogsResponse> {
    let lines = about.params.number("lines").to_string();
    let direction = about.params.text("direction").unwrap_or("newest");
    let mut pairs = vec![("lines", lines.as_str()), ("direction", direction), ("unit", unit)];
    pairs.extend(about.params.text("cursor").map(|cursor| ("cursor", cursor)));
    let query = serde_urlencoded::to_string(pairs).map_err(ApiError::internal)?;
    let mut page: GetWorkspaceLogsResponse = agent.get(&format!("/logs?{query}")).await?;
    page.lines.truncate(usize::try_from(LOG_LINES_MAX).unwrap_or(usize::MAX));
    Ok(page)
}

/// One end of a file; it has no positions to go on from.
async fn file(agent: &Agent, about: &ForApp, path: &str) -> ApiResult<GetWorkspaceLogsResponse> {
    if about.params.text("cursor").is_some() {
        return Err(ApiError::field("cursor", "does not go with a file, which is read at an end"));
    }
    let lines = about.params.number("lines").to_string();
    let program = match about.params.text("direction") {
        Some("oldest") => "head",
        _ => "tail",
    };
    let result = guest::run(agent, READER, &[program, "-n", &lines, "--", path]).await?;
    if result.exit.exit_code != Some(0) {
        return Err(ApiError::not_found("file of this log source"));
    }
    let most = usize::try_from(LOG_LINES_MAX).unwrap_or(usize::MAX);
    let cut = |text: &str| {
        let end = (0..=LINE_MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
    };
    let lines = result.stdout.lines().take(most).zip(1_u64..).map(|(text, line_number)| LogLine {
        line_number,
        message: cut(text),
        timestamp: None,
        cursor: None,
        unit: None,
        priority: None,
    });
    Ok(GetWorkspaceLogsResponse { lines: lines.collect(), cursor: None, has_more: false })
}

/// The source that a request names, or the primary one.
async fn asked(control: &Control, about: &ForApp) -> ApiResult<AppLogSourceRow> {
    let id = match about.params.text("source_id") {
        Some(text) => Some(text.parse().map_err(|_| ApiError::not_found("log source"))?),
        None => None,
    };
    find(control, about, id).await
}

async fn find(
    control: &Control,
    about: &ForApp,
    id: Option<AppLogSourceId>,
) -> ApiResult<AppLogSourceRow> {
    // The primary one is the first.
    let sources = control.store.app_log_sources().list(about.id.target()).await?;
    let found = sources.into_iter().find(|source| id.is_none_or(|id| id == source.id));
    found.ok_or_else(|| ApiError::not_found("log source"))
}

/// Whoever names a place chooses what others read, and which unit is stopped with the app.
async fn name_place(control: &Control, about: &ForApp) -> ApiResult<()> {
    let asked = (Right::WorkspaceEnter, "to name a place in the workspace as a log source");
    about.beyond(control, asked).await.map(drop)
}

/// The right to the workspace that reading a source takes beside the one to the app.
fn taken_by(source: &AppLogSourceRow) -> Option<(Right, &'static str)> {
    match source.place.source_type {
        LogSourceType::SystemdUnit if source.place.is_primary => None,
        LogSourceType::SystemdUnit => {
            Some((Right::WorkspaceRead, "to read a unit other than that of the primary log source"))
        }
        LogSourceType::FilePath => Some((Right::WorkspaceEnter, "to read a file")),
        LogSourceType::DockerContainer => {
            Some((Right::WorkspaceEnter, "to read the output of a container"))
        }
    }
}

/// The proof that the caller may read what a source names.
async fn may_read(
    control: &Control,
    about: &ForApp,
    source: &AppLogSourceRow,
) -> ApiResult<Authorised<WorkspaceId>> {
    match taken_by(source) {
        None => Ok(about.workspace.clone()),
        Some(asked) => about.beyond(control, asked).await,
    }
}

fn running(
    control: &Control,
    (about, workspace): (&ForApp, &Authorised<WorkspaceId>),
    verb: &str,
) -> ApiResult<Agent> {
    check_running(about.row.status, verb)?;
    let agent = guest::agent(control, about, workspace)?;
    agent.ok_or_else(|| ApiError::unavailable("the workspace has no host yet", 2))
}

fn check(place: &LogPlace) -> ApiResult<()> {
    let refuse = |rule: &str| Err(ApiError::field("source_ref", rule));
    let text = place.source_ref.as_str();
    check_line(text).map_err(|rule| ApiError::field("source_ref", rule))?;
    match place.source_type {
        LogSourceType::SystemdUnit => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._:-\\".contains(&byte);
            let ends = [".service", ".socket", ".timer"].iter().any(|end| text.ends_with(end));
            if text.starts_with('-')
                || text.len() > UNIT_MAX_LEN
                || !text.bytes().all(plain)
                || !ends
            {
                return refuse("must be a unit such as web.service");
            }
        }
        LogSourceType::DockerContainer => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if text.is_empty() || text.starts_with('-') || !text.bytes().all(plain) {
                return refuse("must be the name of a container");
            }
        }
        LogSourceType::FilePath => {
            if !text.starts_with('/') || text.len() > PATH_MAX_LEN {
                return refuse("must be an absolute path");
            }
        }
    }
    match &place.display_name {
        Some(name) => Title::check(name).map_err(|rule| ApiError::field("display_name", rule)),
        None => Ok(()),
    }
}

fn unsupported(what: &str) -> ApiError {
    ApiError::new(ErrorCode::Unsupported, format!("this version cannot {what}"))
}

fn view(row: AppLogSourceRow) -> AppLogSource {
    AppLogSource {
        id: row.id,
        app_id: row.app,
        source_type: row.place.source_type,
        source_ref: row.place.source_ref,
        display_name: row.place.display_name,
        is_primary: row.place.is_primary,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
