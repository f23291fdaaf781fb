//! A real Chromium without a window, driven over its debugging protocol through a pipe.
//! Invariant: it has a home of its own, which holds all that it keeps and trusts; dropping it ends it.
//! Does not decide what a page should show: tests look, and wait, themselves.

mod island;
mod wire;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::wait;
use wire::Wire;

/// How long a broken page is watched: long, because the workspace behind it may be emulated.
const PAGE_LIMIT: Duration = Duration::from_secs(60);

/// A running Chromium.
pub struct Browser {
    wire: Arc<Wire>,
}

/// Somebody's window: cookies and storage that no other has.
pub struct Person {
    wire: Arc<Wire>,
    id: String,
}

/// A page of somebody.
pub struct Page {
    wire: Arc<Wire>,
    session: String,
}

/// The answer to a navigation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Address, after all redirects.
    pub url: String,
    /// HTTP status.
    pub status: u64,
}

impl Browser {
    /// Starts one whose home is `home`, which reaches these ports of 127.0.0.1 and nothing else.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub fn start(home: &Path, ports: &[u16]) -> Result<Self> {
        Ok(Self { wire: Arc::new(Wire::start(home, ports)?) })
    }

    /// A person who has never been anywhere.
    ///
    /// # Errors
    /// When Chromium refuses.
    pub fn person(&self) -> Result<Person> {
        let made = self.wire.call(None, "Target.createBrowserContext", json!({}))?;
        let id = text(&made, "/browserContextId").context("no context")?;
        Ok(Person { wire: self.wire.clone(), id })
    }
}

impl Person {
    /// An empty page.
    ///
    /// # Errors
    /// When Chromium refuses.
    pub fn page(&self) -> Result<Page> {
        let wanted = json!({ "url": "about:blank", "browserContextId": self.id });
        let made = self.wire.call(None, "Target.createTarget", wanted)?;
        let wanted = json!({ "targetId": text(&made, "/targetId"), "flatten": true });
        let attached = self.wire.call(None, "Target.attachToTarget", wanted)?;
        let session = text(&attached, "/sessionId").context("no session")?;
        let page = Page { wire: self.wire.clone(), session };
        page.call("Page.enable", json!({}))?;
        page.call("Network.enable", json!({}))?;
        Ok(page)
    }

    /// All cookies that this person has, with everything that Chromium knows of each.
    ///
    /// # Errors
    /// When Chromium refuses.
    pub fn cookies(&self) -> Result<Vec<Value>> {
        let wanted = json!({ "browserContextId": self.id });
        let known = self.wire.call(None, "Storage.getCookies", wanted)?;
        known.get("cookies").and_then(Value::as_array).cloned().context("no cookies")
    }
}

impl Page {
    /// Goes to an address, as if it were typed, and says what is there when it has been loaded; where
    /// a page leads on by itself, that may be the first of several.
    ///
    /// # Errors
    /// When nothing is there: no connection, a certificate that is not trusted.
    pub fn open(&self, url: &str) -> Result<Seen> {
        let before = self.documents().len();
        let gone = self.call("Page.navigate", json!({ "url": url }))?;
        let error = text(&gone, "/errorText");
        ensure!(error.is_none(), "{url}: {error:?}");
        let loaded = || Ok((self.documents(), self.eval("document.readyState")?));
        let (documents, _) = wait::until(url, PAGE_LIMIT, loaded, |(documents, state)| {
            documents.len() > before && state == "complete"
        })?;
        documents.last().cloned().context("no document")
    }

    /// Waits until an answer of this status has come from an address that begins so, and is shown.
    ///
    /// # Errors
    /// When none comes.
    pub fn arrive(&self, url: &str, status: u64) -> Result<Seen> {
        let what = format!("{status} of {url}");
        let here = || Ok((self.documents().last().cloned(), self.eval(WHERE)?));
        let (seen, _) = wait::until(&what, PAGE_LIMIT, here, |(seen, here)| {
            let fits = |seen: &Seen| seen.status == status && seen.url.starts_with(url);
            let is_shown = |seen: &Seen| *here == json!(format!("complete {}", seen.url));
            seen.as_ref().is_some_and(|seen| fits(seen) && is_shown(seen))
        })?;
        seen.context("no document")
    }

    /// The text that a reader sees.
    ///
    /// # Errors
    /// When there is none now.
    pub fn text(&self) -> Result<String> {
        let text = self.eval("document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().trim().to_owned())
    }

    /// The value of an expression of JavaScript on the page; waits for a promise.
    ///
    /// # Errors
    /// When it throws, or the page goes away meanwhile.
    pub fn eval(&self, expression: &str) -> Result<Value> {
        let wanted = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let mut done = self.call("Runtime.evaluate", wanted)?;
        ensure!(done.get("exceptionDetails").is_none(), "{expression}: {done}");
        Ok(done.pointer_mut("/result/value").map_or(Value::Null, Value::take))
    }

    /// Fills in the fields of a form, by their names, and presses its button.
    ///
    /// # Errors
    /// When the page has no such form.
    pub fn submit(&self, action: &str, fields: &[(&str, &str)]) -> Result<()> {
        let fields: Vec<Value> = fields.iter().map(|(name, value)| json!([name, value])).collect();
        let (action, fields) = (json!(action), json!(fields));
        // Answers before the page goes away.
        self.eval(&format!(
            "(() => {{ \
               const form = [...document.forms].find(f => f.getAttribute('action') === {action}); \
               for (const [name, value] of {fields}) form.elements[name].value = value; \
               setTimeout(() => form.querySelector('button').click()); \
             }})()"
        ))?;
        Ok(())
    }

    /// Every document that has been answered to this page, in order.
    pub fn documents(&self) -> Vec<Seen> {
        let responses = self.events("Network.responseReceived");
        let documents = responses
            .iter()
            .filter(|event| event.get("type").and_then(Value::as_str) == Some("Document"));
        let seen = documents.filter_map(|event| {
            let status = event.pointer("/response/status")?.as_u64()?;
            Some(Seen { url: text(event, "/response/url")?, status })
        });
        seen.collect()
    }

    /// What Chromium has told of this page under a name, in order.
    pub fn events(&self, name: &str) -> Vec<Value> {
        self.wire.events(&self.session, name)
    }

    fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        self.wire.call(Some(&self.session), method, parameters)
    }
}

/// What is shown, and whether it is all there.
const WHERE: &str = "document.readyState + ' ' + location.href.split('#')[0]";

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}
