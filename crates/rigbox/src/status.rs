//! `rigbox status`: what runs of the platform here, and what the host says of itself; with
//! `--metrics` the host's counters as Prometheus reads them.
//! Asks the processes themselves: the supervisor's file only says where to look. Changes nothing.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use rigbox_fabric::{Body, Client, ClientAuth};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{
    layout::Role,
    output,
    state::{Phase, State},
    up::{Up, require_root},
};

/// How long the host may take to say how it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest text of counters that is read.
const METRICS_MAX_BYTES: usize = 1024 * 1024;

/// How the status is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For a person.
    Human,
    /// As one document.
    Json,
    /// The host's counters alone.
    Metrics,
}

/// What `--json` answers.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether the supervisor and both roles run and the host answers.
    ok: bool,
    /// Directory of everything that the platform keeps.
    data: String,
    /// Where the API is.
    api: Option<String>,
    /// How far the supervisor is.
    phase: Option<Phase>,
    /// Supervisor and roles.
    processes: Vec<Process>,
    /// What the host says; none where it does not answer.
    host: Option<Host>,
}

#[derive(Debug, Serialize)]
struct Process {
    name: &'static str,
    pid: Option<u32>,
    running: bool,
}

/// The host's own status document, as far as it is shown.
#[derive(Debug, Serialize, Deserialize)]
struct Host {
    /// Driver of its VMMs.
    driver: String,
    /// Differences between records and reality that its last sweep found; should be zero.
    drift: u64,
    /// What it could give to workspaces in all.
    capacity: Amount,
    /// What it has promised to workspaces.
    promised: Amount,
    /// Every workspace it knows.
    workspaces: Vec<Workspace>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Amount {
    vcpus: u64,
    memory_mib: u64,
    disk_mib: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Workspace {
    id: String,
    observed: String,
}

/// Tells how the platform is. Exit code 1 where a part of it does not run.
///
/// # Errors
/// Where it cannot be found out.
pub(crate) fn run(up: &Up<'_>, form: Form) -> anyhow::Result<ExitCode> {
    require_root("status")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    if form == Form::Metrics {
        output::data(runtime.block_on(metrics(up))?.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let report = runtime.block_on(look(up))?;
    match form {
        Form::Human => human(up, &report),
        Form::Json | Form::Metrics => output::data(&serde_json::to_string_pretty(&report)?),
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(up: &Up<'_>) -> anyhow::Result<Report> {
    let state = State::read(up.layout)?;
    let supervisor = state.as_ref().map(|state| state.supervisor);
    let mut processes = vec![Process {
        name: "supervisor",
        pid: supervisor.map(|process| process.pid),
        running: supervisor.is_some_and(|process| process.is_alive()),
    }];
    for role in Role::ALL {
        let known = state.iter().flat_map(|state| &state.roles).find(|known| known.role == role);
        processes.push(Process {
            name: role.as_str(),
            pid: known.map(|known| known.process.pid),
            running: known.is_some_and(|known| known.process.is_alive()),
        });
    }
    let asked = timeout(ANSWER_TIMEOUT, async { client(up)?.get("/v1/status").await }).await;
    let host: Option<Host> = asked.ok().and_then(Result::ok);
    let ok = host.is_some() && processes.iter().all(|process| process.running);
    Ok(Report {
        ok,
        data: up.layout.data().to_string(),
        api: state.as_ref().map(|state| format!("{}/api/v1", state.api)),
        phase: state.map(|state| state.phase),
        processes,
        host,
    })
}

async fn metrics(up: &Up<'_>) -> anyhow::Result<String> {
    let asking = async {
        let client = client(up)?;
        let answer = client.request(Request::get("/metrics").body(Body::empty())?).await?;
        let body = client.accepted(answer).await?.into_body();
        let read = Limited::new(body, METRICS_MAX_BYTES).collect().await;
        let bytes = read.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let asked = timeout(ANSWER_TIMEOUT, asking).await;
    let words = format!("the host does not answer\nhint: {}", up.layout.command("status"));
    match asked {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => bail!("{error:#}: {words}"),
        Err(_) => bail!(words),
    }
}

fn client(up: &Up<'_>) -> Result<Client, rigbox_fabric::FabricError> {
    let address = format!("unix:{}", up.layout.host_socket());
    let address = address.parse().expect("a path of ours after `unix:` is an address");
    Client::new(address, &ClientAuth::Local)
}

fn human(up: &Up<'_>, report: &Report) {
    let line = |name: &str, words: &str| output::data(&format!("{name:<12} {words}"));
    line("data", &report.data);
    for process in &report.processes {
        let pid = process.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        let words = if process.running { format!("runs{pid}") } else { "does not run".to_owned() };
        line(process.name, &words);
    }
    if let Some(api) = report.api.as_ref().filter(|_| report.ok) {
        line("API", api);
    }
    let Some(host) = &report.host else {
        output::note(&format!(
            "the host does not answer\nhint: {}; {}",
            up.layout.command("up"),
            up.layout.command("doctor"),
        ));
        return;
    };
    line("driver", &host.driver);
    let mut counts = BTreeMap::new();
    for workspace in &host.workspaces {
        *counts.entry(workspace.observed.as_str()).or_insert(0_u32) += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let all = host.workspaces.len();
    line("workspaces", &if all == 0 { "none".to_owned() } else { counts.join(", ") });
    let of = |name: &str, part: u64, whole: u64| format!("{name} {part} of {whole}");
    let (promised, capacity) = (&host.promised, &host.capacity);
    line(
        "promised",
        &[
            of("vCPUs", promised.vcpus, capacity.vcpus),
            of("memory MiB", promised.memory_mib, capacity.memory_mib),
            of("disk MiB", promised.disk_mib, capacity.disk_mib),
        ]
        .join(", "),
    );
    line("drift", &host.drift.to_string());
}
