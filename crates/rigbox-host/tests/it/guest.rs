//! A VM of the test driver: waits at the gate, then answers at a hybrid-vsock socket as the agent in
//! a guest does. Its environment variables say how it misbehaves.

use std::{
    io::BufRead as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post, put},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rigbox_types::guest::{
    Hello, SetupReport, SetupRequest, SetupState, ShutdownRequest, SystemState, TimeRequest,
};
use rigbox_vmm::VmSpec;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

/// Environment variables of a workspace that its guest listens to.
pub(crate) const DEAF: &str = "TEST_DEAF";
pub(crate) const CRASH: &str = "TEST_CRASH";
/// For how long it is told, in milliseconds.
pub(crate) const SLOW: &str = "TEST_SLOW";
/// What it says that its SSH server is known by: at once, or when the set-up has been answered.
pub(crate) const HOST_KEY: &str = "TEST_HOST_KEY";
pub(crate) const LATE_HOST_KEY: &str = "TEST_LATE_HOST_KEY";

#[derive(Clone, Default)]
struct Guest(Arc<Mutex<Option<SetupRequest>>>);

/// Plays the VM. Ends when it is not let through the gate.
pub(crate) async fn live() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let Ok(spec) = serde_json::from_str::<VmSpec>(&line) else { std::process::exit(0) };
    let guest = Guest::default();
    let router = Router::new()
        .route("/hello", get(hello))
        .route("/setup", put(setup))
        .route("/time", put(|_: Json<TimeRequest>| async { Json(()) }))
        .route("/metrics", get(|| async { Json(serde_json::json!({ "load": 1 })) }))
        .route("/shutdown", post(shutdown))
        .with_state(guest);
    let path = spec.run_dir.join("vsock");
    // Under its name only when it listens.
    let temporary = spec.run_dir.join("vsock.new");
    let listener = UnixListener::bind(&temporary).unwrap();
    std::fs::rename(&temporary, &path).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream, router.clone()));
    }
}

async fn serve(stream: UnixStream, router: Router) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() || line != "CONNECT 1024\n" {
        return;
    }
    if stream.get_mut().write_all(b"OK 1073741824\n").await.is_err() {
        return;
    }
    let service = TowerToHyperService::new(router);
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn hello(State(guest): State<Guest>) -> Json<Hello> {
    Json(guest.hello())
}

async fn setup(State(guest): State<Guest>, Json(request): Json<SetupRequest>) -> Json<SetupReport> {
    if request.guest.env.contains_key(CRASH) {
        std::process::exit(1);
    }
    if let Some(slow) = request.guest.env.get(SLOW) {
        tokio::time::sleep(Duration::from_millis(slow.parse().unwrap())).await;
    }
    eprintln!("told: {}", serde_json::to_string(&request.guest.env).unwrap());
    let at_once = request.guest.env.get(HOST_KEY).cloned();
    *guest.0.lock().unwrap() = Some(request);
    let hello = Hello { ssh_host_key: at_once, ..guest.hello() };
    Json(SetupReport { hello, problems: Vec::new() })
}

async fn shutdown(State(guest): State<Guest>, Json(_): Json<ShutdownRequest>) -> Json<()> {
    let deaf = guest.0.lock().unwrap().as_ref().is_some_and(|s| s.guest.env.contains_key(DEAF));
    if !deaf {
        std::process::exit(0);
    }
    Json(())
}

impl Guest {
    fn hello(&self) -> Hello {
        let setup = self.0.lock().unwrap();
        let env = |name| setup.as_ref().and_then(|setup| setup.guest.env.get(name).cloned());
        Hello {
            version: "test".to_owned(),
            boot_id: "test".to_owned(),
            ready: setup.is_some(),
            system: SystemState::Running,
            uptime_ms: 1,
            workspace: setup.as_ref().map(|setup| setup.workspace.clone()),
            setup_state: if setup.is_some() { SetupState::Done } else { SetupState::Waiting },
            setup: Vec::new(),
            ssh_host_key: env(LATE_HOST_KEY).or_else(|| env(HOST_KEY)),
        }
    }
}
