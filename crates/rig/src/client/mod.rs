//! The API's client: one request after the other over HTTP/1.1, with the key of one context.
//! Owns the connection, which is kept for the next request.
//! Invariant: the key goes to the server of its context and to no other; redirects are not
//! followed. Every wait and every body has a limit.
//! Does not know what requests mean.

mod call;
mod connect;
mod path;
mod patience;
mod refusal;
mod server;
mod stream;

use std::{cell::RefCell, path::PathBuf, rc::Rc};

use hyper::client::conn::http1::SendRequest;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::output::Output;

pub(crate) use call::{Body, Call, Upgraded};
pub(crate) use connect::Io;
pub(crate) use path::Path;
pub(crate) use refusal::{ClientError, Refusal};
pub(crate) use server::{DEFAULT_URL, Scheme, ServerUrl};
pub(crate) use stream::{Events, Lines};

/// Most objects that a list gathers from its pages.
const LIST_MAX: usize = 10_000;

/// A document as the server wrote it, and as we read it.
#[derive(Debug, Clone)]
pub(crate) struct Document<T> {
    /// Whole, with fields that we do not know.
    pub(crate) raw: Value,
    /// What we know.
    pub(crate) value: T,
}

/// Talks to one server.
pub(crate) struct Client {
    server: ServerUrl,
    key: Option<SecretString>,
    authorities: Option<PathBuf>,
    output: Rc<Output>,
    idle: RefCell<Option<SendRequest<Body>>>,
}

impl Client {
    /// A client of `server`; `authorities` is a file of certificates to trust instead of the
    /// system's.
    pub(crate) fn new(
        server: ServerUrl,
        key: Option<SecretString>,
        authorities: Option<PathBuf>,
        output: Rc<Output>,
    ) -> Self {
        Self { server, key, authorities, output, idle: RefCell::new(None) }
    }

    /// Which server.
    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Whether requests carry a key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Gathers a list from all its pages. `field` names the list in its wrapper; the answer is the
    /// wrapper with everything in it and no next page.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: Path,
        field: &str,
    ) -> Result<Document<T>, ClientError> {
        let page = || path.clone().query("max_results", PAGE_RESULTS);
        let mut whole: Document<Value> = self.get(page()).await?;
        let mut cursor = next_cursor(&whole.raw);
        while let Some(at) = cursor {
            let next: Document<Value> = self.get(page().query("cursor", &at)).await?;
            cursor = next_cursor(&next.raw).filter(|next| *next != at);
            let more = next.raw.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
            let Some(list) = whole.raw.get_mut(field).and_then(Value::as_array_mut) else { break };
            list.extend(more);
            if list.len() >= LIST_MAX {
                self.output.warning(format!("only the first {} are shown", list.len()), None);
                break;
            }
        }
        if let Some(wrapper) = whole.raw.as_object_mut() {
            wrapper.insert("next_cursor".to_owned(), Value::Null);
        }
        self.parsed(whole.raw)
    }

    fn parsed<T: DeserializeOwned>(&self, raw: Value) -> Result<Document<T>, ClientError> {
        match T::deserialize(&raw) {
            Ok(value) => Ok(Document { raw, value }),
            Err(error) => Err(ClientError::Unexpected {
                server: self.server.clone(),
                reason: format!("{error} (is this rig older than the server?)"),
            }),
        }
    }
}

/// The most that a page may have.
const PAGE_RESULTS: &str = "200";

fn next_cursor(page: &Value) -> Option<String> {
    page.get("next_cursor").and_then(Value::as_str).map(str::to_owned)
}
