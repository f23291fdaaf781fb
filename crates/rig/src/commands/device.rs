//! Signing in by a browser: shows a page and a code, and asks the server until somebody there has
//! said yes or no (RFC 8628).
//! Invariant: what the server is asked with is shown to nobody.

use std::time::Duration;

use http::Method;
use rigbox_types::{
    ApiKeyId,
    api::device::{DeviceSessionResponse, DeviceStatus, DeviceStatusResponse},
};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    browser,
    client::{Call, Client, ClientError, Document, Path},
    error::{CommandError, CommandResult},
    output::Output,
};

/// Shortest pause between two questions, whatever the server says.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The same, longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a person, whatever the server says.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The key that somebody has let us have.
pub(super) struct Given {
    pub(super) key: SecretString,
    pub(super) id: Option<ApiKeyId>,
    pub(super) email: Option<String>,
}

/// Asks for a key by way of a browser.
pub(super) async fn key(
    client: &Client,
    output: &Output,
    opens_browser: bool,
) -> CommandResult<Given> {
    output.progress(format!("asking {}", client.server()));
    let begun = begin(client).await?;
    show(output, &begun, opens_browser)?;
    let patience = Duration::from_secs(begun.expires_in_s.into()).min(WAIT_MAX);
    let pause = Duration::from_secs(begun.poll_interval_s.into()).clamp(PAUSE_MIN, PAUSE_MAX);
    let until = Instant::now() + patience;
    output.progress("waiting for you to say yes in the browser");
    loop {
        output.during(sleep(pause)).await;
        let path = Path::api("/auth/cli/session").segment(&begun.code);
        let status: DeviceStatusResponse = match client.get(path).await {
            Ok(Document { value, .. }) => value,
            // It was asked more often than it likes, and says so.
            Err(error) if is_too_fast(&error) && Instant::now() < until => continue,
            Err(error) => return Err(error.into()),
        };
        match status.status {
            DeviceStatus::Approved => return given(output, status),
            DeviceStatus::Denied => {
                return Err(CommandError::failed("somebody said no in the browser").coded("denied"));
            }
            DeviceStatus::Expired => return Err(expired()),
            DeviceStatus::Pending if Instant::now() >= until => return Err(expired()),
            DeviceStatus::Pending => {}
        }
    }
}

async fn begin(client: &Client) -> CommandResult<DeviceSessionResponse> {
    let call = Call::new(Method::POST, Path::api("/auth/cli/session"));
    match client.fetch(call).await {
        Ok(Document { value, .. }) => Ok(value),
        Err(error) if error.refusal().is_some_and(|refusal| refusal.status == 404) => {
            let text = format!("{} does not let anybody in by a browser", client.server());
            Err(CommandError::failed(text).hint("rig login --token"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows where to go, and goes there where there is a browser.
fn show(output: &Output, begun: &DeviceSessionResponse, opens_browser: bool) -> CommandResult {
    let opened = opens_browser && browser::open(&begun.url);
    if output.is_human() {
        let verb = if opened { "A browser opens" } else { "Open" };
        output.notice(format!("{verb} {}", begun.url));
        output.notice(format!("and compare this code: {}", begun.user_code));
        return Ok(());
    }
    output.record(&json!({ "event": "session_created", "code": begun.user_code }))?;
    output.record(&json!({ "event": "browser_url", "url": begun.url }))?;
    output.record(&json!({ "event": "polling" }))
}

fn given(output: &Output, status: DeviceStatusResponse) -> CommandResult<Given> {
    let Some(key) = status.api_key else {
        // The server gives it once; that answer did not arrive.
        let text = "somebody said yes, but the key got lost on the way";
        return Err(CommandError::failed(text).hint("rig login"));
    };
    let email = status.user_email.map(|email| email.to_string());
    if !output.is_human() {
        output.record(&json!({ "event": "approved", "user_email": email }))?;
    }
    Ok(Given { key: key.into(), id: status.api_key_id, email })
}

fn expired() -> CommandError {
    CommandError::failed("nobody said yes in the browser in time")
        .coded("expired")
        .hint("rig login")
}

fn is_too_fast(error: &ClientError) -> bool {
    error.refusal().is_some_and(|refusal| refusal.status == 429)
}
