//! `POST /workspaces/{id}/exec`: one document, lines as they come, or the frames of an upgrade.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{FromRequest as _, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use rigbox_fabric::task;
use rigbox_types::{
    guest::{EXEC_UPGRADE, ExecRequest, ExecResult},
    limits::EXEC_TIMEOUT_DEFAULT_S,
};
use tokio::{io::copy_bidirectional, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    access_control::Permit,
    control::Control,
    error::{ApiError, ApiResult, Invalid},
    guest::{
        agent::{Agent, document, silent},
        stream::download,
    },
    http::{access::ForWorkspace, body::Document, places::Place},
};

/// How long after a command must have ended its answer may take: a frozen guest gives none.
const ANSWER_GRACE: Duration = Duration::from_secs(15);

/// Runs a command.
pub(crate) async fn workspace_exec(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    mut request: Request,
) -> ApiResult<Response> {
    let upgraded = wants_upgrade(request.headers());
    let client = upgraded.then(|| hyper::upgrade::on(&mut request));
    let place = request.extensions().get::<Place>().cloned();
    let permit = request.extensions().get::<Permit>().cloned();
    let Document(mut command) = Document::<ExecRequest>::from_request(request, &()).await?;
    // Frames come as they are written anyway.
    command.stream = command.stream && !upgraded;
    check(&command, upgraded)?;
    let agent = control.agent(&about, "run a command").await?;
    match client {
        Some(client) => {
            let guest = open_frames(&agent, "/exec", Some(&command)).await?;
            let shutdown = control.shutdown.clone();
            task::spawn("control.exec", async move {
                join(client, guest, (shutdown, permit)).await;
                drop(place);
            });
            Ok(switching())
        }
        None => plain(&agent, command).await,
    }
}

fn check(command: &ExecRequest, upgraded: bool) -> Result<(), Invalid> {
    command.check().map_err(|error| Invalid::new(error.field, error.message))?;
    if !upgraded && command.tty.is_some() {
        return Err(Invalid::new("tty", "needs an upgrade to rigbox-exec, or the terminal"));
    }
    if !upgraded && command.detach {
        return Err(Invalid::new("detach", "needs an upgrade to rigbox-exec"));
    }
    Ok(())
}

async fn plain(agent: &Agent, mut command: ExecRequest) -> ApiResult<Response> {
    let stream = command.stream;
    if !stream {
        // Somebody waits for the document, so it must come to an end.
        command.timeout_s.get_or_insert(EXEC_TIMEOUT_DEFAULT_S);
    }
    let body = serde_json::to_vec(&command).map_err(ApiError::internal)?;
    let mut request = agent.request(http::Method::POST, "/exec", Body::from(body));
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    if !stream {
        let limit = command.timeout_s.unwrap_or(EXEC_TIMEOUT_DEFAULT_S);
        let patience = Duration::from_secs(limit.into()).saturating_add(ANSWER_GRACE);
        let answer = async { document::<ExecResult>(agent.open(request).await?).await };
        let result = timeout(patience, answer).await.unwrap_or_else(|_| Err(silent()))?;
        return Ok(Json(result).into_response());
    }
    // The first line comes when the command begins, however long it then takes.
    let answer = agent.open_soon(request).await?;
    let mut response = Response::new(download(answer.into_body(), None));
    let lines = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, lines);
    Ok(response)
}

/// Asks the agent for the frames of an exec, a new one or one that is there; gives the stream that
/// carries them.
pub(crate) async fn open_frames(
    agent: &Agent,
    path: &str,
    command: Option<&ExecRequest>,
) -> ApiResult<hyper::upgrade::Upgraded> {
    let body = match command {
        Some(command) => serde_json::to_vec(command).map_err(ApiError::internal)?.into(),
        None => Body::empty(),
    };
    let answer = agent.open_soon(agent.upgrade(path, body)).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ApiError::unavailable("the workspace cannot stream a command", 2));
    }
    hyper::upgrade::on(answer)
        .await
        .map_err(|error| ApiError::unavailable("the connection broke", 2).because(error))
}

/// Carries bytes both ways until one side ends, or the process or the permit does.
async fn join(
    client: hyper::upgrade::OnUpgrade,
    guest: hyper::upgrade::Upgraded,
    (shutdown, permit): (CancellationToken, Option<Permit>),
) {
    let carry = async {
        let mut client = TokioIo::new(client.await.ok()?);
        copy_bidirectional(&mut client, &mut TokioIo::new(guest)).await.ok()
    };
    let permitted = async {
        match &permit {
            Some(permit) => permit.ended().run_until_cancelled(carry).await.flatten(),
            None => carry.await,
        }
    };
    if shutdown.run_until_cancelled(permitted).await.flatten().is_none() {
        tracing::debug!("an exec stream was cut");
    }
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let asked = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    asked.is_some_and(|protocol| protocol.eq_ignore_ascii_case(EXEC_UPGRADE))
}

fn switching() -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(EXEC_UPGRADE));
    response
}
