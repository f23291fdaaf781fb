//! Which request does what. Handlers of exec are here, because they turn a request into a stream;
//! the others are calls of their modules.

use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use rigbox_types::{
    api::error::ErrorCode,
    guest::{
        EXEC_UPGRADE, ExecRequest, FreezeRequest, SetupRequest, ShutdownRequest, TimeRequest,
        WrapRequest,
        exec::{AFTER_PARAM, ATTACH_SEGMENT},
        hello::{HELLO_WAIT_MAX_MS, HELLO_WAIT_PARAM},
        setup::{RESEED_MAX_BYTES, RESEED_MIN_BYTES, SETUP_MAX_BYTES},
    },
    limits::BODY_MAX_BYTES,
};
use serde_json::json;
use tracing::debug;

use super::{
    Guest,
    exchange::{self, Answer, Body},
    exec, files, freeze, hello, logs, metrics, ports,
    query::Query,
    refusal::Refusal,
    services, setup, wrap,
};

/// From the answer to a shutdown to its beginning, so that the answer arrives.
pub(crate) const SHUTDOWN_DELAY: Duration = Duration::from_millis(50);

/// Answers a request, whatever it is.
pub(crate) async fn route(guest: &Guest, request: Request<Incoming>) -> Answer {
    let Ok(_place) = guest.requests.clone().try_acquire_owned() else {
        return exchange::refused(Refusal::unavailable(
            "too many requests to this workspace at once",
        ));
    };
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let method = request.method().clone();
    let answered = match (&method, segments.as_slice()) {
        (&Method::POST, ["exec"]) => exec_start(guest, request).await,
        (&Method::GET, ["exec"]) => Ok(exchange::json(&guest.exec.list())),
        (&Method::DELETE, ["exec", id]) => guest.exec.end(id).map(|()| done()),
        (&Method::POST, ["exec", id, ATTACH_SEGMENT]) => exec_attach(guest, id, request),
        (_, ["files", ..]) => files::route(guest, &segments, request).await,
        (&Method::GET, ["logs", ..]) => logs::route(guest, &segments, request.uri()).await,
        (&Method::GET, ["hello"]) => hello_wait(guest, request.uri()).await,
        (&Method::GET, ["metrics"]) => metrics::read(guest).map(|metrics| exchange::json(&metrics)),
        (&Method::GET, ["ports"]) => ports::read(guest).await.map(|ports| exchange::json(&ports)),
        (&Method::GET, ["services"]) => services::read(guest).await.map(|all| exchange::json(&all)),
        (&Method::POST, ["units"]) => wrap_listener(guest, request).await,
        (&Method::PUT, ["setup"]) => set_up(guest, request).await,
        (&Method::PUT, ["time"]) => time_set(guest, request).await,
        (&Method::POST, ["reseed"]) => reseed(guest, request).await,
        (&Method::POST, ["freeze"]) => hold(guest, request).await,
        (&Method::POST, ["thaw"]) => freeze::thaw(guest).await.map(|held| exchange::json(&held)),
        (&Method::POST, ["shutdown"]) => shutdown(guest, request).await,
        _ => Err(Refusal::not_found(format_args!("{method} {path}"))),
    };
    answered.unwrap_or_else(exchange::refused)
}

fn done() -> Answer {
    exchange::json(&json!({}))
}

async fn hello_wait(guest: &Guest, uri: &http::Uri) -> Result<Answer, Refusal> {
    if let Some(wait) = Query::of(uri)?.parsed::<u64>(HELLO_WAIT_PARAM)? {
        guest.setup.done_within(Duration::from_millis(wait.min(HELLO_WAIT_MAX_MS))).await;
    }
    Ok(exchange::json(&hello::hello(guest)))
}

async fn set_up(guest: &Guest, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let setup: SetupRequest = exchange::document(request, SETUP_MAX_BYTES).await?;
    // In a task of its own: a set-up that has begun is carried through when the host goes away.
    let applying = tokio::spawn({
        let guest = guest.clone();
        async move { setup::apply(&guest, setup).await }
    });
    let report = applying.await.map_err(|error| Refusal::internal("set-up", &error))?;
    Ok(exchange::json(&report))
}

async fn wrap_listener(guest: &Guest, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let asked: WrapRequest = exchange::document(request, BODY_MAX_BYTES).await?;
    // In a task of its own: a process that was ended must get its unit, whoever still waits.
    let wrapping = tokio::spawn({
        let guest = guest.clone();
        async move { wrap::wrap(&guest, asked).await }
    });
    let wrapped = wrapping.await.map_err(|error| Refusal::internal("a unit", &error))?;
    wrapped.map(|made| exchange::json(&made))
}

async fn time_set(guest: &Guest, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let time: TimeRequest = exchange::document(request, BODY_MAX_BYTES).await?;
    guest.kernel.set_time(time.now).map_err(|error| Refusal::internal("the clock", &error))?;
    Ok(done())
}

async fn reseed(guest: &Guest, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let random = exchange::bytes(request, RESEED_MAX_BYTES).await?;
    if random.len() < RESEED_MIN_BYTES {
        return Err(Refusal::field("body", "must have 32 to 512 bytes"));
    }
    guest.kernel.reseed(&random).map_err(|error| Refusal::internal("the generator", &error))?;
    Ok(done())
}

async fn hold(guest: &Guest, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let FreezeRequest { limit_ms } = exchange::document(request, BODY_MAX_BYTES).await?;
    freeze::freeze(guest, limit_ms).await.map(|()| done())
}

async fn shutdown(guest: &Guest, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let ShutdownRequest { kind } = exchange::document(request, BODY_MAX_BYTES).await?;
    let guest = guest.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SHUTDOWN_DELAY).await;
        guest.exec.end_all();
        guest.kernel.shutdown(kind).await;
    });
    Ok(done())
}

async fn exec_start(guest: &Guest, mut request: Request<Incoming>) -> Result<Answer, Refusal> {
    let upgrade = upgrade_of(&mut request);
    let request: ExecRequest = exchange::document(request, BODY_MAX_BYTES).await?;
    match upgrade {
        Some(upgrade) => {
            let attached = exec::start(guest, request, exec::Channel::Frames).await?;
            Ok(switch(upgrade, attached))
        }
        None if request.stream => {
            let attached = exec::start(guest, request, exec::Channel::Answer).await?;
            Ok(exec::lines(attached))
        }
        None => {
            let attached = exec::start(guest, request, exec::Channel::Answer).await?;
            Ok(exchange::json(&exec::document(attached).await))
        }
    }
}

fn exec_attach(guest: &Guest, id: &str, mut request: Request<Incoming>) -> Result<Answer, Refusal> {
    let after = Query::of(request.uri())?.parsed(AFTER_PARAM)?.unwrap_or_default();
    let upgrade = upgrade_of(&mut request).ok_or_else(|| {
        Refusal::new(ErrorCode::InvalidRequest, "attaching needs an upgrade of the connection")
    })?;
    Ok(switch(upgrade, exec::attach(guest, id, after)?))
}

fn upgrade_of(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let asked = request.headers().get(header::UPGRADE)?;
    asked
        .as_bytes()
        .eq_ignore_ascii_case(EXEC_UPGRADE.as_bytes())
        .then(|| hyper::upgrade::on(request))
}

fn switch(upgrade: OnUpgrade, attached: exec::Attached) -> Answer {
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => exec::talk(attached, TokioIo::new(stream)).await,
            Err(error) => debug!(%error, "exec stream not upgraded"),
        }
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(EXEC_UPGRADE));
    answer
}
