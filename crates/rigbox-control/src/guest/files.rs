//! Files of a workspace: bytes pass through in both directions.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, header};
use rigbox_types::{
    api::workspaces::MessageResponse,
    guest::{FILE_MODE_HEADER, FileListResponse, FilePutResponse},
    limits::FILE_LIST_MAX,
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    guest::{
        agent::document,
        stream::{FILE_PATIENCE, Upload, download},
    },
    http::{access::ForWorkspace, params::Params},
};

/// Reads a file.
pub(crate) async fn workspace_file_read(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Response> {
    let query = query(&about.params, &["path", "user"])?;
    let agent = control.agent(&about, "read a file").await?;
    let request = agent.request(Method::GET, &format!("/files?{query}"), Body::empty());
    let answer = agent.open_soon(request).await?;
    let mode_header = HeaderName::from_static(FILE_MODE_HEADER);
    let kept: Vec<_> = [header::CONTENT_LENGTH, mode_header]
        .into_iter()
        .filter_map(|name| answer.headers().get(&name).cloned().map(|value| (name, value)))
        .collect();
    let mut response = Response::new(download(answer.into_body(), FILE_PATIENCE));
    let headers = response.headers_mut();
    headers.extend(kept.into_iter().map(|(name, value)| (Some(name), value)));
    // The guest's bytes must never be shown as a page of ours.
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Writes a file, whole or not at all.
pub(crate) async fn workspace_file_write(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    request: Request,
) -> ApiResult<Json<FilePutResponse>> {
    let query = query(&about.params, &["path", "user", "mode", "parents"])?;
    let agent = control.agent(&about, "write a file").await?;
    let length = request.headers().get(header::CONTENT_LENGTH).cloned();
    let (upload, body) = Upload::new(request.into_body());
    let mut request = agent.request(Method::PUT, &format!("/files?{query}"), body);
    if let Some(length) = length {
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    let answer = agent.open(request).await;
    // A body that was cut breaks the exchange: the cut is the reason worth telling.
    if let Some(cut) = upload.cut() {
        return Err(cut.into());
    }
    document(answer?).await.map(Json)
}

/// Deletes a file.
pub(crate) async fn workspace_file_delete(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<MessageResponse>> {
    let query = query(&about.params, &["path", "user", "recursive"])?;
    let agent = control.agent(&about, "delete a file").await?;
    let request = agent.request(Method::DELETE, &format!("/files?{query}"), Body::empty());
    drop(agent.open_soon(request).await?);
    Ok(Json(MessageResponse { message: "file deleted".to_owned() }))
}

/// Lists a directory.
pub(crate) async fn workspace_file_list(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<FileListResponse>> {
    let query = query(&about.params, &["path", "user"])?;
    let agent = control.agent(&about, "list a directory").await?;
    let mut list: FileListResponse = agent.get(&format!("/files/list?{query}")).await?;
    if list.entries.len() > FILE_LIST_MAX {
        list.entries.truncate(FILE_LIST_MAX);
        list.truncated = true;
    }
    Ok(Json(list))
}

/// The named parameters, encoded again for the agent.
pub(crate) fn query(params: &Params, names: &[&'static str]) -> ApiResult<String> {
    let pairs: Vec<_> =
        names.iter().filter_map(|name| params.text(name).map(|value| (*name, value))).collect();
    serde_urlencoded::to_string(pairs).map_err(ApiError::internal)
}
