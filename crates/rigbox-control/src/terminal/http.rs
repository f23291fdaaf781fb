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
use http::StatusCode;
use rigbox_fabric::task;
use rigbox_types::{
    api::terminal::TerminalTokenResponse,
    guest::{ExecRequest, TtySize, frame::FRAME_MAX_BYTES},
    limits::TERMINAL_TOKEN_S,
};

use super::pump;
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    guest::{agent::Agent, exec::open_frames},
    http::{
        access::{Access, ForWorkspace},
        entry::Place,
        params::Params,
    },
};

/// Largest message of a client: a paste comes in many.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// Most bytes that wait for a slow client before the guest has to wait too.
const WRITE_BUFFER_MAX_BYTES: usize = 4 * FRAME_MAX_BYTES;

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
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response<Body>> {
    let upgrade = upgrade.map_err(|refusal| {
        ApiError::request(format!("a terminal needs a WebSocket: {}", refusal.body_text()))
    })?;
    let agent = control.agent(&about, "open a terminal").await?;
    let guest = shell(&agent, &about.params).await?;
    let shutdown = control.shutdown.clone();
    let response = upgrade
        .max_message_size(MESSAGE_MAX_BYTES)
        .max_frame_size(MESSAGE_MAX_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
        .on_upgrade(move |socket| async move {
            let pump = async move {
                pump::run(socket, guest, shutdown).await;
                drop(place);
            };
            if task::spawn("control.terminal", pump).await.is_err() {
                tracing::debug!("a terminal's task was ended");
            }
        });
    Ok(response)
}

/// A login shell of its own, or one that is there already.
async fn shell(agent: &Agent, params: &Params) -> ApiResult<hyper::upgrade::Upgraded> {
    let size = |name| u16::try_from(params.number(name)).unwrap_or(u16::MAX);
    let tty = TtySize { cols: size("cols"), rows: size("rows") };
    let command = ExecRequest {
        command: vec!["/bin/bash".to_owned(), "--login".to_owned()],
        env: BTreeMap::from([("TERM".to_owned(), "xterm-256color".to_owned())]),
        tty: Some(tty),
        detach: true,
        ..ExecRequest::default()
    };
    match params.text("session") {
        None => open_frames(agent, "/exec", &command).await,
        Some(session) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if !session.bytes().all(plain) {
                return Err(ApiError::not_found("terminal session"));
            }
            open_frames(agent, &format!("/exec/{session}/attach"), &command).await
        }
    }
}
