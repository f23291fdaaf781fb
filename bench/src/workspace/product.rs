//! Workspaces of the product, each step timed as a user would: from the request until the event
//! that says it is done.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use rigbox_types::guest::ExecRequest;
use serde_json::{Value, json};

use crate::api::Api;

/// The template that everything is measured with.
const TEMPLATE: &str = "tiny";

/// `POST /workspaces`; its id.
///
/// # Errors
/// When it is refused.
pub(super) async fn create(api: &mut Api, name: &str) -> Result<String> {
    let body = json!({"name": name, "template_id": TEMPLATE});
    let made = api.post("/workspaces", Some(&body)).await?;
    let id = made.pointer("/vm/id").and_then(Value::as_str);
    Ok(id.context("a workspace without an id")?.to_owned())
}

/// Creates and starts a workspace.
///
/// # Errors
/// When it does not become ready.
pub(super) async fn spawn(api: &mut Api, name: &str) -> Result<(String, Duration)> {
    let begin = Instant::now();
    let id = create(api, name).await?;
    start(api, &id).await?;
    Ok((id, begin.elapsed()))
}

/// Starts a workspace that is stopped.
///
/// # Errors
/// When it does not become ready.
pub(super) async fn start(api: &mut Api, id: &str) -> Result<Duration> {
    let begin = Instant::now();
    api.post(&format!("/workspaces/{id}/start"), None).await?;
    let events = api.events(id).await?;
    events.with_context(|| format!("{id} is gone"))?.until("running").await?;
    Ok(begin.elapsed())
}

/// Stops a workspace.
///
/// # Errors
/// When it does not stop.
pub(super) async fn stop(api: &mut Api, id: &str) -> Result<Duration> {
    let begin = Instant::now();
    api.post(&format!("/workspaces/{id}/stop"), None).await?;
    let events = api.events(id).await?;
    events.with_context(|| format!("{id} is gone"))?.until("stopped").await?;
    Ok(begin.elapsed())
}

/// Deletes a workspace.
///
/// # Errors
/// When it does not go.
pub(super) async fn delete(api: &mut Api, id: &str) -> Result<Duration> {
    let begin = Instant::now();
    api.call(Method::DELETE, &format!("/workspaces/{id}"), None).await?;
    if let Some(mut events) = api.events(id).await? {
        events.until("gone").await?;
    }
    Ok(begin.elapsed())
}

/// A command that does nothing.
pub(super) fn nothing() -> ExecRequest {
    ExecRequest {
        command: vec!["/bin/busybox".to_owned(), "true".to_owned()],
        user: Some("root".to_owned()),
        timeout_s: Some(60),
        ..ExecRequest::default()
    }
}

/// Runs it through the API.
///
/// # Errors
/// When it is refused or does not end well.
pub(super) async fn exec(api: &mut Api, id: &str, request: &Value) -> Result<Duration> {
    let begin = Instant::now();
    let result = api.post(&format!("/workspaces/{id}/exec"), Some(request)).await?;
    let took = begin.elapsed();
    let code = result.pointer("/exit_code").and_then(Value::as_i64);
    anyhow::ensure!(code == Some(0), "it ended with {result}");
    Ok(took)
}
