//! The product's HTTP API over connections that stay open, so that a time is that of the request
//! and not of a client that starts.
//! Does not wait by asking again: changes come as events.

mod events;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

pub(crate) use events::Events;

/// Longest wait for an answer; a broken product must not hold the run up for ever.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Largest answer: a page of 200 workspaces has about 200 KiB.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;

/// One client with one connection.
#[derive(Debug)]
pub(crate) struct Api {
    address: String,
    key: String,
    link: Option<SendRequest<Full<Bytes>>>,
}

impl Api {
    /// A client of `address`, such as `127.0.0.1:7070`. Connects with the first call.
    pub(crate) fn new(address: &str, key: &str) -> Self {
        Self { address: address.to_owned(), key: key.to_owned(), link: None }
    }

    /// The same API over a connection of its own.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.address, &self.key)
    }

    /// Calls `method` on `path` (below `/api/v1`) and gives the document that it answers.
    ///
    /// # Errors
    /// When there is no answer or it is a refusal, with its words.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let what = format!("{method} {path}");
        let exchange = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            ensure!(status.is_success(), "{status} {}", String::from_utf8_lossy(&body));
            serde_json::from_slice(&body).context("the answer is no JSON")
        };
        match timeout(ANSWER_LIMIT, exchange).await {
            Ok(answer) => answer.context(what),
            Err(_) => bail!("{what}: no answer within {ANSWER_LIMIT:?}"),
        }
    }

    /// Calls `method` on `path` and gives status and bytes of the answer, read whole.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Bytes)> {
        let exchange = async {
            let response = self.send(method, path, body).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
            anyhow::Ok((status, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
        };
        timeout(ANSWER_LIMIT, exchange).await.context("no answer in time")?
    }

    /// `GET`.
    ///
    /// # Errors
    /// See [`Api::call`].
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// `POST`.
    ///
    /// # Errors
    /// See [`Api::call`].
    pub(crate) async fn post(&mut self, path: &str, body: Option<&Value>) -> Result<Value> {
        self.call(Method::POST, path, body).await
    }

    /// Follows a workspace over a connection of its own; none where there is no such workspace.
    ///
    /// # Errors
    /// When the stream is not to be had.
    pub(crate) async fn events(&self, id: &str) -> Result<Option<Events>> {
        let mut api = self.another();
        let path = format!("/workspaces/{id}/events");
        let response = api.send(Method::GET, &path, None).await?;
        match response.status().as_u16() {
            200 => Ok(Some(Events::new(response.into_body(), api))),
            404 => Ok(None),
            other => bail!("GET {path}: {other}"),
        }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<http::Response<Incoming>> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        Ok(self.link().await?.send_request(request).await?)
    }

    /// The connection; a new one where the server has closed the last, as it does with idle ones.
    async fn link(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        let open = match self.link.take() {
            Some(mut link) => link.ready().await.is_ok().then_some(link),
            None => None,
        };
        let link = match open {
            Some(link) => link,
            None => self.connect().await?,
        };
        Ok(self.link.insert(link))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.address).await;
        let stream = stream.with_context(|| format!("connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let (link, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the link; what went wrong is what the request failed with.
        tokio::spawn(async move { connection.await.ok() });
        Ok(link)
    }
}
