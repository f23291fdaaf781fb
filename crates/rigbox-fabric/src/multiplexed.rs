//! HTTP/2 between parts: many long streams over one authenticated connection.
//! Invariants: streams, what each holds unread, header lists and silences are bounded; a stream that
//! nobody reads keeps no other one waiting; a connection whose other end is gone carries no further
//! request; a body is whole or fails.
//! Does not repeat a request that may have had effect, and does not interpret documents.
//!
//! Both ends are parts of the platform that know each other before the first byte. What a guest or
//! a provider makes them do is what must not cost the connection, which all workspaces share: that
//! many hang up at once is nobody's fault, and counts against nobody.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    client::conn::http2::{Builder, SendRequest},
    server::conn::http2::Builder as ServerBuilder,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    Address, Body, ClientAuth, FabricError,
    client::pool_uri,
    connect::{CONNECT_TIMEOUT, ConnectError, Connector},
    whole::Whole,
};

/// The protocol's name in a TLS handshake.
pub(crate) const ALPN: &[u8] = b"h2";

/// What a client says before anything else.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most streams of one connection: twice the AI calls that a host lets its workspaces have.
pub(crate) const MAX_STREAMS: u32 = 2_048;

/// What a client holds at most of an answer that is not read.
const CLIENT_WINDOW_BYTES: u32 = 64 * 1024;

/// What it holds of all of them: each one's window, so that no number of answers which nobody reads
/// uses up what the others need.
const CLIENT_WINDOWS_BYTES: u32 = CLIENT_WINDOW_BYTES * MAX_STREAMS;

/// What a server holds at most of a body that is not read: more than a client, because bodies are
/// short and shall come at once.
const SERVER_WINDOW_BYTES: u32 = 256 * 1024;

/// What it holds of all of them. Handlers read bodies as they come, or give them up.
const SERVER_WINDOWS_BYTES: u32 = 16 * 1024 * 1024;

/// What either side holds at most of a stream that the other one does not take.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Largest list of headers.
const HEADERS_MAX_BYTES: u32 = 64 * 1024;

/// How often the other side is asked whether it is there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Most streams that were given up before the server has looked at them. The library's 20 would end
/// the connection when a workspace that has many calls under way stops.
const MAX_UNSEEN_RESETS: usize = 8_192;

/// Most streams whose late frames are still expected after the client gave them up.
const MAX_LATE_STREAMS: usize = 4_096;

/// Times that a request which was not sent is given to another connection.
const ATTEMPTS: usize = 2;

/// Requests to one other part over one connection. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct MultiplexedClient {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    connector: Connector,
    open: Mutex<Option<Open>>,
    /// Whoever has it connects; the others wait for the outcome.
    turn: Semaphore,
    /// Places for streams, those whose answer has not been read to its end included.
    places: Arc<Semaphore>,
}

/// The connection for the next request. It ends by itself, after its last stream.
struct Open {
    sender: SendRequest<Body>,
    /// Its socket, for as long as it takes requests.
    socket: Weak<OwnedFd>,
}

impl MultiplexedClient {
    pub(crate) fn new(address: Address, auth: &ClientAuth) -> Result<Self, FabricError> {
        let connector = Connector::multiplexed(&address, auth).map_err(|source| {
            FabricError::Connect { address: address.clone(), source: source.into() }
        })?;
        let places = Arc::new(Semaphore::new(MAX_STREAMS as usize));
        let (open, turn) = (Mutex::new(None), Semaphore::new(1));
        Ok(Self { shared: Arc::new(Shared { address, connector, open, turn, places }) })
    }

    /// Where the requests go.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Sends a request as it is (only its path and query count) and hands on the answer whatever
    /// its status. Time is the caller's, once there is a connection. Whoever drops this or the
    /// answer's body gives the stream up, and the other side learns it at once. The answer's body
    /// fails where it is cut off.
    ///
    /// # Errors
    /// Where nothing answers.
    pub async fn request(&self, mut request: Request<Body>) -> Result<Response<Body>, FabricError> {
        *request.uri_mut() = pool_uri(request.uri());
        let place = timeout(CONNECT_TIMEOUT, self.shared.places.clone().acquire_owned());
        let place = place.await.map_err(|_| ConnectError::Full).and_then(|place| Ok(place?));
        let place = place.map_err(|error| self.unreachable(error))?;
        let mut left = ATTEMPTS;
        loop {
            left = left.saturating_sub(1);
            let mut sender = self.sender().await.map_err(|error| self.unreachable(error))?;
            let mut error = match sender.try_send_request(request).await {
                Ok(answer) => {
                    return Ok(answer.map(|body| Body::new(Whole::new(body, Some(place)))));
                }
                Err(error) => error,
            };
            // Comes back where the connection ended before any of it was sent.
            match error.take_message() {
                Some(unsent) if left > 0 => request = unsent,
                _ => {
                    let address = self.shared.address.clone();
                    return Err(FabricError::Broken { address, source: error.into_error().into() });
                }
            }
        }
    }

    /// A connection that takes requests.
    async fn sender(&self) -> Result<SendRequest<Body>, ConnectError> {
        if let Some(sender) = self.shared.open() {
            return Ok(sender);
        }
        let connect = async {
            let _turn = self.shared.turn.acquire().await?;
            match self.shared.open() {
                Some(sender) => Ok(sender),
                None => self.shared.connect().await,
            }
        };
        // The wait for the turn counts: nobody waits for one failure after another.
        timeout(CONNECT_TIMEOUT, connect).await?
    }

    fn unreachable(&self, error: ConnectError) -> FabricError {
        FabricError::Connect { address: self.shared.address.clone(), source: error.into() }
    }
}

impl Shared {
    /// The open connection, where its other end is there.
    fn open(&self) -> Option<SendRequest<Body>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.as_ref().is_some_and(Open::takes_requests) {
            *open = None;
        }
        open.as_ref().map(|open| open.sender.clone())
    }

    async fn connect(&self) -> Result<SendRequest<Body>, ConnectError> {
        let connection = self.connector.clone().connect().await?;
        let socket = Arc::new(connection.socket()?);
        let weak = Arc::downgrade(&socket);
        let handshake = client_builder().handshake(TokioIo::new(connection));
        let (sender, connection) = handshake.await.map_err(std::io::Error::other)?;
        // Not one of the process's tasks that shutting down waits for: it lasts as long as the
        // client does, or the other side.
        tokio::spawn(async move {
            let _socket = socket;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
        let open = Open { sender: sender.clone(), socket: weak };
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
        Ok(sender)
    }
}

impl Open {
    /// Asks the kernel too: that the other side has closed may not have been read yet, and a request
    /// that is sent nevertheless is lost.
    fn takes_requests(&self) -> bool {
        let Some(socket) = self.socket.upgrade() else { return false };
        let mut fds = [PollFd::new(&socket, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        !self.sender.is_closed() && matches!(poll(&mut fds, Some(&now)), Ok(0))
    }
}

fn client_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(CLIENT_WINDOW_BYTES)
        .initial_connection_window_size(CLIENT_WINDOWS_BYTES)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .max_concurrent_reset_streams(MAX_LATE_STREAMS)
        // Counts for as long as the connection lasts, also what comes late for streams that guests
        // gave up: it would be they who end it.
        .max_local_error_reset_streams(None);
    builder
}

/// How a listener speaks HTTP/2.
pub(crate) fn server_builder() -> ServerBuilder<TokioExecutor> {
    let mut builder = ServerBuilder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(SERVER_WINDOW_BYTES)
        .initial_connection_window_size(SERVER_WINDOWS_BYTES)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        // As the client's: a body that is refused early comes late.
        .max_local_error_reset_streams(None);
    builder
}
