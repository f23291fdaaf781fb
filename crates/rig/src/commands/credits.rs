//! `rig credits`: how many AI credits are left, and what became of the others.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use rigbox_types::{
    Credits,
    api::credits::{AiCredits, CreditStatementResponse},
};
use tokio::time::timeout;

use crate::{
    cli::CreditsArgs,
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    output::{Fields, Table, ago},
    session::Session,
};

/// Longest time without a piece of a table: each takes the server one look at its database.
const CSV_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Does what the command says.
pub(super) async fn run(session: &Session, args: &CreditsArgs) -> CommandResult {
    if args.csv {
        return csv(session).await;
    }
    if args.statement { statement(session, args.limit).await } else { show(session).await }
}

async fn show(session: &Session) -> CommandResult {
    let output = &session.output;
    output.progress("reading the account's credits");
    let answer: Document<AiCredits> = session.client.get(Path::api("/users/me/credits")).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let credits = &answer.value;
    let mut fields = Fields::default();
    fields
        .add("mode", &credits.mode)
        .add("left", left(credits))
        .add("used this month", micro(credits.used_micro))
        .add("held by calls", micro(credits.held_micro));
    if let Some(at) = credits.expires_at.filter(|_| !credits.unlimited) {
        fields.add("expiring", format!("{} at {at}", micro(credits.granted_micro)));
    }
    output.fields(&fields)
}

async fn statement(session: &Session, limit: u32) -> CommandResult {
    let output = &session.output;
    output.progress("reading the account's statement");
    let path = Path::api("/users/me/credits/statement").query("max_results", limit.to_string());
    let answer: Document<CreditStatementResponse> = session.client.get(path).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["WHEN", "KIND", "CREDITS", "BALANCE", "REASON"]);
    for entry in &answer.value.entries {
        table.row([
            ago(now, entry.at).into(),
            entry.kind.as_str().into(),
            micro(entry.amount_micro).into(),
            micro(entry.balance_micro).into(),
            (&entry.reason).into(),
        ]);
    }
    output.table(&table, "nothing has happened to the account's credits yet")
}

/// All of the statement, as the server lays it out, piece by piece.
async fn csv(session: &Session) -> CommandResult {
    let output = &session.output;
    output.progress("reading the account's statement");
    let path = Path::api("/users/me/credits/statement").query("format", "csv");
    let mut body = session.client.open(&Call::new(Method::GET, path)).await?.into_body();
    let cut =
        || CommandError::failed("the statement was cut off: what is written is not all of it");
    loop {
        let next = timeout(CSV_SILENCE_MAX, output.during(body.frame())).await;
        match next.map_err(|_| cut())? {
            None => return Ok(()),
            Some(Err(_)) => return Err(cut()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => output.bytes(&bytes)?,
                Err(_trailers) => {}
            },
        }
    }
}

/// What is left of what there was this month.
pub(super) fn left(credits: &AiCredits) -> String {
    if credits.unlimited {
        return "no limit".to_owned();
    }
    format!("{} of {}", micro(credits.remaining_micro), micro(credits.total_micro))
}

/// Exact, and not beyond what a server may say.
fn micro(micro: i64) -> String {
    Credits::from_micro(micro).map_or_else(|_| "-".to_owned(), |credits| credits.to_string())
}
