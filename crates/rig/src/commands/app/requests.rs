//! `rig app logs --requests`: the last requests to an app, and those that follow.

use std::time::Duration;

use rigbox_types::{
    api::{
        app_requests::{AppRequest, ListAppRequestsResponse},
        apps::App,
    },
    limits::APP_REQUESTS_MAX,
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::path;
use crate::{
    cli::AppLogsArgs,
    client::{ClientError, Document},
    error::{CommandError, CommandResult},
    session::Session,
    size,
};

/// Between two questions for new ones: as often as the platform hears of them.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the server may be away while requests are followed.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// What Ctrl-C means to who follows: enough seen.
const INTERRUPTED: u8 = 130;

/// One request that is followed, for programs.
#[derive(Debug, Serialize)]
struct RequestEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    request: &'a AppRequest,
}

/// Lists the newest, and goes on where asked to.
pub(super) async fn run(session: &Session, args: &AppLogsArgs, app: &App) -> CommandResult {
    session.output.progress(format!("reading the requests of {}", app.name));
    let page = read(session, app, (args.lines.clamp(1, APP_REQUESTS_MAX), 0)).await?;
    if !args.follow && !session.output.is_human() {
        return session.output.document(&page.raw);
    }
    let requests = &page.value.requests;
    if args.lines > 0 || !args.follow {
        write(session, requests)?;
    }
    if args.follow {
        return follow(session, app, page.value.cursor).await;
    }
    if requests.is_empty() {
        session.output.notice("no requests since the platform's last start");
    }
    Ok(())
}

async fn follow(session: &Session, app: &App, mut cursor: u64) -> CommandResult {
    session.output.progress("");
    session.on_interrupt(CommandError::silent(INTERRUPTED));
    let mut answered = Instant::now();
    loop {
        sleep(PAUSE).await;
        match read(session, app, (APP_REQUESTS_MAX, cursor)).await {
            Ok(page) => {
                write(session, &page.value.requests)?;
                (cursor, answered) = (page.value.cursor, Instant::now());
            }
            Err(error) if error.is_passing() && answered.elapsed() < ABSENCE_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn read(
    session: &Session,
    app: &App,
    (limit, after): (u32, u64),
) -> Result<Document<ListAppRequestsResponse>, ClientError> {
    let path = path(&app.id).then("/requests").query("limit", limit.to_string());
    let after = (after > 0).then(|| after.to_string());
    session.client.get(path.query_some("after", after.as_deref())).await
}

fn write(session: &Session, requests: &[AppRequest]) -> CommandResult {
    for request in requests {
        if !session.output.is_human() {
            session.output.record(&RequestEvent { event: "request", request })?;
            continue;
        }
        if request.left_out > 0 {
            session.output.line(format!("… {} more, not listed", request.left_out))?;
        }
        session.output.line(line(request))?;
    }
    Ok(())
}

fn line(of: &AppRequest) -> String {
    let AppRequest { at, status, method, path, client, request_id, .. } = of;
    let took = millis(of.duration_us);
    let sent = size::show_bytes(of.bytes_out);
    let visitor = of.visitor.word();
    format!("{at} {status} {method} {path} {took} {sent} {client} {visitor} {request_id}")
}

fn millis(micros: u64) -> String {
    format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100)
}
