//! Requests to an authority: one connection each, bounded in every direction.
//! Invariants: HTTPS only; a request ends within [`LIMIT`]; no more than [`BODY_MAX_BYTES`] of an
//! answer are held; a refusal that is no problem document is an error of its own; no redirect is
//! followed.
//! Does not know what an answer means, but for when it says to ask again.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::AcmeError;

/// How long a request may take, from the look-up of the name to the last byte.
const LIMIT: Duration = Duration::from_secs(30);
/// Most of an answer that is read: a chain, or an order of a hundred names.
const BODY_MAX_BYTES: usize = 256 * 1024;
/// Most of an answer's head.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Longest time that an authority may have us wait.
const RETRY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum WireError {
    #[error("{0} is no HTTPS address")]
    Address(Uri),
    #[error("no whole answer within {} s", LIMIT.as_secs())]
    Slow,
    #[error("connect to {0}")]
    Connect(String, #[source] std::io::Error),
    #[error("exchange")]
    Exchange(#[source] hyper::Error),
    #[error("the connection ended before the answer")]
    Cut,
    #[error("read the answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("answered {0} without saying why")]
    Refused(http::StatusCode),
}

/// Sends requests. Clones share what the last answer said about asking again.
#[derive(Clone)]
pub(crate) struct Wire {
    tls: Arc<ClientConfig>,
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl Wire {
    /// Trusts the system's roots, or only `roots` (PEM) where they are given.
    pub(crate) fn new(roots: Option<&[u8]>) -> Result<Self, AcmeError> {
        let mut store = RootCertStore::empty();
        match roots {
            None => {
                let _unreadable =
                    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|e| AcmeError::Roots(e.to_string()))?;
                    store.add(certificate).map_err(|e| AcmeError::Roots(e.to_string()))?;
                }
                if store.is_empty() {
                    return Err(AcmeError::Roots("there is none in the file".to_owned()));
                }
            }
        }
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .map_err(|error| AcmeError::Roots(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), retry_after: Arc::default() })
    }

    /// What the last answer said about asking again; forgets it.
    pub(crate) fn take_retry_after(&self) -> Option<Duration> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, WireError> {
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let asking = Box::pin(self.exchange(Request::from_parts(parts, body)));
        let answer = timeout(LIMIT, asking).await.map_err(|_| WireError::Slow)??;
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = retry_after;
        let status = answer.status();
        if (status.is_client_error() || status.is_server_error()) && !is_problem(&answer) {
            return Err(WireError::Refused(status));
        }
        let (parts, body) = answer.into_parts();
        Ok(BytesResponse { parts, body: Box::new(body) })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let (mut parts, body) = request.into_parts();
        let uri = std::mem::take(&mut parts.uri);
        let wrong = || WireError::Address(uri.clone());
        if uri.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        parts.uri =
            uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?;
        parts.headers.insert(header::HOST, value);
        parts.headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        let failed = |error| WireError::Connect(authority.to_string(), error);
        let port = authority.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_MAX_BYTES);
        let (mut sender, connection) = builder
            .handshake(TokioIo::new(stream.map_err(failed)?))
            .await
            .map_err(WireError::Exchange)?;
        let asking = async move {
            let request = Request::from_parts(parts, Full::new(body));
            let answer = sender.send_request(request).await.map_err(WireError::Exchange)?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, BODY_MAX_BYTES).collect().await;
            Ok(Response::from_parts(parts, body.map_err(WireError::Body)?.to_bytes()))
        };
        // Here and in no task of its own: where the wait is over, so is the connection.
        let (mut asking, mut connection) = (Box::pin(asking), Box::pin(connection));
        let ended = tokio::select! {
            answer = &mut asking => return answer,
            ended = &mut connection => ended,
        };
        // Where a connection ends badly behind a whole answer, the answer is none the worse.
        match timeout(Duration::ZERO, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(ended.err().map_or(WireError::Cut, WireError::Exchange)),
        }
    }
}

/// How we name ourselves: authorities ask for it, to know whom to write to.
const AGENT: &str = concat!("rigbox/", env!("CARGO_PKG_VERSION"));

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let sending = self.clone().send(request);
        Box::pin(async move { sending.await.map_err(|error| Error::Other(error.into())) })
    }
}

fn is_problem(answer: &Response<Bytes>) -> bool {
    serde_json::from_slice::<serde_json::Value>(answer.body())
        .is_ok_and(|document| document.get("type").or_else(|| document.get("detail")).is_some())
}

/// `Retry-After`, as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            // The day's name is not needed to know the moment.
            let (_, date) = text.split_once(", ")?;
            http_date(date)?.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_MAX))
}

/// `28 Nov 2026 21:29:00 GMT`
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_ascii_whitespace();
    let day: u8 = words.next()?.parse().ok()?;
    let word = words.next()?;
    let month = u8::try_from(MONTHS.iter().position(|month| *month == word)?).ok()? + 1;
    let year: i32 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.splitn(3, ':').map(str::parse::<u8>);
    let mut part = || clock.next()?.ok();
    let time = time::Time::from_hms(part()?, part()?, part()?).ok()?;
    let month = time::Month::try_from(month).ok()?;
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    let seconds = date.with_time(time).assume_utc().unix_timestamp();
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_say_when_to_ask_again_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_901_340);
        for (text, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sat, 28 Nov 2026 21:30:00 GMT", Some(60)),
            ("Sat, 28 Nov 2026 20:30:00 GMT", Some(0)),
            ("99999999999", Some(RETRY_MAX.as_secs())),
            ("Sat, 31 Feb 2026 20:30:00 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{text}");
        }
    }
}
