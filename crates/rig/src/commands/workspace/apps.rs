//! Waits until the apps of a workspace answer.

use std::time::Duration;

use rigbox_types::api::{
    apps::{App, AppHealthResponse},
    workspaces::Vm,
};
use tokio::time::{Instant, sleep};

use super::wait::{Event, tell};
use crate::{
    client::{ClientError, Document},
    commands::app,
    error::{CommandError, CommandResult},
    session::Session,
};

/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until every app of a workspace that is not stopped answers, `seconds` at most.
pub(super) async fn wait(session: &Session, vm: &Vm, seconds: u64) -> CommandResult {
    let begun = Instant::now();
    let mut waiting = app::served_by(session, &vm.id).await?;
    for app in &waiting {
        let name = app.name.as_str();
        tell(session, name, &Event::AppStatus { app: name, status: "waiting" })?;
    }
    loop {
        let mut left = Vec::with_capacity(waiting.len());
        for app in waiting {
            match is_live(session, &app).await {
                Ok(true) => {
                    let name = app.name.as_str();
                    tell(session, name, &Event::AppStatus { app: name, status: "live" })?;
                }
                Ok(false) => left.push(app),
                // It was deleted meanwhile.
                Err(error) if error.is("not_found") => {}
                Err(error) if error.is_passing() => left.push(app),
                Err(error) => return Err(error.into()),
            }
        }
        let Some(first) = left.first() else { return Ok(()) };
        if begun.elapsed() >= Duration::from_secs(seconds) {
            let message = format!("{} does not answer yet after {seconds} s", first.name);
            return Err(CommandError::failed(message)
                .coded("timeout")
                .hint(format!("rig app health {}", first.name)));
        }
        waiting = left;
        session.output.during(sleep(PAUSE)).await;
    }
}

async fn is_live(session: &Session, app: &App) -> Result<bool, ClientError> {
    let path = app::path(&app.id).then("/health");
    let health: Document<AppHealthResponse> = session.client.get(path).await?;
    Ok(health.value.live)
}
