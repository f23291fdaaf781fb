//! Apps of what already listens in a workspace, and of its template.
//! Invariants: what a guest says of its processes is cut to what it is asked for, and no value of an
//! environment is in it; an app is made by the same way as any other.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::{app_log_sources::LogPlace, apps::AppRow};
use rigbox_types::{
    AppLogSourceId, AppName, Principal,
    api::{
        apps::{
            AppKind, CreateAppRequest, DetectResult, ExposePortRequest, ExposePortResponse,
            ExposeStep, ReconcileAppsResponse, WrapResult,
        },
        error::ErrorCode,
        services::LogSourceType,
    },
    guest::{
        ListListeningPortsResponse, ListeningPort, WrapAnswer, WrapRequest,
        units::{AGENT_UNIT, KEPT_VARIABLES, WRAP_PREFIX},
    },
};
use serde_json::Value;

use super::{app, guest, view};
use crate::{
    account::regions,
    control::Control,
    error::{ApiError, ApiResult},
    guest::agent::Agent,
    http::{
        access::{Asked, ForWorkspace},
        body::Document,
    },
    source::random,
};

/// Longest text about a process that is handed on, in characters.
const TEXT_MAX_LEN: usize = 4_096;

/// Most names of variables.
const VARIABLES_MAX: usize = 256;

/// Tells of a process, in parts of lines. `$1` is its number.
const SCRIPT: &str = "cd /proc/\"$1\" || exit 1
echo @command; tr '\\0\\n' '  ' <cmdline; echo
echo @cwd; readlink cwd
echo @unit; sed -n 's#.*/\\([^/]*\\.service\\)$#\\1#p' cgroup | head -n 1
echo @env; tr '\\0' '\\n' <environ | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\\1/p' | head -n 256";

/// Says who listens, or makes an app of it.
pub(crate) async fn workspace_port_expose(
    State(control): State<Arc<Control>>,
    Asked(access): Asked,
    about: ForWorkspace,
    Document(request): Document<ExposePortRequest>,
) -> ApiResult<Json<ExposePortResponse>> {
    let agent = control.agent(&about, "be asked what listens").await?;
    let ports: ListListeningPortsResponse = agent.get("/ports").await?;
    let listener = ports.ports.into_iter().find(|at| at.port == request.port);
    let listener = listener.ok_or_else(|| {
        ApiError::conflict(format!("nothing listens at port {} of the workspace", request.port))
    })?;
    let found = detect(&control, &agent, &listener).await?;
    if request.step == Some(ExposeStep::Detect) {
        return Ok(Json(ExposePortResponse::Detect(found)));
    }
    let publishing = Publishing { control: &control, about: &about, agent: &agent };
    let wrapped = publishing.publish(access.principal()?, &request, found).await?;
    Ok(Json(ExposePortResponse::Wrap(Box::new(wrapped))))
}

/// Makes an app of what listens.
struct Publishing<'a> {
    control: &'a Control,
    about: &'a ForWorkspace,
    agent: &'a Agent,
}

impl Publishing<'_> {
    async fn publish(
        &self,
        who: &Principal,
        request: &ExposePortRequest,
        found: DetectResult,
    ) -> ApiResult<WrapResult> {
        let (control, port) = (self.control, request.port);
        let apps = control.store.apps().of_workspace(&self.about.row.id).await?;
        if let Some(app) = apps.iter().find(|app| app.published.port == port) {
            let name = &app.published.name;
            return Err(ApiError::conflict(format!("the app {name} has port {port} already")));
        }
        let name = match &request.name {
            Some(name) => name.clone(),
            None => found.suggested_name.parse().map_err(ApiError::internal)?,
        };
        let create = CreateAppRequest {
            name,
            workspace_id: self.about.row.id.clone(),
            app_kind: AppKind::Service,
            port: Some(port),
            protocol: None,
            description: None,
            metadata: Value::Null,
        };
        let row = app::create(control, who, create, None).await?;
        let unit = match found.systemd_unit {
            None if request.step == Some(ExposeStep::Wrap) => Some(self.wrap(&row).await?),
            unit => unit,
        };
        if let Some(unit) = &unit {
            self.log_source(&row, unit).await?;
        }
        let late = control.edges.effective(row.revision).await;
        let name = &row.published.name;
        let made = match &unit {
            Some(unit) if !found.is_systemd => format!(
                "app {name} is made of port {port}; {unit} took the place of the process, with \
                 these variables of its environment at most: {}",
                KEPT_VARIABLES.join(", ")
            ),
            _ => format!("app {name} is made of port {port}"),
        };
        Ok(WrapResult {
            app: view::app(control, &row),
            message: late.map_or_else(|| made.clone(), |late| format!("{made}; {late}")),
            needs_restart: false,
            service_name: unit.unwrap_or_default(),
        })
    }

    /// Has a unit take the place of what listens. Where that fails there is no app either: nobody asked
    /// for one that does not come back.
    async fn wrap(&self, row: &AppRow) -> ApiResult<String> {
        let name = row.published.name.to_string();
        let asked = WrapRequest { name, port: row.published.port };
        let made: ApiResult<WrapAnswer> = self.agent.post("/units", &asked).await;
        let made = made.and_then(|made| {
            let is_ours = is_unit(&made.unit) && made.unit.starts_with(WRAP_PREFIX);
            let odd = || ApiError::unavailable("the workspace made a unit of another name", 2);
            is_ours.then_some(made.unit).ok_or_else(odd)
        });
        if made.is_err() {
            let revision = self.control.store.apps().delete(&row.id).await?;
            // The refusal is what there is to say; an edge that is late serves what listens.
            drop(self.control.edges.effective(revision).await);
        }
        made.map_err(|error| match error.code() {
            ErrorCode::NotFound => ApiError::new(
                ErrorCode::Unsupported,
                "the workspace's agent is too old to make a unit: restart the workspace, or leave \
                 step out to publish the port as it is",
            ),
            _ => error,
        })
    }

    async fn log_source(&self, row: &AppRow, unit: &str) -> ApiResult<()> {
        let id = AppLogSourceId::from_random(random().map_err(ApiError::internal)?);
        let place = LogPlace {
            source_type: LogSourceType::SystemdUnit,
            source_ref: unit.to_owned(),
            display_name: None,
            is_primary: true,
        };
        self.control.store.app_log_sources().insert((&row.id, id), &place).await?;
        Ok(())
    }
}

async fn detect(
    control: &Control,
    agent: &Agent,
    listener: &ListeningPort,
) -> ApiResult<DetectResult> {
    let process_name = cut(listener.process.as_deref().unwrap_or_default());
    let pid = listener.pid.unwrap_or_default();
    let told = match pid {
        0 => String::new(),
        pid => {
            let pid = pid.to_string();
            let command = ["/bin/sh", "-c", SCRIPT, "sh", pid.as_str()];
            guest::run(agent, "root", &command).await?.stdout
        }
    };
    let part = |name: &str| {
        let lines = told.lines().skip_while(move |line| *line != name).skip(1);
        lines.take_while(|line| !line.starts_with('@')).map(cut).collect::<Vec<_>>()
    };
    let first = |name: &str| part(name).into_iter().next().unwrap_or_default();
    // What was started by hand runs in the agent's unit, which starts nothing again.
    let unit = Some(first("@unit")).filter(|unit| is_unit(unit) && unit != AGENT_UNIT);
    Ok(DetectResult {
        port: listener.port,
        pid,
        suggested_name: suggested(control, &process_name, listener.port).await?,
        command: first("@command").trim().to_owned(),
        cwd: first("@cwd"),
        env_vars: part("@env").into_iter().take(VARIABLES_MAX).collect(),
        is_systemd: unit.is_some(),
        systemd_unit: unit,
        process_name,
    })
}

/// A name that is usable and free right now.
async fn suggested(control: &Control, process: &str, port: u16) -> ApiResult<String> {
    let regions = regions(control).await?;
    let letters = process.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let base: String = letters.take(32).collect::<String>().to_ascii_lowercase();
    let base = base.trim_matches('-');
    let base = if base.is_empty() { "app" } else { base };
    let mut candidate = base.to_owned();
    for attempt in 0_u8..8 {
        if let Ok(name) = candidate.parse::<AppName>()
            && name.usable(&regions).is_ok()
            && control.store.apps().by_name(&name).await?.is_none()
        {
            return Ok(candidate);
        }
        candidate = match attempt {
            0 => format!("{base}-{port}"),
            _ => {
                let [a, b, c] = random::<3>().map_err(ApiError::internal)?;
                format!("{base}-{a:02x}{b:02x}{c:02x}")
            }
        };
    }
    Ok(candidate)
}

fn is_unit(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._:-\\".contains(&byte);
    text.len() <= 255 && text.ends_with(".service") && text.bytes().all(plain)
}

/// A guest's text: one line, and not too long.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_MAX_LEN).collect()
}

/// Makes what a template has; none has any yet.
pub(crate) async fn workspace_apps_reconcile(_: ForWorkspace) -> Json<ReconcileAppsResponse> {
    let message = "the workspace's template has no apps, so none is missing".to_owned();
    Json(ReconcileAppsResponse { created: Vec::new(), message })
}
