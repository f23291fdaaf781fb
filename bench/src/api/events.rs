//! The events of one workspace: every status, pushed when it changes.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::Api;

/// How long a broken product is watched: ten boots at once under emulation take under a minute.
const LIMIT: Duration = Duration::from_secs(300);

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    text: String,
    /// Keeps the connection.
    _api: Api,
}

impl Events {
    pub(super) fn new(body: Incoming, api: Api) -> Self {
        Self { body, text: String::new(), _api: api }
    }

    /// Follows until a status is reached; that of a workspace which is deleted is `gone`.
    ///
    /// # Errors
    /// When the workspace fails or the stream ends before.
    pub(crate) async fn until(&mut self, wanted: &str) -> Result<()> {
        let mut passed = Vec::new();
        let follow = async {
            loop {
                let (status, document) = self.next().await?;
                if status == wanted {
                    return Ok(());
                }
                if status == "failed" {
                    bail!("it failed: {document}");
                }
                passed.push(status);
            }
        };
        match timeout(LIMIT, follow).await {
            Ok(followed) => followed.with_context(|| format!("not {wanted} after {passed:?}")),
            Err(_) => bail!("not {wanted} within {LIMIT:?} but {passed:?}"),
        }
    }

    /// The next status with its document.
    ///
    /// # Errors
    /// When the stream ends.
    async fn next(&mut self) -> Result<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let found = parse(event);
                self.text = rest.to_owned();
                if let Some(found) = found {
                    return Ok(found);
                }
                continue;
            }
            let frame = self.body.frame().await.context("the stream of events ended")??;
            if let Ok(data) = frame.into_data() {
                self.text.push_str(&String::from_utf8_lossy(&data));
            }
        }
    }
}

/// Status and document of an event; none for a comment.
fn parse(event: &str) -> Option<(String, Value)> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let document: Value = serde_json::from_str(field("data:")?).ok()?;
    let status = match field("event:")? {
        "deleted" => "gone",
        _ => document.get("status")?.as_str()?,
    };
    Some((status.to_owned(), document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_a_heartbeat_is_not() {
        let status = |event| parse(event).map(|(status, _)| status);
        assert_eq!(status("event: status\ndata: {\"status\":\"running\"}"), Some("running".into()));
        assert_eq!(status("event: deleted\ndata: {\"id\":\"ws-1\"}"), Some("gone".into()));
        assert_eq!(status(": heartbeat"), None);
    }
}
