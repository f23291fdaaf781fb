//! The agent in a workspace as control sees it through a host: what it is asked, and answers that
//! a test can know.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, StatusCode, header};
use hyper_util::rt::TokioIo;
use rigbox_types::guest::{
    ExecExit, ExecRequest, ExecStarted, WrapRequest,
    frame::{Frame, FrameDecoder},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
};

/// What the agent was asked, and what it has.
#[derive(Clone, Default)]
pub(crate) struct Agent {
    /// Files by path.
    pub(crate) files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// `METHOD path?query` of every request.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Set to make every answer this one.
    pub(crate) broken: Arc<Mutex<Option<(u16, String)>>>,
    /// Workspaces whose agents never answer.
    pub(crate) hung: Arc<Mutex<Vec<String>>>,
    /// Shells that were ended.
    pub(crate) ended: Arc<watch::Sender<Vec<String>>>,
    /// Windows that terminals were told.
    pub(crate) sizes: Arc<watch::Sender<Vec<(u16, u16)>>>,
}

type Params = Query<BTreeMap<String, String>>;

/// The agent's routes below `/v1/workspaces/{id}/guest`.
pub(crate) fn router(agent: Agent) -> Router {
    let guest = Router::new()
        .route("/exec", post(exec))
        .route("/exec/{session}", delete(end))
        .route("/exec/{session}/attach", post(attach))
        .route("/files", any(files))
        .route("/files/list", get(list))
        .route("/logs", get(logs))
        .route("/logs/stream", get(follow))
        .route("/metrics", get(metrics))
        .route("/ports", get(ports))
        .route("/services", get(services))
        .route("/units", post(wrap))
        .layer(axum::middleware::from_fn_with_state(agent.clone(), note))
        .with_state(agent.clone());
    Router::new()
        .route("/v1/workspaces/{id}/console", get(async || "one\ntwo\nthree\n"))
        .nest("/v1/workspaces/{id}/guest", guest)
        .layer(axum::middleware::from_fn_with_state(agent, hang))
}

/// Outermost, because the routes below have lost the part of the path with the workspace.
async fn hang(
    State(agent): State<Agent>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let path = request.uri().path().to_owned();
    if agent.hung.lock().unwrap().iter().any(|id| path.contains(id)) {
        return std::future::pending().await;
    }
    next.run(request).await
}

async fn note(
    State(agent): State<Agent>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    agent.asked.lock().unwrap().push(line);
    let broken = agent.broken.lock().unwrap().clone();
    match broken {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        None => next.run(request).await,
    }
}

fn refuse(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message, "details": {} } });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

async fn exec(State(agent): State<Agent>, mut request: Request) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        let client = hyper::upgrade::on(&mut request);
        let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let command: ExecRequest = serde_json::from_slice(&bytes).unwrap();
        return shell(agent, client, "session-1", command);
    }
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let command: ExecRequest = serde_json::from_slice(&bytes).unwrap();
    if command.command[0] == "missing" {
        return refuse(400, "invalid_request", "command: no such program");
    }
    if command.command.iter().any(|word| word.contains("@unit")) {
        // Whoever looks at a process: one that was started by hand.
        let told = "@command\nnode server.js\n@cwd\n/srv\n@unit\nrigbox-guest.service\n\
                    @env\nPATH\nTOKEN\n";
        return Json(json!({
            "exit_code": 0, "signal": null, "timed_out": false, "stdout": told, "stderr": "",
            "truncated": false, "duration_ms": 5,
        }))
        .into_response();
    }
    if command.stream {
        let lines = ["started", "stdout", "exit"].map(|event| match event {
            "started" => json!({ "event": "started", "id": "e1", "pid": 7 }),
            "stdout" => json!({ "event": "stdout", "data": "hi\n" }),
            _ => json!({ "event": "exit", "exit_code": 3, "signal": null, "timed_out": false }),
        });
        let lines = lines.map(|line| Ok::<_, std::io::Error>(format!("{line}\n")));
        return Body::from_stream(stream::iter(lines)).into_response();
    }
    Json(json!({
        "exit_code": 0, "signal": null, "timed_out": false,
        "stdout": format!("{}|{}", command.command.join(" "), command.stdin.unwrap_or_default()),
        "stderr": format!("{:?}", command.timeout_s),
        "truncated": false, "duration_ms": 5,
    }))
    .into_response()
}

async fn attach(
    State(agent): State<Agent>,
    Path((_, session)): Path<(String, String)>,
    mut request: Request,
) -> Response {
    if session != "session-1" {
        return refuse(404, "not_found", "no such session");
    }
    let client = hyper::upgrade::on(&mut request);
    shell(agent, client, "session-1", ExecRequest::default())
}

async fn end(State(agent): State<Agent>, Path((_, session)): Path<(String, String)>) {
    agent.ended.send_modify(|ended| ended.push(session));
}

/// A shell that echoes what is typed until it reads `exit`.
fn shell(
    agent: Agent,
    client: hyper::upgrade::OnUpgrade,
    session: &'static str,
    command: ExecRequest,
) -> Response {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(client.await.unwrap());
        let greeting = format!("{}$ ", command.command.join(" "));
        let started = ExecStarted { id: session.to_owned(), pid: 42 };
        let first =
            [Frame::Started(started), Frame::Credit(1 << 16), Frame::Stdout(greeting.into_bytes())];
        put(&mut stream, &first).await;
        let mut decoder = FrameDecoder::default();
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            decoder.push(&buffer[..read]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                match frame {
                    Frame::Stdin(bytes) if bytes.starts_with(b"exit") => {
                        let exit = ExecExit { exit_code: Some(4), ..ExecExit::default() };
                        put(&mut stream, &[Frame::Exit(exit)]).await;
                        return;
                    }
                    Frame::Stdin(bytes) => {
                        let credit = u32::try_from(bytes.len()).unwrap();
                        put(&mut stream, &[Frame::Stdout(bytes), Frame::Credit(credit)]).await;
                    }
                    Frame::Resize(size) => {
                        agent.sizes.send_modify(|sizes| sizes.push((size.cols, size.rows)));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    });
    let upgrade = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "rigbox-exec")];
    (StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response()
}

async fn put(stream: &mut TokioIo<hyper::upgrade::Upgraded>, frames: &[Frame]) {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    // A client that has left reads no more.
    if stream.write_all(&bytes).await.is_ok() {
        stream.flush().await.unwrap();
    }
}

async fn files(
    State(agent): State<Agent>,
    method: Method,
    Query(params): Params,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let path = params["path"].clone();
    match method {
        Method::PUT => {
            let _ = headers;
            let Ok(bytes) = axum::body::to_bytes(body, 1 << 26).await else {
                return refuse(400, "invalid_request", "body: was cut");
            };
            let size = bytes.len();
            agent.files.lock().unwrap().insert(path.clone(), bytes);
            let mode = params.get("mode").cloned().unwrap_or_else(|| "0644".to_owned());
            Json(json!({ "path": path, "size_bytes": size, "mode": mode })).into_response()
        }
        Method::DELETE => match agent.files.lock().unwrap().remove(&path) {
            Some(_) => Json(json!({})).into_response(),
            None => refuse(404, "not_found", "no such file"),
        },
        _ => match agent.files.lock().unwrap().get(&path).cloned() {
            Some(bytes) => ([("x-rigbox-mode", "0644")], bytes).into_response(),
            None => refuse(404, "not_found", "no such file"),
        },
    }
}

async fn list(Query(params): Params) -> Json<Value> {
    Json(json!({
        "path": params["path"],
        "entries": [{
            "name": "a", "kind": "file", "size_bytes": 3, "mode": "0644", "owner": "developer",
            "modified_at": "2026-01-01T00:00:00Z",
        }],
        "truncated": false,
    }))
}

async fn logs(Query(params): Params) -> Json<Value> {
    let unit = params.get("unit").cloned();
    Json(json!({
        "lines": [{
            "line_number": 1, "message": "hello", "timestamp": "2026-01-01T00:00:00Z",
            "cursor": "c1", "unit": unit,
        }],
        "cursor": "c1",
        "has_more": false,
    }))
}

/// Three lines after the cursor, then silence.
async fn follow(Query(params): Params) -> Response {
    let after: u64 = params.get("cursor").map_or(0, |cursor| cursor[1..].parse().unwrap());
    let lines = (after + 1..=after + 3).map(|n| {
        let line = json!({
            "line_number": 1, "message": format!("line {n}"), "timestamp": null,
            "cursor": format!("c{n}"),
        });
        Ok::<_, std::io::Error>(format!("{line}\n"))
    });
    Body::from_stream(stream::iter(lines).chain(stream::pending())).into_response()
}

async fn metrics() -> Json<Value> {
    Json(json!({
        "at": "1999-01-01T00:00:00Z", "uptime_ms": 5, "cpus": 1, "cpu_percent": 250.5,
        "cpu_busy_ms": 1, "memory_total_bytes": 536_870_912, "memory_used_bytes": 104_857_600,
        "disk_total_bytes": 4_294_967_296_u64, "disk_used_bytes": 1_073_741_824,
        "network_rx_bytes": 10, "network_tx_bytes": 20, "load_1m": 0.5,
    }))
}

async fn ports() -> Json<Value> {
    Json(json!({ "ports": [{
        "port": 3000, "address": "0.0.0.0", "process": "node", "pid": 9, "already_exposed": true,
    }]}))
}

async fn services() -> Json<Value> {
    Json(json!({ "services": [{
        "name": "web", "unit": "rigbox-svc-web.service", "active_state": "active",
        "sub_state": "running", "pid": 5, "restarts": 0, "exit_code": null,
    }]}))
}

async fn wrap(State(agent): State<Agent>, Json(asked): Json<WrapRequest>) -> Response {
    let path = format!("/units/{}", asked.name);
    let answer = agent.files.lock().unwrap().get(&path).cloned();
    match answer {
        Some(text) => refuse(409, "conflict", &String::from_utf8_lossy(&text)),
        None => {
            Json(json!({ "unit": format!("rigbox-app-{}.service", asked.name) })).into_response()
        }
    }
}
