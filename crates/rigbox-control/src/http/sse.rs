//! Server-sent events: one JSON document each, a comment as heartbeat, the end with the process.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Silence after which a comment is sent, so that nothing between us and the reader gives up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Longest `Last-Event-ID` that is taken.
const LAST_EVENT_ID_MAX_LEN: usize = 512;

/// One event with `data` as JSON.
pub(crate) fn event<T: Serialize>(kind: &str, id: Option<&str>, data: &T) -> Event {
    // JSON without line ends is what `data` needs; a document of ours always serialises.
    let text = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    let event = Event::default().event(kind).data(text);
    match id {
        // An id comes from the guest in part: what could end the line is left out.
        Some(id) if !id.contains(['\n', '\r', '\0']) => event.id(id),
        _ => event,
    }
}

/// An answer that carries `events` until they or the process end.
pub(crate) fn response(
    events: impl Stream<Item = Event> + Send + 'static,
    shutdown: CancellationToken,
) -> Response<Body> {
    let events = events.take_until(shutdown.cancelled_owned()).map(Ok::<Event, Infallible>);
    let alive = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    // Proxies that gather answers before they hand them on would hold the events back.
    response.headers_mut().insert(
        header::HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Where the reader of a broken stream wants to go on.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("last-event-id")?.to_str().ok()?;
    (!text.is_empty() && text.len() <= LAST_EVENT_ID_MAX_LEN).then_some(text)
}
