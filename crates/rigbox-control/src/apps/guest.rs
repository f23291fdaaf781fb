//! What of an app is inside its workspace: what listens, and the unit that it is.
//! Invariants: only units of the account's own specs and those made of its processes are started and
//! stopped, and for who may not enter the workspace only the one that somebody who may has named;
//! whatever the guest says is believed of this workspace only.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Method, header};
use rigbox_store::apps::AppRow;
use rigbox_types::{
    Authorised, Status, WorkspaceId,
    api::services::LogSourceType,
    guest::{
        ExecRequest, ExecResult, ListListeningPortsResponse, ListeningPort, ServicesResponse,
        services::{ServiceStatus, UNIT_PREFIX},
        units::WRAP_PREFIX,
    },
};
use tokio::time::timeout;

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    guest::agent::{Agent, document},
    http::access::ForApp,
};

/// How long a command of ours may run in a guest, in seconds: systemd's own patience with a unit is 90.
const COMMAND_TIMEOUT_S: u32 = 40;

/// How long after that its answer may take.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// When to come again.
const RETRY_S: u32 = 2;

/// Longest text of a guest that is handed on.
const TEXT_MAX_LEN: usize = 500;

/// The unit that an app is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name for systemd.
    pub(super) name: String,
    /// Whether the primary log source names it, which takes the right to enter the workspace. The name
    /// and the port of an app may be changed by who may not.
    pub(super) is_named: bool,
    /// systemd's word.
    pub(super) state: String,
    /// Where its process listens.
    pub(super) ports: Vec<u16>,
}

/// The agent of an app's workspace, where that runs, for what the caller has the right to.
pub(super) fn agent(
    control: &Control,
    about: &ForApp,
    workspace: &Authorised<WorkspaceId>,
) -> ApiResult<Option<Agent>> {
    let row = &about.row;
    if row.status != Status::Running {
        return Ok(None);
    }
    let Some(address) = &row.address else { return Ok(None) };
    Ok(Some(Agent::new(control.hosts.client(&row.host, address)?, workspace)))
}

/// The unit of an app, if it has one: that of its primary log source, the one of its name, or the one
/// that listens at its port; of the account's own only.
pub(super) async fn unit(
    control: &Control,
    row: &AppRow,
    agent: &Agent,
) -> ApiResult<Option<Unit>> {
    let services: ServicesResponse = agent.get("/services").await?;
    if services.services.is_empty() {
        return Ok(None);
    }
    let listening: ListListeningPortsResponse = agent.get("/ports").await?;
    let sources = control.store.app_log_sources().list(&row.id).await?;
    let named = sources
        .iter()
        .find(|source| source.place.is_primary)
        .filter(|source| source.place.source_type == LogSourceType::SystemdUnit)
        .map(|source| source.place.source_ref.as_str());
    Ok(choose(row, named, (&services.services, &listening.ports)))
}

fn choose(
    row: &AppRow,
    named: Option<&str>,
    (services, ports): (&[ServiceStatus], &[ListeningPort]),
) -> Option<Unit> {
    let is_ours = |unit: &str| unit.starts_with(UNIT_PREFIX) || unit.starts_with(WRAP_PREFIX);
    let ours = || services.iter().filter(|service| is_ours(&service.unit));
    let listens = |service: &ServiceStatus| {
        service.pid.is_some()
            && ports.iter().any(|at| at.pid == service.pid && at.port == row.published.port)
    };
    let found = ours()
        .find(|service| named == Some(service.unit.as_str()))
        .or_else(|| ours().find(|service| service.name == row.published.name.as_str()))
        .or_else(|| ours().find(|service| listens(service)))?;
    let own = ports.iter().filter(|at| found.pid.is_some() && at.pid == found.pid);
    Some(Unit {
        name: found.unit.clone(),
        is_named: named == Some(found.unit.as_str()),
        state: state(&found.active_state),
        ports: own.map(|at| at.port).collect(),
    })
}

fn state(word: &str) -> String {
    match word {
        "active" | "inactive" | "failed" | "activating" | "deactivating" => word.to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// Has systemd do something with a unit.
pub(super) async fn systemctl(agent: &Agent, verb: &str, unit: &str) -> ApiResult<()> {
    let result = run(agent, "root", &["systemctl", verb, "--", unit]).await?;
    if result.exit.exit_code == Some(0) {
        return Ok(());
    }
    let said: String = result.stderr.trim().chars().take(TEXT_MAX_LEN).collect();
    let message = format!("the workspace could not {verb} {unit}: {said}");
    Err(ApiError::unavailable(message, RETRY_S))
}

/// Runs a command in the guest.
pub(super) async fn run(agent: &Agent, user: &str, command: &[&str]) -> ApiResult<ExecResult> {
    let asked = ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        user: Some(user.to_owned()),
        timeout_s: Some(COMMAND_TIMEOUT_S),
        ..ExecRequest::default()
    };
    let body = serde_json::to_vec(&asked).map_err(ApiError::internal)?;
    let mut request = agent.request(Method::POST, "/exec", Body::from(body));
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    let patience = Duration::from_secs(COMMAND_TIMEOUT_S.into()).saturating_add(ANSWER_GRACE);
    let answer = async { document::<ExecResult>(agent.open(request).await?).await };
    timeout(patience, answer).await.unwrap_or_else(|_| {
        Err(ApiError::unavailable("the workspace does not answer in time", RETRY_S))
    })
}
