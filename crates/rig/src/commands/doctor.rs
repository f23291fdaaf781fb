//! `rig doctor`: what rig itself needs: its configuration, the server, the key, the versions.
//! Does not look at the server's machine (`rigbox doctor` does).

use std::time::{Duration, Instant};

use rigbox_types::api::accounts::{CapacityResponse, GetUserLimitsResponse};
use serde::Serialize;
use serde_json::Value;

use crate::{
    client::{Client, ClientError, Document, Path, Scheme},
    config::Config,
    error::{CommandError, CommandResult},
    output::{Cell, Output, Table, Tone},
    profile::Profile,
    session::App,
};

/// An answer that takes longer is worth a word.
const SLOW: Duration = Duration::from_millis(500);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failed,
    Skipped,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
struct Check {
    name: &'static str,
    result: Verdict,
    detail: String,
    remedy: Option<String>,
}

#[derive(Debug, Default)]
struct Report {
    checks: Vec<Check>,
}

impl Report {
    fn add(
        &mut self,
        name: &'static str,
        result: Verdict,
        detail: impl Into<String>,
    ) -> &mut Check {
        self.checks.push(Check { name, result, detail: detail.into(), remedy: None });
        self.checks.last_mut().expect("it was just pushed")
    }
}

impl Check {
    fn remedy(&mut self, command: impl Into<String>) {
        self.remedy = Some(command.into());
    }
}

/// Runs all checks; a failed one is an error.
pub(super) async fn run(app: &App) -> CommandResult {
    let mut report = Report::default();
    configuration(app, &app.config, &mut report);
    let profile = app.profile()?;
    let client = app.client(&profile);
    app.output.progress(format!("asking {}", profile.url));
    encryption(&profile, &mut report);
    if server(&client, &mut report).await {
        versions(&client, &mut report).await;
        key(&client, &profile, &mut report).await;
    } else {
        report.add("version", Verdict::Skipped, "the server does not answer");
        report.add("key", Verdict::Skipped, "the server does not answer");
    }
    show(&app.output, &report)
}

fn configuration(app: &App, config: &Config, report: &mut Report) {
    let path = app.file.path().display();
    match app.file.foreign_mode() {
        Some(mode) => report
            .add(
                "configuration",
                Verdict::Failed,
                format!("{path} has mode {mode:04o}: others on this machine may use your key"),
            )
            .remedy(format!("chmod 600 {path}")),
        None if app.file.path().exists() => {
            let detail =
                format!("{path}, {}", crate::words::count(config.contexts.len(), "context"));
            report.add("configuration", Verdict::Ok, detail);
        }
        None => {
            report.add("configuration", Verdict::Ok, format!("{path} does not exist yet"));
        }
    }
    let overrides: Vec<&str> = ["RIG_API_KEY", "RIGBOX_API_URL", "RIG_CONTEXT", "RIGBOX_CA"]
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        .collect();
    if !overrides.is_empty() {
        let detail = format!("{} set, and stronger than the configuration", overrides.join(", "));
        report.add("environment", Verdict::Ok, detail);
    }
}

fn encryption(profile: &Profile, report: &mut Report) {
    if profile.url.scheme() == Scheme::Http && !profile.url.is_local() {
        let detail = format!("{} is not encrypted: the key can be read on the way", profile.url);
        report.add("encryption", Verdict::Warning, detail);
    }
}

async fn server(client: &Client, report: &mut Report) -> bool {
    let begun = Instant::now();
    let answer: Result<Document<CapacityResponse>, _> = client.get(Path::api("/capacity")).await;
    let passed = begun.elapsed();
    match answer {
        Ok(_) => {
            let verdict = if passed > SLOW { Verdict::Warning } else { Verdict::Ok };
            let detail = format!("{} answers in {} ms", client.server(), passed.as_millis());
            report.add("server", verdict, detail);
            true
        }
        Err(error) => {
            let remedy = match &error {
                ClientError::Unreachable { server, .. } if server.is_local() => "rigbox up",
                ClientError::Insecure { .. } => "rig doctor --ca CA_FILE",
                _ => "rig context ls",
            };
            report.add("server", Verdict::Failed, error.to_string()).remedy(remedy);
            false
        }
    }
}

async fn versions(client: &Client, report: &mut Report) {
    let own = env!("CARGO_PKG_VERSION");
    let answer: Result<Document<Value>, _> = client.get(Path::api("/openapi.json")).await;
    let version = answer.ok().and_then(|document| {
        document.raw.pointer("/info/version").and_then(Value::as_str).map(str::to_owned)
    });
    let (verdict, detail) = match version {
        Some(version) if version.split('.').next() == Some(API_VERSION) => {
            (Verdict::Ok, format!("rig {own}, API {version}"))
        }
        Some(version) => (
            Verdict::Warning,
            format!("rig {own} speaks API {API_VERSION}, the server {version}: one of them is old"),
        ),
        None => (Verdict::Warning, format!("rig is {own}, the server does not say what it speaks")),
    };
    report.add("version", verdict, detail);
}

/// The API that rig speaks: the `1` of `/api/v1`.
const API_VERSION: &str = "1";

async fn key(client: &Client, profile: &Profile, report: &mut Report) {
    if !client.has_key() {
        let detail = format!("not signed in to {}", profile.url);
        report.add("key", Verdict::Failed, detail).remedy("rig login");
        return;
    }
    let answer: Result<Document<GetUserLimitsResponse>, _> =
        client.get(Path::api("/users/me/limits")).await;
    match answer {
        Ok(limits) => {
            let source = profile.key_source.as_str();
            let detail = format!("accepted (from {source}), plan {}", limits.value.plan);
            report.add("key", Verdict::Ok, detail);
        }
        Err(error) => {
            let error = CommandError::from(error);
            let check = report.add("key", Verdict::Failed, error.message);
            check.remedy = error.hint;
        }
    }
}

fn show(output: &Output, report: &Report) -> CommandResult {
    let failed = report.checks.iter().filter(|check| check.result == Verdict::Failed).count();
    if output.is_human() {
        let mut table = Table::new(["CHECK", "RESULT", "DETAIL"]);
        for check in &report.checks {
            let result = match check.result {
                Verdict::Ok => Cell::toned("ok", Tone::Good),
                Verdict::Warning => Cell::toned("warning", Tone::Busy),
                Verdict::Failed => Cell::toned("failed", Tone::Bad),
                Verdict::Skipped => Cell::toned("skipped", Tone::Faint),
            };
            table.row([check.name.into(), result, (&check.detail).into()]);
        }
        output.table(&table, "")?;
        for remedy in report.checks.iter().filter_map(|check| check.remedy.as_ref()) {
            output.hint(remedy);
        }
    } else {
        output.document(&serde_json::json!({ "checks": report.checks }))?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(CommandError::failed(format!("{} failed", crate::words::count(failed, "check")))),
    }
}
