//! One HTTP/1.1 connection to a workspace, driven by whoever uses it: no task of its own, so a request
//! costs no wake-up of another one. Invariant: whoever holds it is the only one.
//! And one HTTP/2 connection, for gRPC, which many requests share and a task drives.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rigbox_fabric::task;

use super::{Io, RequestBody};

/// Largest head of an answer. The buffer grows as far only where it is needed.
const BUFFER_MAX_BYTES: usize = 256 * 1024;

/// Most headers of an answer.
const HEADERS_MAX: usize = 200;

/// How often an HTTP/2 connection with requests under way is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);

type Driver = Pin<Box<http1::Connection<TokioIo<Io>, RequestBody>>>;

/// An open connection.
pub(crate) struct Conn {
    sender: http1::SendRequest<RequestBody>,
    /// None once it has ended.
    driver: Option<Driver>,
}

/// A request that got no answer.
pub(crate) struct SendFailed {
    /// The request, where nothing of it was sent.
    pub(crate) unsent: Option<Request<RequestBody>>,
    pub(crate) error: hyper::Error,
}

impl Conn {
    /// Begins HTTP on a stream.
    pub(crate) async fn begin(io: Io) -> Result<Self, hyper::Error> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(BUFFER_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(io))
            .await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)) })
    }

    /// Sends a request and waits for the head of its answer, 1xx aside.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailed> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        poll_fn(move |cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            if drive(driver, cx).is_ready() {
                // Ended: its last word is there now.
                return answer.as_mut().poll(cx);
            }
            answer.as_mut().poll(cx)
        })
        .await
        .map_err(|mut failed| SendFailed {
            unsent: failed.take_message(),
            error: failed.into_error(),
        })
    }

    /// Lets the connection go on.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        drive(&mut self.driver, cx)
    }

    /// Whether request and answer went through to their ends, so that another may follow.
    pub(super) fn is_at_rest(&mut self, cx: &mut Context<'_>) -> bool {
        // The first turn reads to the end, a second one takes the next request into account.
        for _ in 0..2 {
            if self.drive(cx).is_ready() {
                return false;
            }
            if self.sender.is_ready() {
                return true;
            }
        }
        false
    }

    /// Whether an idle connection was not closed meanwhile.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.drive(cx).is_pending() && self.sender.is_ready())).await
    }
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(open) = driver else { return Poll::Ready(()) };
    match open.as_mut().poll(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(ended) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection to a workspace ended early");
            }
            // Whoever waits for something of it is told by this.
            *driver = None;
            Poll::Ready(())
        }
    }
}

/// An HTTP/2 connection that requests share.
#[derive(Clone)]
pub(crate) struct Multiplexed(http2::SendRequest<RequestBody>);

impl Multiplexed {
    pub(super) async fn begin(io: Io) -> Result<Self, hyper::Error> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .max_header_list_size(64 * 1024)
            .handshake(TokioIo::new(io))
            .await?;
        task::spawn("edge.grpc", async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "HTTP/2 connection to a workspace ended early");
            }
        });
        Ok(Self(sender))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailed> {
        self.0.try_send_request(request).await.map_err(|mut failed| SendFailed {
            unsent: failed.take_message(),
            error: failed.into_error(),
        })
    }
}
