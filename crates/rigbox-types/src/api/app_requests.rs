//! The last requests to an app, one by one, as its edges saw them.
//! Invariant: nothing secret is among it that the edge can know of: no query, no header, no body, no
//! name of a visitor.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Longest path of a request that is kept, in bytes; what is longer is cut.
pub const REQUEST_PATH_MAX_LEN: usize = 256;

/// Longest method of a request that is kept, in bytes; what is longer is cut.
pub const REQUEST_METHOD_MAX_LEN: usize = 16;

/// Longest id of a request, in bytes.
pub const REQUEST_ID_MAX_LEN: usize = 64;

/// A request to an app, after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppRequest {
    /// When it began.
    pub at: Timestamp,
    /// Its id, which the visitor has, too: the header `x-request-id` of the answer.
    pub request_id: String,
    /// Its method.
    pub method: String,
    /// Its path, without the query, which may hold a secret; cut where it is long.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Until the answer had begun, in microseconds.
    pub began_us: u64,
    /// Until it had ended, in microseconds; for a WebSocket, until that was open.
    pub duration_us: u64,
    /// Bytes of the answer's body that were sent.
    pub bytes_out: u64,
    /// Where the visitor's connection came from.
    pub client: IpAddr,
    /// What let the visitor in.
    pub visitor: VisitorKind,
    /// How many requests to the app there were since the one before that are not listed, because they
    /// were too many.
    #[serde(default)]
    pub left_out: u32,
}

/// What let a visitor in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VisitorKind {
    /// Nothing: the visitor was turned away, and the app has seen nothing of the request.
    Refused,
    /// The app is public.
    Anyone,
    /// An API key.
    Key,
    /// Having signed in, with a browser.
    Session,
    /// A share link.
    Link,
    /// Nothing, but a browser's question what a page may ask passes.
    Preflight,
}

impl VisitorKind {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Anyone => "anyone",
            Self::Key => "key",
            Self::Session => "session",
            Self::Link => "link",
            Self::Preflight => "preflight",
        }
    }
}

impl AppRequest {
    /// The same with no text longer than it may be.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        cut(&mut self.path, REQUEST_PATH_MAX_LEN);
        cut(&mut self.method, REQUEST_METHOD_MAX_LEN);
        cut(&mut self.request_id, REQUEST_ID_MAX_LEN);
        self
    }
}

fn cut(text: &mut String, max_len: usize) {
    text.truncate(text.floor_char_boundary(max_len));
    // What was read from a large document would hold on to its room.
    text.shrink_to_fit();
}

/// `GET /apps/{id}/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListAppRequestsResponse {
    /// The newest of them, in the order in which they ended, newest last.
    pub requests: Vec<AppRequest>,
    /// What to say as `after` to get what comes after them.
    pub cursor: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_request_is_longer_than_it_may_be() {
        let long = "ä".repeat(1_000);
        let request = AppRequest {
            at: Timestamp::from_micros(0),
            request_id: long.clone(),
            method: long.clone(),
            path: long,
            status: 200,
            began_us: 0,
            duration_us: 0,
            bytes_out: 0,
            client: IpAddr::from([192, 0, 2, 1]),
            visitor: VisitorKind::Anyone,
            left_out: 0,
        };
        let bounded = request.bounded();
        let lengths = [bounded.path.len(), bounded.method.len(), bounded.request_id.len()];
        assert_eq!(lengths, [REQUEST_PATH_MAX_LEN, REQUEST_METHOD_MAX_LEN, REQUEST_ID_MAX_LEN]);
    }

    #[test]
    fn a_kind_of_visitor_is_written_as_it_is_in_documents() {
        use VisitorKind::{Anyone, Key, Link, Preflight, Refused, Session};
        for kind in [Refused, Anyone, Key, Session, Link, Preflight] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }
}
