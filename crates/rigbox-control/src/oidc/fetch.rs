//! Requests to a provider: one connection each, bounded in every direction.
//! Invariant: a request ends within [`LIMIT`], whatever the other side does; a redirect is not
//! followed; no more than [`BODY_MAX_BYTES`] of an answer are held; no more than [`AT_ONCE_MAX`]
//! requests to one provider are under way.
//! Does not know what an answer means.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::url::ProviderUrl;

/// How long a request may take, from the look-up of the name to the last byte. A person waits.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Most of an answer that is read. Key sets and metadata of large providers have some 20 KiB.
const BODY_MAX_BYTES: usize = 256 * 1024;
/// Most of an answer's head.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Most header fields of an answer.
const MAX_HEADERS: usize = 64;
/// Requests to one provider at once; further ones are refused rather than queued.
const AT_ONCE_MAX: usize = 32;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Too many are under way.
    #[error("{AT_ONCE_MAX} requests to the provider are under way already")]
    Busy,
    /// It took too long.
    #[error("no whole answer within {} s", LIMIT.as_secs())]
    Slow,
    /// It failed a moment ago.
    #[error("it failed a moment ago")]
    Down,
    /// No connection.
    #[error("connect")]
    Connect(#[source] std::io::Error),
    /// The name cannot be in a certificate.
    #[error("its name cannot be in a certificate")]
    Name,
    /// The connection, in the middle.
    #[error("exchange")]
    Exchange(#[source] hyper::Error),
    /// The answer's body: too large, or cut.
    #[error("read the answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Neither what was asked for nor a refusal that is known.
    #[error("answered {0}")]
    Status(StatusCode),
    /// The answer is no such document. Its text may quote the document, which may hold a token.
    #[error("the answer is not the document that belongs there")]
    Document,
    /// The provider's metadata do not say what they must.
    #[error("the provider's metadata: {0} is not what it must be")]
    Metadata(&'static str),
    /// A request that cannot be written: a secret with odd characters.
    #[error("the request cannot be written")]
    Request,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// The document, if there is one.
    pub(super) fn document<T: DeserializeOwned>(&self) -> Result<T, FetchError> {
        serde_json::from_slice(&self.body).map_err(|_| FetchError::Document)
    }
}

/// Sends requests to one provider.
pub(super) struct Fetcher {
    tls: Arc<ClientConfig>,
    places: Semaphore,
}

/// Why a provider's certificates cannot be checked.
#[derive(Debug, thiserror::Error)]
#[error("certificates to know the provider by: {0}")]
pub struct InvalidRoots(String);

impl Fetcher {
    /// Trusts the system's certificates, and those of `authorities` (PEM) besides.
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in CertificateDer::pem_slice_iter(authorities.unwrap_or_default()) {
            let certificate = certificate.map_err(|error| InvalidRoots(error.to_string()))?;
            roots.add(certificate).map_err(|error| InvalidRoots(error.to_string()))?;
        }
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidRoots(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), places: Semaphore::new(AT_ONCE_MAX) })
    }

    /// Gets a document; `bearer` is sent as the authorization where there is one.
    pub(super) async fn get(
        &self,
        url: &ProviderUrl,
        bearer: Option<&str>,
    ) -> Result<Answer, FetchError> {
        let authorization = bearer.map(|token| format!("Bearer {token}"));
        self.send("GET", url, (authorization.as_deref(), Bytes::new())).await
    }

    /// Posts a form.
    pub(super) async fn post(
        &self,
        url: &ProviderUrl,
        authorization: Option<&str>,
        form: String,
    ) -> Result<Answer, FetchError> {
        self.send("POST", url, (authorization, form.into())).await
    }

    async fn send(
        &self,
        method: &str,
        url: &ProviderUrl,
        (authorization, body): (Option<&str>, Bytes),
    ) -> Result<Answer, FetchError> {
        let request = request(method, url, authorization, body)?;
        let _place = self.places.try_acquire().map_err(|_| FetchError::Busy)?;
        let exchange = Box::pin(self.exchange(url, request));
        timeout(LIMIT, exchange).await.map_err(|_| FetchError::Slow)?
    }

    async fn exchange(
        &self,
        url: &ProviderUrl,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, FetchError> {
        let io = self.connect(url).await?;
        let mut builder = http1::Builder::new();
        builder.max_headers(MAX_HEADERS).max_buf_size(HEAD_MAX_BYTES);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(io)).await.map_err(FetchError::Exchange)?;
        let asking = async move {
            let answer = sender.send_request(request).await.map_err(FetchError::Exchange)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), BODY_MAX_BYTES).collect().await;
            Ok(Answer { status, body: body.map_err(FetchError::Body)?.to_bytes() })
        };
        // Here and in no task of its own: where the wait is over, so is the connection.
        let (mut asking, mut connection) = (Box::pin(asking), Box::pin(connection));
        tokio::select! {
            answer = &mut asking => return answer,
            ended = &mut connection => ended.map_err(FetchError::Exchange)?,
        }
        asking.await
    }

    async fn connect(&self, url: &ProviderUrl) -> Result<Box<dyn Io>, FetchError> {
        let stream =
            TcpStream::connect((url.host(), url.port())).await.map_err(FetchError::Connect)?;
        if !url.is_encrypted() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(url.host().to_owned()).map_err(|_| FetchError::Name)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(FetchError::Connect)?))
    }
}

/// Bytes in both directions.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

fn request(
    method: &str,
    url: &ProviderUrl,
    authorization: Option<&str>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let uri = url.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "rigbox");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    if let Some(value) = authorization {
        let mut value = HeaderValue::from_str(value).map_err(|_| FetchError::Request)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Full::new(body)).map_err(|_| FetchError::Request)
}
