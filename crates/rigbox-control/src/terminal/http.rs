//! `POST /workspaces/{id}/terminal-token` and the WebSocket `/api/ws/terminal/{id}`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use http::{Method, StatusCode};
use rigbox_fabric::task;
use rigbox_types::{
    api::terminal::TerminalTokenResponse,
    guest::{
        ExecRequest, TtySize,
        frame::{FRAME_MAX_BYTES, Frame},
    },
    limits::TERMINAL_TOKEN_S,
};

use super::pump::{self, Shell};
use crate::{
    access_control::Permit,
    control::Control,
    error::{ApiError, ApiResult},
    guest::{agent::Agent, exec::open_frames},
    http::{
        access::{Access, ForWorkspace},
        params::Params,
        places::Place,
    },
};

/// Largest message of a client: a paste comes in many.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// Most bytes that wait for a slow client before the guest has to wait too.
const WRITE_BUFFER_MAX_BYTES: usize = 4 * FRAME_MAX_BYTES;

/// Longest id of a session.
const SESSION_MAX_LEN: usize = 64;

/// Makes a token.
pub(crate) async fn terminal_token_create(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    about: ForWorkspace,
) -> ApiResult<(StatusCode, Json<TerminalTokenResponse>)> {
    let token = control.tokens.make(&about.id, access.principal()?.clone())?;
    let answer = TerminalTokenResponse { token, expires_in_s: TERMINAL_TOKEN_S };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Opens a terminal.
pub(crate) async fn terminal_open(
    State(control): State<Arc<Control>>,
    Extension(place): Extension<Place>,
    about: ForWorkspace,
    // After the workspace: for what is no workspace's id there is none.
    Extension(permit): Extension<Permit>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response<Body>> {
    let upgrade = upgrade.map_err(|refusal| {
        ApiError::request(format!("a terminal needs a WebSocket: {}", refusal.body_text()))
    })?;
    let agent = control.agent(&about, "open a terminal").await?;
    let shell = shell(&agent, &about.params).await?;
    let shutdown = control.shutdown.clone();
    let response = upgrade
        .max_message_size(MESSAGE_MAX_BYTES)
        .max_frame_size(MESSAGE_MAX_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
        .on_upgrade(move |socket| async move {
            let carry = async move {
                if let Some(session) = pump::run(socket, shell, (shutdown, permit)).await {
                    end(&agent, &session).await;
                }
                drop(place);
            };
            if task::spawn("control.terminal", carry).await.is_err() {
                tracing::debug!("a terminal's task was ended");
            }
        });
    Ok(response)
}

/// Ends a shell that its client is done with.
async fn end(agent: &Agent, session: &str) {
    let request = agent.request(Method::DELETE, &format!("/exec/{session}"), Body::empty());
    if let Err(error) = agent.open_soon(request).await {
        // It has ended by itself, or it will with its workspace.
        tracing::debug!(reason = error.message(), "a shell was not ended");
    }
}

/// A login shell of its own, or one that is there already.
async fn shell(agent: &Agent, params: &Params) -> ApiResult<Shell> {
    let size = |name| u16::try_from(params.number(name)).unwrap_or(u16::MAX);
    let tty = TtySize { cols: size("cols"), rows: size("rows") };
    let Some(session) = params.text("session") else {
        let command = ExecRequest {
            command: vec!["/bin/bash".to_owned(), "--login".to_owned()],
            env: BTreeMap::from([("TERM".to_owned(), "xterm-256color".to_owned())]),
            tty: Some(tty),
            detach: true,
            ..ExecRequest::default()
        };
        let stream = open_frames(agent, "/exec", Some(&command)).await?;
        return Ok(Shell { stream, first: None });
    };
    if !is_session(session) {
        return Err(ApiError::not_found("terminal session"));
    }
    let after = params.text("after").unwrap_or("0");
    let path = format!("/exec/{session}/attach?after={after}");
    let stream = open_frames(agent, &path, None).await?;
    // The window may have another size than when the session was left.
    Ok(Shell { stream, first: Some(Frame::Resize(tty)) })
}

/// Whether a text can be a session's id, and nothing else in a path.
pub(super) fn is_session(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= SESSION_MAX_LEN && text.bytes().all(plain)
}
