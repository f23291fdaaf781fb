//! The guest's log: journald's where it runs, else a file.

mod entry;
mod file;
mod journald;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use rigbox_types::{
    guest::{
        GetWorkspaceLogsResponse, LogDirection, LogLine,
        journal::{CURSOR_MAX_BYTES, MESSAGE_MAX_BYTES},
    },
    limits::{LOG_LINES_DEFAULT, LOG_LINES_MAX},
};

use super::{
    Guest,
    exchange::{self, Answer},
    query::Query,
    refusal::Refusal,
};

/// Most bytes of messages in one page; a page may have fewer lines than asked for.
const PAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Longest that reading a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(20);

/// What of the log is asked for.
#[derive(Debug, Clone)]
struct Selection {
    lines: usize,
    direction: LogDirection,
    cursor: Option<String>,
    unit: Option<String>,
}

/// Answers a request for `/logs`.
pub(crate) async fn route(
    guest: &Guest,
    segments: &[&str],
    uri: &http::Uri,
) -> Result<Answer, Refusal> {
    let selection = Selection::of(&Query::of(uri)?)?;
    match segments {
        ["logs"] => Ok(exchange::json(&page(guest, selection).await?)),
        ["logs", "stream"] => follow(guest, selection),
        _ => Err(Refusal::not_found(uri.path())),
    }
}

impl Selection {
    fn of(query: &Query) -> Result<Self, Refusal> {
        let lines = query.parsed::<u32>("lines")?.unwrap_or(LOG_LINES_DEFAULT);
        if lines == 0 || lines > LOG_LINES_MAX {
            return Err(Refusal::field("lines", format_args!("must be from 1 to {LOG_LINES_MAX}")));
        }
        let direction = query.text("direction").map(str::parse).transpose();
        let direction = direction.map_err(|error| Refusal::field("direction", error))?;
        // Both become arguments of a program.
        let is_plain = |text: &str, extra: &str| {
            text.len() <= CURSOR_MAX_BYTES
                && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        let text = |name: &'static str, extra: &str| match query.text(name) {
            None | Some("") => Ok(None),
            Some(text) if is_plain(text, extra) => Ok(Some(text.to_owned())),
            Some(_) => Err(Refusal::field(name, "is not one of this log")),
        };
        Ok(Self {
            lines: usize::try_from(lines).unwrap_or(usize::MAX),
            direction: direction.unwrap_or_default(),
            cursor: text("cursor", "=;-_")?,
            unit: text("unit", "@._:-\\")?,
        })
    }
}

async fn page(guest: &Guest, selection: Selection) -> Result<GetWorkspaceLogsResponse, Refusal> {
    let reading = async {
        if journald::is_there(guest) {
            journald::page(&selection).await
        } else {
            let (guest, selection) = (guest.clone(), selection.clone());
            let reading = tokio::task::spawn_blocking(move || file::page(&guest.root, &selection));
            reading.await.map_err(|error| Refusal::internal("log", &error))?
        }
    };
    tokio::time::timeout(PAGE_TIMEOUT, reading)
        .await
        .map_err(|_| Refusal::unavailable("the log does not answer"))?
}

/// Makes a page of lines in the order in which they were read, of which there may be one too many.
fn paged(mut read: Vec<LogLine>, selection: &Selection) -> GetWorkspaceLogsResponse {
    let mut bytes: usize = 0;
    let fitting = read
        .iter()
        .take(selection.lines)
        .take_while(|line| {
            bytes = bytes.saturating_add(line.message.len());
            bytes <= PAGE_MAX_BYTES
        })
        .count();
    let has_more = read.len() > fitting;
    read.truncate(fitting);
    let cursor =
        read.last().and_then(|line| line.cursor.clone()).or_else(|| selection.cursor.clone());
    if selection.direction == LogDirection::Newest {
        read.reverse();
    }
    for (number, line) in (1..).zip(&mut read) {
        line.line_number = number;
    }
    GetWorkspaceLogsResponse { lines: read, cursor, has_more }
}

fn follow(guest: &Guest, selection: Selection) -> Result<Answer, Refusal> {
    let place = guest.followers.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::unavailable("too many follow this log already"))?;
    let source = if journald::is_there(guest) {
        Source::Journald(journald::Follower::start(&selection)?)
    } else {
        Source::File(file::Follower::start(guest.root.clone(), &selection))
    };
    let lines = stream::unfold((source, place, 0_u64), async |(mut source, place, number)| {
        let mut line = match &mut source {
            Source::Journald(follower) => follower.next().await,
            Source::File(follower) => Some(follower.next().await),
        }?;
        line.line_number = number.saturating_add(1);
        let number = line.line_number;
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        Some((Ok(Frame::data(Bytes::from(bytes))), (source, place, number)))
    });
    Ok(exchange::ndjson(StreamBody::new(lines).boxed_unsync()))
}

enum Source {
    Journald(journald::Follower),
    File(file::Follower),
}

/// Cuts a message that is too long, at the end of a character.
fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_MAX_BYTES {
        let end = (0..=MESSAGE_MAX_BYTES).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            line_number: 0,
            message: text.to_owned(),
            timestamp: None,
            cursor: Some(text.to_owned()),
            unit: None,
            priority: None,
        }
    }

    fn check(
        lines: usize,
        direction: LogDirection,
        read: &[&str],
        expected: (&[&str], &str, bool),
    ) {
        let selection = Selection { lines, direction, cursor: None, unit: None };
        let page = paged(read.iter().map(|text| line(text)).collect(), &selection);
        let texts: Vec<&str> = page.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!((texts.as_slice(), page.cursor.as_deref().unwrap(), page.has_more), expected);
    }

    #[test]
    fn a_page_is_in_order_of_time_and_goes_on_at_its_far_end() {
        check(2, LogDirection::Oldest, &["1", "2", "3"], (&["1", "2"], "2", true));
        check(2, LogDirection::Newest, &["9", "8", "7"], (&["8", "9"], "8", true));
        check(2, LogDirection::Newest, &["9"], (&["9"], "9", false));
        let long = "x".repeat(PAGE_MAX_BYTES - 1);
        check(9, LogDirection::Oldest, &["1", &long, "3"], (&["1", &long], &long, true));
    }

    #[test]
    fn what_could_become_another_argument_is_refused() {
        for query in
            ["cursor=a%20b", "cursor=a/b", "unit=--x%0a", "lines=0", "lines=5001", "direction=up"]
        {
            let uri = format!("/logs?{query}").parse().unwrap();
            assert!(Selection::of(&Query::of(&uri).unwrap()).is_err(), "{query}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = cut("€".repeat(MESSAGE_MAX_BYTES));
        assert!(cut.len() <= MESSAGE_MAX_BYTES + '…'.len_utf8() && cut.ends_with("€…"));
    }
}
