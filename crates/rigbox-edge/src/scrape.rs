//! Answers `/metrics`, on this machine only. Knows no visitor.
//! Invariant: a unix socket is at its place only from when the edge serves on, and an edge that is to be
//! followed has it until then: whoever waits for an edge looks who listens there.

use std::{
    convert::Infallible, io, net::TcpListener as StdTcpListener, os::unix::fs::PermissionsExt as _,
    sync::Arc, time::Duration,
};

use bytes::Bytes;
use camino::Utf8PathBuf;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    time::{sleep, timeout},
};

use crate::{config::MetricsListen, edge::Edge, error::EdgeError};

/// How long one question may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where it is asked.
pub(crate) enum Scrape {
    Tcp(TcpListener),
    /// Not at its place yet.
    Unix {
        listener: UnixListener,
        made_at: Utf8PathBuf,
        place: Utf8PathBuf,
    },
}

/// Opens the listener.
pub(crate) fn bind(listen: MetricsListen) -> Result<Scrape, EdgeError> {
    let bind = || -> io::Result<Scrape> {
        match listen {
            MetricsListen::Tcp(address) if !address.ip().is_loopback() => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "not a loopback address"))
            }
            MetricsListen::Tcp(address) => {
                let listener = StdTcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Scrape::Tcp)
            }
            MetricsListen::Unix(place) => {
                let made_at = place.with_file_name(format!("new.{}", std::process::id()));
                match std::fs::remove_file(&made_at) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                let listener = UnixListener::bind(&made_at)?;
                std::fs::set_permissions(&made_at, std::fs::Permissions::from_mode(0o600))?;
                Ok(Scrape::Unix { listener, made_at, place })
            }
        }
    };
    bind().map_err(|source| EdgeError::Listen { what: "metrics", source })
}

impl Scrape {
    /// Says that the edge serves.
    pub(crate) fn serves(&self) -> Result<(), EdgeError> {
        let Self::Unix { made_at, place, .. } = self else { return Ok(()) };
        std::fs::rename(made_at, place)
            .map_err(|source| EdgeError::Listen { what: "metrics", source })
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        if let Self::Unix { made_at, .. } = self {
            // Not there where the edge came to serve.
            drop(std::fs::remove_file(made_at));
        }
    }
}

/// Answers, one question at a time, until the edge has ended.
pub(crate) async fn serve(edge: Arc<Edge>, scrape: Scrape) {
    let accept = async {
        loop {
            let error = match &scrape {
                Scrape::Tcp(listener) => match listener.accept().await {
                    Ok((stream, _)) => {
                        answer(&edge, stream).await;
                        continue;
                    }
                    Err(error) => error,
                },
                Scrape::Unix { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => {
                        answer(&edge, stream).await;
                        continue;
                    }
                    Err(error) => error,
                },
            };
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
        }
    };
    edge.ended.run_until_cancelled(accept).await;
}

async fn answer<S>(edge: &Arc<Edge>, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        let mut answer = Response::new(Full::new(Bytes::new()));
        if request.uri().path() == "/metrics" {
            *answer.body_mut() = Full::new(Bytes::from(edge.metrics.text()));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        } else {
            *answer.status_mut() = StatusCode::NOT_FOUND;
        }
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(TIMEOUT, connection).await {
        tracing::debug!(%error, "metrics not told");
    }
}
