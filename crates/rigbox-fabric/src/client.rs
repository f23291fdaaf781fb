//! Requests to one other part: HTTP/1.1 over a pool of authenticated connections.
//! Invariant: open connections, idle connections, waits and answers are bounded.
//! Does not repeat a request that may have had effect, and does not interpret documents.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client as Pool,
    rt::{TokioExecutor, TokioTimer},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    Address, Body, ClientAuth, FabricError, MultiplexedClient, Refusal, connect::Connector,
    watch::Watch,
};

/// Most idle connections that are kept for the next request.
const MAX_IDLE: usize = 16;

/// How long an idle connection is kept: less than the listener's patience with one that says
/// nothing, so that a request never meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a JSON request may take in all.
const JSON_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest JSON answer: a page of 200 workspaces with the largest environments fits.
const JSON_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Largest refusal that is read.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// The other parts of one address. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Client {
    address: Arc<Address>,
    pool: Pool<Connector, Body>,
}

impl Client {
    /// Prepares a client; connects at the first request.
    ///
    /// # Errors
    /// Where the address and the kind of trust do not belong together.
    pub fn new(address: Address, auth: &ClientAuth) -> Result<Self, FabricError> {
        let connector = Connector::new(&address, auth).map_err(|source| FabricError::Connect {
            address: address.clone(),
            source: source.into(),
        })?;
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Ok(Self { address: Arc::new(address), pool })
    }

    /// Prepares a client that has all its requests under way over one connection, to a listener that
    /// is served with [`serve_multiplexed`](crate::serve_multiplexed); connects at the first one.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn multiplexed(
        address: Address,
        auth: &ClientAuth,
    ) -> Result<MultiplexedClient, FabricError> {
        MultiplexedClient::new(address, auth)
    }

    /// Where the requests go.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request as it is (only its path and query count) and hands on the answer whatever
    /// its status. Time is the caller's: a body may take long in both directions. An answer of 101
    /// yields its stream with `hyper::upgrade::on`.
    ///
    /// # Errors
    /// Where nothing answers.
    pub async fn request(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, FabricError> {
        *request.uri_mut() = pool_uri(request.uri());
        self.pool.request(request).await.map_err(|error| {
            let address = Address::clone(&self.address);
            if error.is_connect() {
                FabricError::Connect { address, source: error.into() }
            } else {
                FabricError::Broken { address, source: error.into() }
            }
        })
    }

    /// Sends a document and reads the one that answers; an empty answer reads as `()`.
    ///
    /// # Errors
    /// As [`FabricError`]; a status outside 200 to 299 is a refusal.
    pub async fn json<T, U>(&self, method: Method, path: &str, body: &T) -> Result<U, FabricError>
    where
        T: Serialize + Sync + ?Sized,
        U: DeserializeOwned,
    {
        let bytes = serde_json::to_vec(body).map_err(|error| self.malformed(error.to_string()))?;
        let mut request = self.build(method, path, Body::from(bytes))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        self.document(request).await
    }

    /// Reads a document.
    ///
    /// # Errors
    /// As [`Client::json`].
    pub async fn get<U: DeserializeOwned>(&self, path: &str) -> Result<U, FabricError> {
        self.document(self.build(Method::GET, path, Body::empty())?).await
    }

    /// Opens a stream of documents, one a line.
    ///
    /// # Errors
    /// As [`Client::json`], for the answer's head.
    pub async fn watch<T: DeserializeOwned>(&self, path: &str) -> Result<Watch<T>, FabricError> {
        let request = self.build(Method::GET, path, Body::empty())?;
        let answer = self.within(self.request(request)).await?;
        let answer = self.accepted(answer).await?;
        Ok(Watch::new(Address::clone(&self.address), answer.into_body()))
    }

    /// Hands an answer on when its status is 200 to 299 or 101, else reads the refusal.
    ///
    /// # Errors
    /// The refusal.
    pub async fn accepted(
        &self,
        answer: Response<Incoming>,
    ) -> Result<Response<Incoming>, FabricError> {
        let status = answer.status();
        if status.is_success() || status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let read = self.within(self.read(answer.into_body(), REFUSAL_MAX_BYTES)).await;
        // A refusal whose words are lost is still that refusal.
        Err(FabricError::Refused(Refusal::read(status, &read.unwrap_or_default())))
    }

    async fn document<U: DeserializeOwned>(
        &self,
        request: Request<Body>,
    ) -> Result<U, FabricError> {
        let exchange = async {
            let answer = self.accepted(self.request(request).await?).await?;
            self.read(answer.into_body(), JSON_MAX_BYTES).await
        };
        let bytes = self.within(exchange).await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| self.malformed(error.to_string()))
    }

    fn build(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>, FabricError> {
        Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .map_err(|error| self.malformed(error.to_string()))
    }

    async fn read(&self, body: Incoming, limit: usize) -> Result<Bytes, FabricError> {
        match Limited::new(body, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(self.malformed(format!("longer than {limit} bytes")))
            }
            Err(source) => {
                Err(FabricError::Broken { address: Address::clone(&self.address), source })
            }
        }
    }

    async fn within<T>(
        &self,
        exchange: impl Future<Output = Result<T, FabricError>>,
    ) -> Result<T, FabricError> {
        timeout(JSON_TIMEOUT, exchange).await.unwrap_or_else(|_| {
            Err(FabricError::TimedOut { address: Address::clone(&self.address) })
        })
    }

    fn malformed(&self, what: String) -> FabricError {
        FabricError::Malformed { address: Address::clone(&self.address), what }
    }
}

/// The pool wants a whole URI; the authority is a constant because a client has one address.
pub(crate) fn pool_uri(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(http::uri::Authority::from_static("fabric"));
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).expect("scheme, authority and path are set above")
}
