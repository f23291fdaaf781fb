//! `rig app health`: whether an app answers, found out by trying.

use rigbox_types::api::apps::{App, AppHealthResponse, AppStatus};

use super::{find, path, why};
use crate::{
    cli::AppTarget,
    client::Document,
    error::{CommandError, CommandResult},
    output::{Cell, Fields, Tone},
    session::Session,
};

/// Tries; ends with 1 where it does not answer.
pub(super) async fn run(session: &Session, target: &AppTarget) -> CommandResult {
    let app = find(session, &target.app).await?.value;
    session.output.progress(format!("trying {}", app.name));
    let answer: Result<Document<AppHealthResponse>, _> =
        session.client.get(path(&app.id).then("/health")).await;
    let answer = answer.map_err(|error| why(error, &app))?;
    let health = &answer.value;
    if session.output.is_human() {
        let word = |is: bool, good: &str, bad: &str| {
            if is { Cell::toned(good, Tone::Good) } else { Cell::toned(bad, Tone::Bad) }
        };
        let mut fields = Fields::default();
        fields
            .add("live", word(health.live, "yes", "no"))
            .add("port", word(health.port_open, "open", "closed"))
            .add("unit", &health.service_status);
        if health.port_drift {
            fields.add("drift", Cell::toned("its unit listens on another port", Tone::Bad));
        }
        session.output.fields(&fields)?;
        if !health.live {
            session.output.hint(&remedy(&app, health));
        }
    } else {
        session.output.document(&answer.raw)?;
    }
    if health.live { Ok(()) } else { Err(CommandError::silent(1)) }
}

/// The command that probably helps.
fn remedy(app: &App, health: &AppHealthResponse) -> String {
    let (name, workspace) = (&app.name, &app.workspace_id);
    match health.service_status.as_str() {
        _ if health.port_drift => format!("rig workspace ports {workspace}"),
        "unknown" => format!("rig workspace start {workspace}"),
        _ if app.status != AppStatus::Active => format!("rig app start {name}"),
        "failed" => format!("rig app logs {name}"),
        "inactive" => format!("rig app start {name}"),
        _ => format!("rig workspace ports {workspace}"),
    }
}
