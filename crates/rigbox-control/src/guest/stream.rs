//! Bodies that pass through: never gathered, cut off when nothing moves or when they grow too long.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rigbox_types::{api::error::ErrorCode, limits::FILE_MAX_BYTES};
use serde_json::json;
use tokio::time::timeout;

use crate::error::ApiError;

/// How long a body may stand still.
const STILL_TIMEOUT: Duration = Duration::from_secs(120);

/// Why an upload was ended by us or by its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is longer than a file may be.
    TooLong,
    /// Nothing came for too long.
    Still,
    /// The sender went away.
    Gone,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the body is longer than a file may be",
            Self::Still => "nothing came for too long",
            Self::Gone => "the sender went away",
        })
    }
}

impl std::error::Error for Cut {}

impl From<Cut> for ApiError {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::TooLong => Self::new(ErrorCode::TooLarge, cut.to_string())
                .with(json!({ "maximum": FILE_MAX_BYTES })),
            Cut::Still | Cut::Gone => Self::request(cut.to_string()),
        }
    }
}

/// An upload on its way to a guest.
pub(crate) struct Upload {
    cut: Arc<OnceLock<Cut>>,
}

impl Upload {
    /// The body to send on, and the handle that later says whether and why it was cut.
    pub(crate) fn new(body: Body) -> (Self, Body) {
        let cut = Arc::new(OnceLock::new());
        let state = (body, 0_u64, cut.clone());
        let chunks = stream::try_unfold(state, |(mut body, seen, cut)| async move {
            match next(&mut body).await.and_then(|chunk| grown(seen, chunk)) {
                Ok(None) => Ok(None),
                Ok(Some((chunk, seen))) => Ok(Some((chunk, (body, seen, cut)))),
                Err(why) => Err(*cut.get_or_init(|| why)),
            }
        });
        (Self { cut }, Body::from_stream(chunks))
    }

    /// Why the body was cut, if it was.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }
}

/// How much has passed with this chunk, unless that is too much.
fn grown(seen: u64, chunk: Option<Bytes>) -> Result<Option<(Bytes, u64)>, Cut> {
    let Some(chunk) = chunk else { return Ok(None) };
    let seen = seen.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    if seen > FILE_MAX_BYTES { Err(Cut::TooLong) } else { Ok(Some((chunk, seen))) }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Cut> {
    loop {
        let Ok(frame) = timeout(STILL_TIMEOUT, body.frame()).await else { return Err(Cut::Still) };
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Cut::Gone),
            // Trailers are left out.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// A guest's body on its way to the client. `patience` is none where silence is normal.
pub(crate) fn download(body: Incoming, patience: Option<Duration>) -> Body {
    let chunks = stream::try_unfold(Body::new(body), move |mut body| async move {
        let chunk = match patience {
            Some(patience) => timeout(patience, body.frame()).await.map_err(|_| Cut::Still)?,
            None => body.frame().await,
        };
        match chunk {
            None => Ok(None),
            Some(Err(_)) => Err(Cut::Gone),
            Some(Ok(frame)) => Ok(Some((frame.into_data().unwrap_or_default(), body))),
        }
    });
    Body::from_stream(chunks)
}

/// How long a file may stand still on its way to the client.
pub(crate) const FILE_PATIENCE: Option<Duration> = Some(STILL_TIMEOUT);
