//! `rig workspace logs`: the journal of a workspace. Lines are made safe for a terminal whether or
//! not there is one; `--output json` has them as they are.

use std::time::Duration;

use http::Method;
use rigbox_types::{
    api::workspaces::Vm,
    guest::{GetWorkspaceLogsResponse, LogLine, services::UNIT_PREFIX},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::find_workspace;
use crate::{
    cli::LogsArgs,
    client::{Call, ClientError, Document, Events, Path},
    error::{CommandError, CommandResult},
    session::{Session, Verb, explain, workspace_path},
};

/// How long the server may be away while its logs are followed.
const ABSENCE_MAX: Duration = Duration::from_secs(60);
/// Before the stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// One line of a followed log, for programs.
#[derive(Debug, Serialize)]
struct LineEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    line: &'a LogLine,
}

/// Reads the newest lines, and goes on where asked to.
pub(super) async fn run(session: &Session, args: &LogsArgs) -> CommandResult {
    let vm = find_workspace(session, args.target.typed()).await?;
    let mut cursor = None;
    if args.lines > 0 || !args.follow {
        let page = page(session, args, &vm).await?;
        if !args.follow && !session.output.is_human() {
            return session.output.document(&page.raw);
        }
        for line in &page.value.lines {
            write(session, line)?;
        }
        if page.value.lines.is_empty() && !args.follow {
            session.output.notice("no lines");
        }
        cursor = page.value.lines.last().and_then(|line| line.cursor.clone());
    }
    if !args.follow {
        return Ok(());
    }
    follow(session, args, &vm, cursor).await
}

async fn page(
    session: &Session,
    args: &LogsArgs,
    vm: &Vm,
) -> CommandResult<Document<GetWorkspaceLogsResponse>> {
    let path = match &args.service {
        Some(service) => workspace_path(&vm.id).then("/services").segment(service).then("/logs"),
        None => workspace_path(&vm.id).then("/logs"),
    };
    let path = path.query("lines", args.lines.max(1).to_string());
    let path = path.query_some("unit", args.unit.as_deref());
    session.output.progress(format!("reading the logs of {}", vm.name));
    let answer = session.client.get(path).await;
    answer.map_err(|error| explain(error, Verb::Enter, vm.name.as_str()))
}

async fn follow(
    session: &Session,
    args: &LogsArgs,
    vm: &Vm,
    mut cursor: Option<String>,
) -> CommandResult {
    // Nothing moves on the screen between two lines: that is what following looks like.
    session.output.progress("");
    session.on_interrupt(CommandError::silent(INTERRUPTED));
    let unit = match &args.service {
        Some(service) => Some(format!("{UNIT_PREFIX}{service}.service")),
        None => args.unit.clone(),
    };
    let path = workspace_path(&vm.id).then("/logs/stream").query_some("unit", unit);
    let mut answered = Instant::now();
    loop {
        match stream(session, &path, &mut cursor, &mut answered).await {
            Ok(()) => {}
            Err(Broken::Output(error)) => return Err(error),
            Err(Broken::Client(error))
                if error.is_passing() && answered.elapsed() < ABSENCE_MAX => {}
            Err(Broken::Client(error)) => {
                return Err(explain(error, Verb::Enter, vm.name.as_str()));
            }
        }
        sleep(PAUSE).await;
    }
}

/// What Ctrl-C means to who follows a log: enough seen.
const INTERRUPTED: u8 = 130;

/// Why a stream of lines ended early.
enum Broken {
    Client(ClientError),
    Output(CommandError),
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

async fn stream(
    session: &Session,
    path: &Path,
    cursor: &mut Option<String>,
    answered: &mut Instant,
) -> Result<(), Broken> {
    let path = path.clone().query_some("cursor", cursor.as_deref());
    let call = Call::new(Method::GET, path).after_event(cursor.clone());
    let mut events = Events::new(&session.client, session.client.open(&call).await?);
    *answered = Instant::now();
    while let Some(event) = events.next().await? {
        *answered = Instant::now();
        if event.kind != "line" {
            continue;
        }
        let line: LogLine = serde_json::from_str(&event.data)
            .map_err(|error| session.client.unexpected(error.to_string()))?;
        write(session, &line).map_err(Broken::Output)?;
        if let Some(id) = event.id.or(line.cursor) {
            *cursor = Some(id);
        }
    }
    Ok(())
}

fn write(session: &Session, line: &LogLine) -> CommandResult {
    if !session.output.is_human() {
        return session.output.record(&LineEvent { event: "line", line });
    }
    let parts = [line.timestamp.as_deref(), line.unit.as_deref(), Some(line.message.as_str())];
    session.output.line(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}
