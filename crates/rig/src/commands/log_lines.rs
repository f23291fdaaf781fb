//! Lines of a log: a page of them, and those that follow, across breaks of the connection. Lines are
//! made safe for a terminal whether or not there is one; `--output json` has them as they are.
//! Does not know whose log it is.

use std::time::Duration;

use http::Method;
use rigbox_types::guest::LogLine;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Call, ClientError, Events, Path},
    error::{CommandError, CommandResult},
    session::Session,
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

/// Writes the lines of a page, and says where they end.
pub(super) fn page(session: &Session, lines: &[LogLine]) -> CommandResult<Option<String>> {
    for line in lines {
        write(session, line)?;
    }
    Ok(lines.last().and_then(|line| line.cursor.clone()))
}

/// Writes lines as they come, from the cursor on, until Ctrl-C; `explain` says why there are no more
/// of them.
pub(super) async fn follow(
    session: &Session,
    path: &Path,
    mut cursor: Option<String>,
    explain: impl Fn(ClientError) -> CommandError,
) -> CommandResult {
    // Nothing moves on the screen between two lines: that is what following looks like.
    session.output.progress("");
    session.on_interrupt(CommandError::silent(INTERRUPTED));
    let mut answered = Instant::now();
    loop {
        match stream(session, path, &mut cursor, &mut answered).await {
            Ok(()) => {}
            Err(Broken::Output(error)) => return Err(error),
            Err(Broken::Client(error))
                if error.is_passing() && answered.elapsed() < ABSENCE_MAX => {}
            Err(Broken::Client(error)) => return Err(explain(error)),
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
