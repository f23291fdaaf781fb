//! `rig setup-script`: bash that runs when workspaces boot.

use http::Method;
use rigbox_types::api::{
    setup_scripts::{
        CreateSetupScriptRequest, RunOn, SetupScriptResponse, SetupScriptsListResponse,
        UpdateSetupScriptRequest,
    },
    workspaces::MessageResponse,
};

use super::workspace::unknown;
use crate::{
    cli::{SetupScriptChange, SetupScriptCommand},
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    input,
    output::{Table, ago},
    session::Session,
};

const BASE: &str = "/setup-scripts";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: SetupScriptCommand) -> CommandResult {
    match command {
        SetupScriptCommand::Create(change) => create(session, change).await,
        SetupScriptCommand::Ls => list(session).await,
        SetupScriptCommand::Show { script } => {
            let script = find(session, &script).await?;
            let answer: Document<SetupScriptResponse> = session.client.get(path(&script)).await?;
            if session.output.is_human() {
                session.output.block(&answer.value.content)
            } else {
                session.output.document(&answer.raw)
            }
        }
        SetupScriptCommand::Update { script, change } => update(session, &script, change).await,
        SetupScriptCommand::Rm { script } => {
            let script = find(session, &script).await?;
            let call = Call::new(Method::DELETE, path(&script));
            let answer: Document<MessageResponse> = session.client.fetch(call).await?;
            if session.output.is_human() {
                session.output.line(format!("deleted the setup script {}", script.name))
            } else {
                session.output.document(&answer.raw)
            }
        }
    }
}

async fn create(session: &Session, change: SetupScriptChange) -> CommandResult {
    let example = "rig setup-script create --name tools --file tools.sh";
    let missing = |what: &str| CommandError::usage(format!("{what} is missing")).hint(example);
    let file = change.file.ok_or_else(|| missing("--file"))?;
    let request = CreateSetupScriptRequest {
        name: change.name.ok_or_else(|| missing("--name"))?,
        content: input::text_of(&file).await?,
        run_on: change.run_on.map(RunOn::from).unwrap_or_default(),
        script_order: change.order,
    };
    let call = Call::new(Method::POST, Path::api(BASE)).json(&request)?.idempotent()?;
    let answer: Document<SetupScriptResponse> = session.client.fetch(call).await?;
    tell(session, &answer, "added")
}

async fn list(session: &Session) -> CommandResult {
    session.output.progress("reading the setup scripts");
    let answer = all(session).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["NAME", "ID", "RUNS ON", "ORDER", "UPDATED"]);
    for script in &answer.value.scripts {
        table.row([
            (&script.name).into(),
            script.id.to_string().into(),
            word(script.run_on).into(),
            script.script_order.to_string().into(),
            ago(now, script.updated_at).into(),
        ]);
    }
    session.output.table(&table, "no setup scripts")
}

async fn update(session: &Session, typed: &str, change: SetupScriptChange) -> CommandResult {
    let content = match &change.file {
        Some(file) => Some(input::text_of(file).await?),
        None => None,
    };
    let request = UpdateSetupScriptRequest {
        name: change.name,
        content,
        run_on: change.run_on.map(RunOn::from),
        script_order: change.order,
    };
    if request == UpdateSetupScriptRequest::default() {
        return Err(CommandError::usage("there is nothing to change")
            .hint("rig setup-script update --help"));
    }
    let script = find(session, typed).await?;
    let call = Call::new(Method::PUT, path(&script)).json(&request)?;
    let answer: Document<SetupScriptResponse> = session.client.fetch(call).await?;
    tell(session, &answer, "changed")
}

fn tell(session: &Session, answer: &Document<SetupScriptResponse>, what: &str) -> CommandResult {
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session
        .output
        .line(format!("{what} the setup script {} ({})", answer.value.name, answer.value.id))
}

async fn all(session: &Session) -> CommandResult<Document<SetupScriptsListResponse>> {
    Ok(session.client.list(Path::api(BASE), "scripts").await?)
}

/// The script with this id or name.
async fn find(session: &Session, typed: &str) -> CommandResult<SetupScriptResponse> {
    let scripts = all(session).await?.value.scripts;
    let mut found =
        scripts.iter().filter(|script| script.id.to_string() == typed || script.name == typed);
    match (found.next(), found.next()) {
        (Some(script), None) => Ok(script.clone()),
        (Some(_), Some(_)) => Err(CommandError::failed(format!(
            "several setup scripts are named '{typed}': use an id"
        ))
        .hint("rig setup-script ls")),
        (None, _) => {
            let names = scripts.iter().map(|script| script.name.as_str());
            Err(unknown("setup script", typed, names, "rig setup-script ls"))
        }
    }
}

fn path(script: &SetupScriptResponse) -> Path {
    Path::api(BASE).segment(&script.id.to_string())
}

fn word(run_on: RunOn) -> &'static str {
    match run_on {
        RunOn::FirstBoot => "first_boot",
        RunOn::EveryStart => "every_start",
    }
}
