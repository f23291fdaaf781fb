//! The API through the real `curl`.

use std::{
    io::{BufRead as _, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// One answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header lines, as received, in lower case names.
    pub headers: String,
    /// Body as JSON; `Null` when it is none.
    pub body: Value,
    /// Body as text.
    pub text: String,
}

impl Answer {
    /// A value of the body by JSON pointer; `Null` when missing.
    pub fn at(&self, pointer: &str) -> Value {
        self.body.pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// A text of the body by JSON pointer; empty when missing.
    pub fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_default().to_owned()
    }
}

/// Calls one API with one key.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client of the API at `base`, such as `http://127.0.0.1:7070`.
    pub fn new(base: &str, key: Option<&str>) -> Self {
        Self { base: base.to_owned(), key: key.map(str::to_owned) }
    }

    /// The same API with other credentials.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self::new(&self.base, key)
    }

    /// Calls `method` on `path` (below `/api/v1`) with an optional JSON body.
    ///
    /// # Errors
    /// When curl gets no HTTP answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let text = body.map(Value::to_string);
        self.call_raw(method, path, text.as_deref().map(str::as_bytes), &[])
    }

    /// Like [`Client::call`] with any bytes and more header lines.
    ///
    /// # Errors
    /// When curl gets no HTTP answer.
    pub fn call_raw(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        headers: &[&str],
    ) -> Result<Answer> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "--max-time", "580", "-X", method]);
        if let Some(key) = &self.key {
            curl.args(["-H", &format!("Authorization: Bearer {key}")]);
        }
        if body.is_some() {
            curl.args(["-H", "Content-Type: application/json", "-H", "Expect:"]);
            curl.args(["--data-binary", "@-"]);
        }
        for header in headers {
            curl.args(["-H", header]);
        }
        curl.arg(format!("{}/api/v1{path}", self.base));
        curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = curl.spawn().context("start curl")?;
        let mut stdin = child.stdin.take().context("curl has no stdin")?;
        let bytes = body.unwrap_or_default().to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&bytes));
        let output = child.wait_with_output().context("wait for curl")?;
        // A server that refuses a body early closes the pipe: that is its answer, not an error.
        drop(writer.join());
        ensure!(
            !output.stdout.is_empty(),
            "{method} {path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// `GET`.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.call("GET", path, None)
    }

    /// `POST` with a JSON body.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call("POST", path, Some(body))
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.call("DELETE", path, None)
    }

    /// Reads server-sent events, from behind the one with the id `after`, until one has `words`.
    ///
    /// # Errors
    /// When the stream ends or nothing comes.
    pub fn follow(&self, path: &str, after: &str, words: &str) -> Result<Followed> {
        let mut curl = Command::new("curl");
        curl.args(["-sN", "--max-time", "120"]);
        if let Some(key) = &self.key {
            curl.args(["-H", &format!("Authorization: Bearer {key}")]);
        }
        curl.args(["-H", &format!("Last-Event-ID: {after}")]);
        curl.arg(format!("{}/api/v1{path}", self.base));
        let mut child = curl.stdout(Stdio::piped()).spawn().context("start curl")?;
        let out = child.stdout.take().context("the output of curl")?;
        let mut followed = Followed::default();
        for line in BufReader::new(out).lines() {
            let line = line?;
            if let Some(id) = line.strip_prefix("id:") {
                id.trim().clone_into(&mut followed.id);
            }
            followed.text.push_str(&line);
            followed.text.push('\n');
            // The end of an event, whose id is known by now.
            if line.is_empty() && followed.text.contains(words) {
                child.kill()?;
                child.wait()?;
                return Ok(followed);
            }
        }
        bail!("{path} ended without {words}: {}", followed.text)
    }
}

/// Server-sent events up to the one that was waited for.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    /// Id of the last one.
    pub id: String,
    /// All of them, as they came.
    pub text: String,
}

fn parse(raw: &str) -> Result<Answer> {
    let mut rest = raw;
    // Interim answers (100 Continue) come before the real one.
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").context("no end of headers")?;
        let status = head.split(' ').nth(1).context("no status")?;
        let status: u16 = status.trim().parse().context("status is no number")?;
        if status < 200 {
            rest = body;
            continue;
        }
        return Ok(Answer {
            status,
            headers: head.to_ascii_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
            text: body.to_owned(),
        });
    }
}
