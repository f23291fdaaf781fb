//! Handlers of sessions: parse, authorise, call, convert.

use std::sync::Arc;

use ::http::StatusCode;
use axum::{Extension, Json, extract::State};
use rigbox_store::sessions::{Carrier, Level, SessionRow};
use rigbox_types::{
    Credential, Principal, SessionId,
    api::{
        device::{DeviceSessionResponse, DeviceStatusResponse},
        error::ErrorCode,
        sessions::{CreateSessionRequest, ListSessionsResponse, Session, SessionTokenResponse},
        workspaces::MessageResponse,
    },
};

use super::{
    device_flow::{self, DeviceSecret},
    second_factor, sessions,
    sign_in::{SIGN_IN, refused, sign_in},
    visitor::Visitor,
};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{Access, Code, ForAccount, Id},
        body::Document,
    },
};

/// Opens a session for a program.
pub(crate) async fn session_create(
    State(control): State<Arc<Control>>,
    visitor: Visitor,
    Document(request): Document<CreateSessionRequest>,
) -> ApiResult<(StatusCode, Json<SessionTokenResponse>)> {
    let person = sign_in(&control, &visitor, (&request.email, request.password.into())).await?;
    let code = request.code.as_deref();
    let shown =
        second_factor::check(&control, (person.account, person.epoch), (&visitor, code)).await;
    shown.map_err(|error| match error.code() {
        ErrorCode::Unauthenticated => refused(&control, &visitor, (Some(person.account), error)),
        _ => error,
    })?;
    let how = (Carrier::Bearer, Level::Full);
    let token =
        sessions::open(&control, (person.account, person.epoch), how, (&visitor, SIGN_IN)).await?;
    let row = control.store.sessions().find(token.id()).await?;
    let row = row.ok_or_else(|| ApiError::internal("a session that was made is not there"))?;
    let answer = SessionTokenResponse {
        id: row.id,
        token: token.expose().to_owned(),
        user_id: person.account,
        expires_at: row.ends_at(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Lists.
pub(crate) async fn session_list(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    about: ForAccount,
) -> ApiResult<Json<ListSessionsResponse>> {
    let own = own_session(access.principal()?);
    let rows = control.store.sessions().list(*about.account.target()).await?;
    let sessions = rows.into_iter().map(|row| view(row, own)).collect();
    Ok(Json(ListSessionsResponse { sessions, next_cursor: None }))
}

/// Ends one.
pub(crate) async fn session_delete(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<SessionId>,
) -> ApiResult<Json<MessageResponse>> {
    sessions::end(&control, *about.account.target(), id).await?;
    tracing::info!(session = %id, "session ended");
    Ok(Json(MessageResponse { message: "session ended".to_owned() }))
}

/// Ends the one that asks.
pub(crate) async fn session_end(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    about: ForAccount,
) -> ApiResult<Json<MessageResponse>> {
    let Some(own) = own_session(access.principal()?) else {
        let text = "this request was not made in a session; an API key ends with \
                    DELETE /api-keys/{id}";
        return Err(ApiError::new(ErrorCode::InvalidState, text));
    };
    sessions::end(&control, *about.account.target(), own).await?;
    tracing::info!(session = %own, "signed out");
    Ok(Json(MessageResponse { message: "signed out".to_owned() }))
}

/// Begins to let a command line in.
pub(crate) async fn device_session_create(
    State(control): State<Arc<Control>>,
    visitor: Visitor,
) -> ApiResult<Json<DeviceSessionResponse>> {
    device_flow::begin(&control, &visitor).await.map(Json)
}

/// Says what has become of it.
pub(crate) async fn device_session_show(
    State(control): State<Arc<Control>>,
    Code(secret): Code<DeviceSecret>,
) -> ApiResult<Json<DeviceStatusResponse>> {
    device_flow::poll(&control, &secret).await.map(Json)
}

/// The session that a request is made in.
pub(crate) fn own_session(who: &Principal) -> Option<SessionId> {
    match who {
        Principal::Key { credential: Credential::Session(id), .. } => Some(*id),
        Principal::Key { .. } | Principal::Guest { .. } => None,
    }
}

fn view(row: SessionRow, own: Option<SessionId>) -> Session {
    Session {
        id: row.id,
        current: own == Some(row.id),
        browser: row.carrier == Carrier::Cookie,
        created_at: row.created_at,
        last_used_at: row.used_at,
        expires_at: row.ends_at(),
        address: row.address,
        user_agent: row.user_agent,
    }
}
