//! A server at the wire: one thread a connection, canned answers, and a record of what was asked.
//! Invariant: a request that the endpoint table does not have, or with a query that it does not
//! take, is a violation that the test fails on.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rigbox_types::endpoint::ENDPOINTS;
use serde_json::{Value, json};

/// Longest wait of a test for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET /api/v1/workspaces?max_results=200`.
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

type Handler = Box<dyn FnOnce(&Asked, TcpStream) + Send>;

/// What is answered.
pub(crate) enum Reply {
    /// A document.
    Json(u16, Value),
    /// A document with headers.
    Headed(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Bytes of a stream, one write each; then the connection ends.
    Stream(&'static str, Vec<String>),
    /// The connection ends without an answer.
    Cut,
    /// Whatever the test wants.
    Raw(Handler),
}

/// A refusal as the API writes it.
pub(crate) fn refusal(status: u16, code: &str, message: &str, details: Value) -> Reply {
    let error = json!({ "code": code, "message": message, "details": details });
    Reply::Json(status, json!({ "error": error }))
}

/// Server-sent events and their end.
pub(crate) fn events(events: &[(&str, Value)]) -> Reply {
    let mut parts = vec![": heartbeat\n\n".to_owned()];
    parts.extend(events.iter().map(|(kind, data)| format!("event: {kind}\ndata: {data}\n\n")));
    Reply::Stream("text/event-stream", parts)
}

#[derive(Default)]
struct State {
    routes: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    asked: Mutex<Vec<Asked>>,
    violations: Mutex<Vec<String>>,
}

/// The server.
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<State>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { url, state }
    }

    /// Answers a request line; several answers are given one after the other, the last one of
    /// documents again and again.
    pub(crate) fn on(&self, line: &str, reply: Reply) -> &Self {
        let mut routes = lock(&self.state.routes);
        routes.entry(line.to_owned()).or_default().push_back(reply);
        drop(routes);
        self
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }

    /// The first request whose line begins so.
    pub(crate) fn first(&self, line: &str) -> Asked {
        let found = self.asked().into_iter().find(|asked| asked.line.starts_with(line));
        found.unwrap_or_else(|| panic!("nobody asked {line}: {:?}", self.lines()))
    }

    /// The lines of everything that was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// Requests that are not in the contract.
    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.state.violations).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &State) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read(&mut reader) {
        if let Some(violation) = violation(&asked.line) {
            lock(&state.violations).push(violation);
        }
        lock(&state.asked).push(asked.clone());
        let reply = take(state, &asked.line);
        if !answer(&stream, &asked, reply) {
            return;
        }
    }
}

fn take(state: &State, line: &str) -> Reply {
    let mut routes = lock(&state.routes);
    let Some(replies) = routes.get_mut(line) else {
        return refusal(404, "not_found", "there is no such thing", Value::Null);
    };
    match replies.front() {
        Some(Reply::Json(status, body)) if replies.len() == 1 => Reply::Json(*status, body.clone()),
        _ => replies.pop_front().unwrap_or(Reply::Cut),
    }
}

/// Whether the connection can be used again.
fn answer(mut stream: &TcpStream, asked: &Asked, reply: Reply) -> bool {
    let (status, headers, body) = match reply {
        Reply::Json(status, body) => {
            let headers = vec![("content-type", "application/json".to_owned())];
            (status, headers, body.to_string().into_bytes())
        }
        Reply::Headed(status, headers, body) => (status, headers, body),
        Reply::Stream(kind, parts) => {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
            let whole = std::iter::once(head).chain(parts);
            for part in whole {
                if stream.write_all(part.as_bytes()).is_err() {
                    break;
                }
            }
            return false;
        }
        Reply::Cut => return false,
        Reply::Raw(handler) => {
            handler(asked, stream.try_clone().unwrap());
            return false;
        }
    };
    let mut head = format!("HTTP/1.1 {status} X\r\nx-request-id: req-1\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_ok()
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().unwrap(), 0);
        reader.read_exact(&mut body).ok()?;
    } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        }
    }
    Some(Asked { line, headers, body })
}

/// What the contract has against a request line.
fn violation(line: &str) -> Option<String> {
    let (method, target) = line.split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path.starts_with("/rig/v1/") {
        return None;
    }
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) =
            (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern.iter().zip(&path).all(|(a, b)| a.starts_with('{') || a == b)
    };
    let endpoint = ENDPOINTS.iter().find(|row| row.method.as_str() == method && fits(row.path));
    let Some(endpoint) = endpoint else { return Some(format!("{line}: no such endpoint")) };
    let names =
        query.split('&').filter_map(|pair| pair.split('=').next()).filter(|it| !it.is_empty());
    let unknown = names
        .into_iter()
        .find(|name| !endpoint.query.iter().any(|parameter| parameter.name == *name));
    unknown.map(|name| format!("{line}: no parameter {name}"))
}

/// Closes a stream as a server does that has said all: what the client has not read yet reaches it
/// although something of the client's was not read here, which would else reset the connection.
pub(crate) fn hang_up(mut stream: &TcpStream) {
    // A client that is gone has nothing left to read.
    let patience = stream.set_read_timeout(Some(Duration::from_secs(5)));
    if patience.and_then(|()| stream.shutdown(std::net::Shutdown::Write)).is_ok() {
        drop(std::io::copy(&mut stream, &mut std::io::sink()));
    }
}
