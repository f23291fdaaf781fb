//! `rig app logs`: what an app writes, from one of its log sources.

use rigbox_types::api::app_logs::GetAppLogsResponse;

use super::{find, path, requests, sources, why};
use crate::{
    cli::AppLogsArgs, client::Document, commands::log_lines, error::CommandResult, session::Session,
};

/// Reads the newest lines, and goes on where asked to.
pub(super) async fn run(session: &Session, args: &AppLogsArgs) -> CommandResult {
    let app = find(session, &args.target.app).await?.value;
    if args.requests {
        return requests::run(session, args, &app).await;
    }
    let source = match &args.source {
        Some(typed) => Some(sources::find(session, &app, typed).await?.id.to_string()),
        None => None,
    };
    let mut cursor = None;
    if args.lines > 0 || !args.follow {
        session.output.progress(format!("reading the logs of {}", app.name));
        let path = path(&app.id)
            .then("/logs")
            .query("lines", args.lines.max(1).to_string())
            .query_some("source_id", source.as_deref());
        let page: Result<Document<GetAppLogsResponse>, _> = session.client.get(path).await;
        let page = page.map_err(|error| why(error, &app))?;
        if !args.follow && !session.output.is_human() {
            return session.output.document(&page.raw);
        }
        cursor = log_lines::page(session, &page.value.lines)?;
        if page.value.lines.is_empty() && !args.follow {
            session.output.notice("no lines");
        }
    }
    if !args.follow {
        return Ok(());
    }
    let path = path(&app.id).then("/logs/stream").query_some("source_id", source);
    log_lines::follow(session, &path, cursor, |error| why(error, &app)).await
}
