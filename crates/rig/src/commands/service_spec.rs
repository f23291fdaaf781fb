//! `rig service-spec`: daemons that run in workspaces as systemd units.

use http::Method;
use rigbox_types::api::{
    change::Change,
    service_specs::{
        CreateServiceSpecRequest, RestartPolicy, ServiceSpecResponse, ServiceSpecsListResponse,
        UpdateServiceSpecRequest,
    },
    workspaces::MessageResponse,
};

use super::workspace::unknown;
use crate::{
    cli::{ServiceSpecChange, ServiceSpecCommand},
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    input,
    output::{Table, ago},
    session::Session,
};

const BASE: &str = "/service-specs";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: ServiceSpecCommand) -> CommandResult {
    match command {
        ServiceSpecCommand::Create(change) => create(session, change).await,
        ServiceSpecCommand::Ls => list(session).await,
        ServiceSpecCommand::Show { spec } => {
            let spec = find(session, &spec).await?;
            let answer: Document<ServiceSpecResponse> = session.client.get(path(&spec)).await?;
            if session.output.is_human() {
                session.output.block(&answer.value.systemd_unit_preview)
            } else {
                session.output.document(&answer.raw)
            }
        }
        ServiceSpecCommand::Update { spec, change } => update(session, &spec, change).await,
        ServiceSpecCommand::Rm { spec } => {
            let spec = find(session, &spec).await?;
            let call = Call::new(Method::DELETE, path(&spec));
            let answer: Document<MessageResponse> = session.client.fetch(call).await?;
            if session.output.is_human() {
                session.output.line(format!("deleted the service spec {}", spec.name))
            } else {
                session.output.document(&answer.raw)
            }
        }
    }
}

async fn create(session: &Session, change: ServiceSpecChange) -> CommandResult {
    let example = "rig service-spec create --name web --exec '/usr/bin/python3 -m http.server'";
    let missing = |what: &str| CommandError::usage(format!("{what} is missing")).hint(example);
    let env = input::variables(&change.env, &[]).await?;
    let request = CreateServiceSpecRequest {
        setup_script: setup(&change).await?,
        name: change.name.ok_or_else(|| missing("--name"))?,
        exec_start: change.exec.ok_or_else(|| missing("--exec"))?,
        env_vars: Some(env).filter(|env| !env.is_empty()),
        environment_file: change.environment_file.filter(|file| !file.is_empty()),
        restart_policy: change.restart.map(RestartPolicy::from).unwrap_or_default(),
        auto_enable: change.auto_enable.unwrap_or_default(),
    };
    let call = Call::new(Method::POST, Path::api(BASE)).json(&request)?.idempotent()?;
    let answer: Document<ServiceSpecResponse> = session.client.fetch(call).await?;
    tell(session, &answer, "added")
}

async fn setup(change: &ServiceSpecChange) -> CommandResult<Option<String>> {
    match &change.setup_file {
        Some(file) => Ok(Some(input::text_of(file).await?)),
        None => Ok(None),
    }
}

async fn list(session: &Session) -> CommandResult {
    session.output.progress("reading the service specs");
    let answer = all(session).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["NAME", "ID", "RESTART", "AUTO", "UPDATED", "COMMAND"]);
    for spec in &answer.value.services {
        table.row([
            (&spec.name).into(),
            spec.id.to_string().into(),
            word(spec.restart_policy).into(),
            if spec.auto_enable { "yes" } else { "no" }.into(),
            ago(now, spec.updated_at).into(),
            (&spec.exec_start).into(),
        ]);
    }
    session.output.table(&table, "no service specs")
}

async fn update(session: &Session, typed: &str, change: ServiceSpecChange) -> CommandResult {
    let env = input::variables(&change.env, &[]).await?;
    let set = |value: Option<String>| value.map_or(Change::Keep, Change::Set);
    let request = UpdateServiceSpecRequest {
        setup_script: set(setup(&change).await?),
        name: change.name,
        exec_start: change.exec,
        env_vars: if env.is_empty() { Change::Keep } else { Change::Set(env) },
        environment_file: set(change.environment_file),
        restart_policy: change.restart.map(RestartPolicy::from),
        auto_enable: change.auto_enable,
    };
    if request == UpdateServiceSpecRequest::default() {
        return Err(CommandError::usage("there is nothing to change")
            .hint("rig service-spec update --help"));
    }
    let spec = find(session, typed).await?;
    let call = Call::new(Method::PUT, path(&spec)).json(&request)?;
    let answer: Document<ServiceSpecResponse> = session.client.fetch(call).await?;
    tell(session, &answer, "changed")
}

fn tell(session: &Session, answer: &Document<ServiceSpecResponse>, what: &str) -> CommandResult {
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session
        .output
        .line(format!("{what} the service spec {} ({})", answer.value.name, answer.value.id))
}

async fn all(session: &Session) -> CommandResult<Document<ServiceSpecsListResponse>> {
    Ok(session.client.list(Path::api(BASE), "services").await?)
}

/// The spec with this id or name; names are unique within an account.
async fn find(session: &Session, typed: &str) -> CommandResult<ServiceSpecResponse> {
    let specs = all(session).await?.value.services;
    let found = specs.iter().find(|spec| spec.id.to_string() == typed || spec.name == typed);
    found.cloned().ok_or_else(|| {
        let names = specs.iter().map(|spec| spec.name.as_str());
        unknown("service spec", typed, names, "rig service-spec ls")
    })
}

fn path(spec: &ServiceSpecResponse) -> Path {
    Path::api(BASE).segment(&spec.id.to_string())
}

fn word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::No => "no",
    }
}
