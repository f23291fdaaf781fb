//! Carries signed requests to the object store and answers back, over TLS where its address says so.
//! Invariant: every wait has a limit; what fails in a way that may pass is tried again, a few times;
//! Ctrl-C ends a wait, so that whoever waits can clean up.

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use url::Url;

/// How long a signed link is good for.
pub(super) const LINK_LIFE: Duration = Duration::from_secs(3600);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// For an answer, with no body sent; and the slowest way that one may go.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
const SLOWEST_BYTES_S: u64 = 64 * 1024;

/// Silence within a stream.
const STREAM_TIMEOUT: Duration = Duration::from_secs(60);

/// Tries in all, and the pause after the first, which doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Largest answer that is a document.
const DOCUMENT_MAX_BYTES: usize = 1024 * 1024;

/// Bytes in both directions.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A request that is signed in its URL.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Stream(Incoming);

/// The way to a bucket.
pub(super) struct Wire {
    pub(super) bucket: Bucket,
    pub(super) credentials: Credentials,
    tls: Arc<ClientConfig>,
    /// None once it was seen.
    interrupts: Option<[Signal; 2]>,
}

impl Wire {
    /// Reads the variables that all tools of S3 read.
    ///
    /// # Errors
    /// Names the variable that is missing or wrong.
    pub(super) fn from_environment(bucket: &str) -> anyhow::Result<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let needed = |name: &str| variable(name).with_context(|| format!("{name} is not set"));
        let (key, secret) = (needed("AWS_ACCESS_KEY_ID")?, needed("AWS_SECRET_ACCESS_KEY")?);
        let credentials = match variable("AWS_SESSION_TOKEN") {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        };
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let own = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        let style = if own.is_some() { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = own.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint: Url = endpoint.parse().context("AWS_ENDPOINT_URL")?;
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region);
        let bucket = bucket.context("AWS_ENDPOINT_URL and the bucket")?;
        let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        Ok(Self { bucket, credentials, tls: Arc::new(tls()?), interrupts: Some(signals) })
    }

    /// Cleaning up is not interrupted.
    pub(super) fn forget_interrupt(&mut self) {
        self.interrupts = None;
    }

    /// Only whether it was done.
    pub(super) async fn status(&mut self, call: Call) -> anyhow::Result<StatusCode> {
        Ok(self.patiently(&call).await?.status())
    }

    /// The text of the answer.
    pub(super) async fn document(&mut self, call: Call) -> anyhow::Result<String> {
        let answer = accepted(self.patiently(&call).await?).await?;
        text(answer).await
    }

    /// What the store calls the part that it was sent.
    pub(super) async fn tag(&mut self, call: Call) -> anyhow::Result<String> {
        let answer = accepted(self.patiently(&call).await?).await?;
        tag(answer.headers()).context("the store does not say what it calls the part")
    }

    /// The object, and what the store calls these very bytes.
    pub(super) async fn stream(&mut self, call: Call) -> anyhow::Result<(Stream, Option<String>)> {
        let is_part = call.headers.iter().any(|(name, _)| *name == "range");
        let answer = accepted(self.patiently(&call).await?).await?;
        if is_part && answer.status() != StatusCode::PARTIAL_CONTENT {
            bail!("the store does not send the rest of an object");
        }
        let tag = tag(answer.headers());
        Ok((Stream(answer.into_body()), tag))
    }

    /// The next bytes of an object; none at its end.
    pub(super) async fn next(&mut self, stream: &mut Stream) -> anyhow::Result<Option<Bytes>> {
        let reading = async {
            loop {
                let frame = timeout(STREAM_TIMEOUT, stream.0.frame()).await;
                match frame.context("the store has fallen silent")? {
                    None => return Ok(None),
                    Some(frame) => {
                        let data = frame.context("the stream broke")?.into_data();
                        if let Ok(data) = data
                            && !data.is_empty()
                        {
                            return Ok(Some(data));
                        }
                    }
                }
            }
        };
        interruptible(self.interrupts.as_mut(), reading).await
    }

    /// Sends it until there is an answer that is no passing trouble.
    async fn patiently(&mut self, call: &Call) -> anyhow::Result<Response<Incoming>> {
        let tls = self.tls.clone();
        let sending = async {
            let (mut tries, mut pause) = (1, PAUSE);
            loop {
                let answer = send(call, tls.clone()).await;
                let passes = match &answer {
                    Ok(answer) => {
                        answer.status().is_server_error()
                            || answer.status() == StatusCode::TOO_MANY_REQUESTS
                    }
                    Err(_) => true,
                };
                if !passes || tries >= TRIES {
                    return answer;
                }
                sleep(pause).await;
                tries += 1;
                pause *= 2;
            }
        };
        interruptible(self.interrupts.as_mut(), Box::pin(sending)).await
    }
}

/// Waits, but not beyond Ctrl-C.
async fn interruptible<T>(
    interrupts: Option<&mut [Signal; 2]>,
    wait: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let Some([interrupt, terminate]) = interrupts else { return wait.await };
    tokio::select! {
        done = wait => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("interrupted"),
    }
}

async fn send(call: &Call, tls: Arc<ClientConfig>) -> anyhow::Result<Response<Incoming>> {
    let host = call.url.host_str().context("the store's address has no name")?;
    let port = call.url.port_or_known_default().context("the store's address has no port")?;
    let io = timeout(CONNECT_TIMEOUT, connect((host, port), call.url.scheme(), tls)).await;
    let io = io.with_context(|| format!("{host} does not answer"))??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // Ends with the answer's body.
    tokio::spawn(async move { drop(connection.await) });
    let path = match call.url.query() {
        Some(query) => format!("{}?{query}", call.url.path()),
        None => call.url.path().to_owned(),
    };
    let name = match call.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut request =
        Request::builder().method(call.method.clone()).uri(path).header(header::HOST, name);
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let length = u64::try_from(call.body.len()).unwrap_or(u64::MAX);
    let limit = ANSWER_TIMEOUT + Duration::from_secs(length / SLOWEST_BYTES_S);
    let answering = sender.send_request(request.body(Full::new(call.body.clone()))?);
    let answer = timeout(limit, answering).await;
    Ok(answer.with_context(|| format!("{host} does not answer"))??)
}

async fn connect(
    (host, port): (&str, u16),
    scheme: &str,
    tls: Arc<ClientConfig>,
) -> anyhow::Result<Box<dyn Io>> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, port)).await;
    let stream = stream.with_context(|| format!("connect to {host}:{port}"))?;
    stream.set_nodelay(true)?;
    match scheme {
        "http" => Ok(Box::new(stream)),
        "https" => {
            let name = ServerName::try_from(name.to_owned()).context("the store's name")?;
            let stream = TlsConnector::from(tls).connect(name, stream).await;
            Ok(Box::new(stream.with_context(|| format!("TLS with {host}"))?))
        }
        other => bail!("{other}:// is no address of an object store"),
    }
}

fn tls() -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

async fn accepted(answer: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let said = text(answer).await.unwrap_or_default();
    bail!("the store refuses: {status} {}", reason(&said));
}

async fn text(answer: Response<Incoming>) -> anyhow::Result<String> {
    let body = Limited::new(answer.into_body(), DOCUMENT_MAX_BYTES).collect();
    let body = timeout(ANSWER_TIMEOUT, body).await.context("the store has fallen silent")?;
    let bytes =
        body.map_err(|error| anyhow::anyhow!("read the store's answer: {error}"))?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tag(headers: &HeaderMap) -> Option<String> {
    headers.get(header::ETAG)?.to_str().ok().map(str::to_owned)
}

/// What an error document of a store says, short and plain.
pub(super) fn reason(document: &str) -> String {
    let within = |name: &str| {
        let rest = document.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once('<')?.0)
    };
    let said = [within("Code"), within("Message")].into_iter().flatten().collect::<Vec<_>>();
    said.join(": ").chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_document_is_said_in_a_line() {
        let document =
            "<?xml?><Error><Code>NoSuchBucket</Code><Message>It is\n not there</Message></Error>";
        assert_eq!(reason(document), "NoSuchBucket: It is not there");
        assert_eq!(reason("not xml"), "");
    }
}
