//! AI as code in a workspace sees it: whether it is on, the environment that leads to it, what was used.
//! Invariant: code in a workspace switches only what its owner has left open.

use rigbox_store::{ai::AiSettings, ai_usage::CallsOf, audit::NewEntry, workspaces::WorkspaceRow};
use rigbox_types::{
    Authorised, Timestamp, WorkspaceId,
    api::{
        ai::AiDecider,
        audit::AuditStage,
        error::ErrorCode,
        inside::{
            InsideAiResponse, InsideUsageResponse, SUBJECT_ALL, SUBJECT_MAX_CHARS,
            USAGE_WINDOW_DEFAULT_S, USAGE_WINDOW_MAX_S, UpdateInsideAiRequest,
        },
    },
};
use serde::Deserialize;

use super::{app, environment, told, usage};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    source::now,
};

/// The word of the record.
const ACTION: &str = "inside_ai_update";

/// The query of `usage`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    subject: Option<String>,
    window: Option<u32>,
}

/// `GET /rig/v1/ai`.
pub(crate) async fn ai_show(control: &Control, row: &WorkspaceRow) -> ApiResult<InsideAiResponse> {
    let settings = control.store.ai().workspace(&row.id).await?.settings;
    shown(control, row, &settings).await
}

/// `PUT /rig/v1/ai`. Asking for what already is changes nothing and is never refused.
pub(crate) async fn ai_update(
    control: &Control,
    row: &WorkspaceRow,
    id: &Authorised<WorkspaceId>,
    request: UpdateInsideAiRequest,
) -> ApiResult<InsideAiResponse> {
    let enabled = request.enabled;
    let request_id = control.request_id().to_str().unwrap_or_default().to_owned();
    let entry = |stage, error: Option<&ApiError>| NewEntry {
        stage,
        request_id: request_id.clone(),
        action: ACTION.to_owned(),
        account: Some(row.account),
        actor: format!("workspace:{}", row.id),
        address: None,
        target: format!("workspace:{} {}", row.id, if enabled { "on" } else { "off" }),
        status: match stage {
            AuditStage::Received => None,
            AuditStage::Completed => Some(error.map_or(200, |error| error.http_status().as_u16())),
        },
        code: error.map(|error| error.code().as_str().to_owned()),
    };
    let settings = control.store.ai().workspace(id.target()).await?.settings;
    if settings.enabled().0 == enabled {
        return shown(control, row, &settings).await;
    }
    // Before it is recorded: the record must not be a way to fill the disk.
    control.rates.draw_inside(id.target())?;
    control.audit.received(entry(AuditStage::Received, None)).await?;
    let switched = switch(control, row, id, enabled).await;
    control.audit.completed(entry(AuditStage::Completed, switched.as_ref().err()));
    if switched.is_ok() {
        told::of_workspace(control, id.target()).await;
    }
    shown(control, row, &switched?).await
}

/// `GET /rig/v1/usage`.
pub(crate) async fn usage_show(
    control: &Control,
    id: &WorkspaceId,
    query: Option<&str>,
) -> ApiResult<InsideUsageResponse> {
    let asked: UsageQuery = serde_urlencoded::from_str(query.unwrap_or_default())
        .map_err(|_| ApiError::request("the query takes subject and window, in seconds"))?;
    let subject = asked.subject.as_deref().map_or(SUBJECT_ALL, str::trim);
    if subject.is_empty() || subject.chars().count() > SUBJECT_MAX_CHARS {
        let rule = format!("must have 1 to {SUBJECT_MAX_CHARS} characters; * is all of them");
        return Err(ApiError::field("subject", rule));
    }
    let window_seconds = asked.window.unwrap_or(USAGE_WINDOW_DEFAULT_S);
    if window_seconds == 0 || window_seconds > USAGE_WINDOW_MAX_S {
        let rule = format!("must be from 1 to {USAGE_WINDOW_MAX_S} seconds");
        return Err(ApiError::field("window", rule));
    }
    let back = i64::from(window_seconds).saturating_mul(1_000_000);
    let since = Timestamp::from_micros(now().as_micros().saturating_sub(back));
    let store = control.store.ai_usage();
    let used = if subject == SUBJECT_ALL {
        store.totals(&CallsOf::Workspace(id.clone()), since).await?
    } else {
        store.of_subject(id, subject, since).await?
    };
    let totals = usage::totals(used);
    Ok(InsideUsageResponse {
        subject: subject.to_owned(),
        window_seconds,
        credits: totals.credits,
        credits_micro: totals.credits_micro,
        input_tokens: totals.input_tokens,
        output_tokens: totals.output_tokens,
        requests: totals.requests,
    })
}

/// Decides within the transaction, on settings that nobody else changes meanwhile.
async fn switch(
    control: &Control,
    row: &WorkspaceRow,
    id: &Authorised<WorkspaceId>,
    enabled: bool,
) -> ApiResult<AiSettings> {
    let edit = |settings: &mut AiSettings| {
        let (is, by) = settings.enabled();
        if !is_open(by) && is != enabled {
            return Err(decided(row, enabled));
        }
        settings.choice.guest_enabled = Some(enabled);
        Ok(Vec::new())
    };
    Ok(control.store.ai().workspace_change(id.target(), edit).await?.settings)
}

/// Whether its owner has left it to the workspace.
fn is_open(by: Option<AiDecider>) -> bool {
    match by {
        None | Some(AiDecider::Guest) => true,
        Some(AiDecider::Workspace | AiDecider::UserDefault) => false,
    }
}

fn decided(row: &WorkspaceRow, enabled: bool) -> ApiError {
    let (word, is) = if enabled { ("on", "off") } else { ("off", "on") };
    let message = format!(
        "the owner of this workspace has switched AI {is}: outside of it, run \
         `rig proxy {word} --workspace {}`",
        row.name
    );
    ApiError::new(ErrorCode::Forbidden, message)
}

async fn shown(
    control: &Control,
    row: &WorkspaceRow,
    settings: &AiSettings,
) -> ApiResult<InsideAiResponse> {
    let ((enabled, enabled_by), (provider, model)) = (settings.enabled(), app::meant(settings));
    // No key before AI is on.
    let env = match enabled {
        true => environment::of(control, row, settings).await?,
        false => rigbox_types::guest::ai::through_gateway(),
    };
    Ok(InsideAiResponse {
        enabled,
        enabled_by,
        switchable: is_open(enabled_by),
        mode: settings.mode(),
        provider,
        model,
        inject: settings.inject(),
        env,
    })
}
