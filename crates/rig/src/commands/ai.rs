//! `rig ai`: who pays for AI, with which provider, model and keys, and what was used.
//! Invariant: a key is read from standard input or a terminal, never from the command line.

use http::Method;
use rigbox_types::{
    Credits,
    api::{
        ai::{
            AiKey, AiKeyChanges, AiTotals, AiUsageDetail, AiUsageMetricsSummaryResponse,
            AiUsageModelTotal, GetAiDefaultsResponse, GetAiUsageResponse, UpdateAiDefaultsRequest,
            UpdateAiModeRequest, UpdateWorkspaceAiConfigRequest, UpdateWorkspaceAiModeRequest,
            WorkspaceAiConfigResponse, WorkspaceAiConfigStatus, WorkspaceAiModeResponse,
            WorkspaceAiModeSource,
        },
        change::Change,
        credits::AiCredits,
    },
};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{
    proxy,
    workspace::{find_workspace, workspace_of},
};
use crate::{
    cli::{
        AiCommand, AiDefaultsArgs, AiKeyArgs, AiKeyCommand, AiModeArgs, AiSetArgs, AiTarget,
        AiUsageArgs, ModeWord,
    },
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    input,
    output::{Cell, Fields, Table, Tone, ago},
    session::{Session, workspace_path},
};

const DEFAULTS: &str = "/users/me/ai-defaults";

/// What leaves a model to whoever decides next.
const DEFAULT: &str = "default";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: AiCommand) -> CommandResult {
    match command {
        AiCommand::Show(target) => show(session, &target).await,
        AiCommand::Set(args) => set(session, args).await,
        AiCommand::Mode(args) => mode(session, &args).await,
        AiCommand::Defaults(args) => defaults(session, args).await,
        AiCommand::Usage(args) => usage(session, &args).await,
        AiCommand::Key(AiKeyCommand::Set(args)) => key_set(session, &args).await,
        AiCommand::Key(AiKeyCommand::Rm(args)) => key_remove(session, &args).await,
        AiCommand::Key(AiKeyCommand::Ls { workspace }) => {
            key_list(session, workspace.as_deref()).await
        }
    }
}

async fn show(session: &Session, target: &AiTarget) -> CommandResult {
    let vm = workspace_of(session, target.typed()).await?;
    let path = workspace_path(&vm.id).then("/ai-config");
    let answer: Document<WorkspaceAiConfigResponse> = session.client.get(path).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let config = &answer.value;
    let mut fields = proxy::fields(&vm, config);
    let status = match config.status {
        WorkspaceAiConfigStatus::ManagedActive => "the platform calls, for credits".into(),
        WorkspaceAiConfigStatus::ByokActive => "calls go with your own key".into(),
        WorkspaceAiConfigStatus::InvalidMissingKey => {
            Cell::toned("there is no key of yours for this provider", Tone::Bad)
        }
    };
    fields.add("status", status);
    for key in &config.keys {
        fields.add("key", format!("{} {} ({})", key.provider.as_str(), key.preview, source(key)));
    }
    session.output.fields(&fields)?;
    if config.status == WorkspaceAiConfigStatus::InvalidMissingKey {
        session.output.hint(&format!("rig ai key set {}", config.provider.as_str()));
    }
    Ok(())
}

async fn set(session: &Session, args: AiSetArgs) -> CommandResult {
    let vm = workspace_of(session, args.target.typed()).await?;
    let request = UpdateWorkspaceAiConfigRequest {
        provider: args.provider.map_or(Change::Keep, |word| Change::Set(word.into())),
        model: model(args.model),
        inject: args.inject.map_or(Change::Keep, |word| Change::Set(word.into())),
        ..UpdateWorkspaceAiConfigRequest::default()
    };
    if request == UpdateWorkspaceAiConfigRequest::default() {
        return Err(CommandError::usage("say what is to change").hint("rig ai set --help"));
    }
    let path = workspace_path(&vm.id).then("/ai-config");
    let answer: Document<WorkspaceAiConfigResponse> = put(session, path, &request).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.fields(&proxy::fields(&vm, &answer.value))
}

async fn mode(session: &Session, args: &AiModeArgs) -> CommandResult {
    let Some(typed) = &args.workspace else { return mode_of_account(session, args.mode).await };
    let vm = find_workspace(session, typed).await?;
    let path = workspace_path(&vm.id).then("/mode");
    let answer: Document<WorkspaceAiModeResponse> = match args.mode {
        None => session.client.get(path).await?,
        Some(word) => {
            let mode = word.mode().map_or(Change::Clear, Change::Set);
            put(session, path, &UpdateWorkspaceAiModeRequest { mode }).await?
        }
    };
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let by = match answer.value.source {
        WorkspaceAiModeSource::Workspace => "its own",
        WorkspaceAiModeSource::UserDefault => "the account's",
    };
    let mode = answer.value.mode.as_str();
    session.output.line(format!("{mode} ({by})"))
}

async fn mode_of_account(session: &Session, word: Option<ModeWord>) -> CommandResult {
    let answer: Document<AiCredits> = match word {
        None => session.client.get(Path::api("/users/me/credits")).await?,
        Some(word) => {
            let mode = word.mode().unwrap_or_default();
            put(session, Path::api("/users/me/ai-mode"), &UpdateAiModeRequest { mode }).await?
        }
    };
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(&answer.value.mode)
}

async fn defaults(session: &Session, args: AiDefaultsArgs) -> CommandResult {
    let request = UpdateAiDefaultsRequest {
        default_mode: args.mode.map_or(Change::Keep, |word| change(word.mode())),
        default_provider: args.provider.map_or(Change::Keep, |word| Change::Set(word.into())),
        default_model: model(args.model),
        enabled: args.enabled.map_or(Change::Keep, |word| change(word.enabled())),
        ..UpdateAiDefaultsRequest::default()
    };
    let path = Path::api(DEFAULTS);
    let answer: Document<GetAiDefaultsResponse> = if request == UpdateAiDefaultsRequest::default() {
        session.client.get(path).await?
    } else {
        put(session, path, &request).await?
    };
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let held = &answer.value;
    let enabled = match held.enabled {
        Some(true) => "on",
        Some(false) => "off",
        None => "off, until a workspace switches it on",
    };
    let mut fields = Fields::default();
    fields
        .add("ai", enabled)
        .add("mode", held.default_mode.as_str())
        .add("provider", held.default_provider.as_str())
        .add("model", &held.default_model);
    for key in &held.keys {
        fields.add("key", format!("{} {}", key.provider.as_str(), key.preview));
    }
    session.output.fields(&fields)
}

async fn usage(session: &Session, args: &AiUsageArgs) -> CommandResult {
    session.output.progress("reading what was used");
    let path = match (&args.workspace, &args.range) {
        (None, None) => return usage_of_account(session, args.daily).await,
        (None, Some(range)) => {
            Path::api("/users/me/ai-usage/metrics/summary").query("range", range)
        }
        (Some(typed), range) => {
            let vm = find_workspace(session, typed).await?;
            let range = range.as_deref().unwrap_or("24h");
            workspace_path(&vm.id).then("/ai-usage/metrics/summary").query("range", range)
        }
    };
    let answer: Document<AiUsageMetricsSummaryResponse> = session.client.get(path).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let all = &answer.value;
    let mut fields = Fields::default();
    fields
        .add("credits", micro(all.total_credits_micro))
        .add("calls", all.total_requests.to_string())
        .add("tokens read", all.input_tokens.to_string())
        .add("tokens written", all.output_tokens.to_string());
    session.output.fields(&fields)?;
    models(session, &all.by_model)
}

async fn usage_of_account(session: &Session, is_daily: bool) -> CommandResult {
    let answer: Document<GetAiUsageResponse> =
        session.client.get(Path::api("/users/me/ai-usage")).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let usage = &answer.value;
    let none = format!("no AI was used in the last {} days", usage.window_days);
    if is_daily {
        return session.output.table(&details(&usage.details), &none);
    }
    let mut table = Table::new(["WORKSPACE", "CREDITS", "CALLS", "READ", "WRITTEN"]);
    for of in &usage.by_workspace {
        let [credits, calls, read, written] = cells(&of.totals);
        table.row([(&of.workspace_name).into(), credits, calls, read, written]);
    }
    session.output.table(&table, &none)?;
    models(session, &usage.by_model)
}

fn details(details: &[AiUsageDetail]) -> Table {
    let heads = ["DAY", "WORKSPACE", "MODEL", "CREDITS", "CALLS", "READ", "WRITTEN"];
    let mut table = Table::new(heads);
    for AiUsageDetail { day, workspace_name, of, .. } in details {
        let [credits, calls, read, written] = cells(&of.totals);
        let name = format!("{}/{}", of.provider, of.model);
        table.row([day.into(), workspace_name.into(), name.into(), credits, calls, read, written]);
    }
    table
}

/// A second table, where there is something in it.
fn models(session: &Session, models: &[AiUsageModelTotal]) -> CommandResult {
    if models.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["MODEL", "CREDITS", "CALLS", "READ", "WRITTEN"]);
    for of in models {
        let [credits, calls, read, written] = cells(&of.totals);
        table.row([format!("{}/{}", of.provider, of.model).into(), credits, calls, read, written]);
    }
    session.output.line("")?;
    session.output.table(&table, "")
}

async fn key_set(session: &Session, args: &AiKeyArgs) -> CommandResult {
    if args.misplaced.is_some() {
        let message = "a key on the command line would be seen by others and kept by your shell";
        let hint = format!("rig ai key set {} < key.txt", provider(args));
        return Err(CommandError::usage(message).hint(hint));
    }
    let question = format!("Key at {}: ", provider(args));
    let key = input::key_from_stdin(&session.output, &question).await?;
    let keys = change_key(session, args, Change::Set(key.expose_secret().to_owned())).await?;
    let own = |key: &&AiKey| key.provider == args.provider.into();
    let preview = keys.iter().find(own).map_or("", |key| key.preview.as_str()).to_owned();
    if session.output.is_human() {
        session.output.line(format!("kept the key {preview} at {}", provider(args)))?;
    }
    Ok(())
}

async fn key_remove(session: &Session, args: &AiKeyArgs) -> CommandResult {
    if args.misplaced.is_some() {
        return Err(CommandError::usage("one provider at a time").hint("rig ai key ls"));
    }
    change_key(session, args, Change::Clear).await?;
    if session.output.is_human() {
        session.output.line(format!("forgot the key at {}", provider(args)))?;
    }
    Ok(())
}

async fn key_list(session: &Session, workspace: Option<&str>) -> CommandResult {
    session.output.progress("reading the keys");
    let (raw, keys) = match workspace {
        None => {
            let answer: Document<GetAiDefaultsResponse> =
                session.client.get(Path::api(DEFAULTS)).await?;
            (answer.raw, answer.value.keys)
        }
        Some(typed) => {
            let vm = find_workspace(session, typed).await?;
            let path = workspace_path(&vm.id).then("/ai-config");
            let answer: Document<WorkspaceAiConfigResponse> = session.client.get(path).await?;
            (answer.raw, answer.value.keys)
        }
    };
    if !session.output.is_human() {
        return session.output.document(&raw);
    }
    let now = clock::now();
    let mut table = Table::new(["PROVIDER", "KEY", "OF", "SET"]);
    for key in &keys {
        table.row([
            key.provider.as_str().into(),
            (&key.preview).into(),
            source(key).into(),
            ago(now, key.updated_at).into(),
        ]);
    }
    if table.is_empty() {
        session.output.hint("rig ai key set openai < key.txt");
    }
    session.output.table(&table, "no keys of your own")
}

/// Changes one key; for programs, writes the answer. Gives the keys that count then.
async fn change_key(
    session: &Session,
    args: &AiKeyArgs,
    key: Change<String>,
) -> CommandResult<Vec<AiKey>> {
    let api_keys = AiKeyChanges::of(args.provider.into(), key);
    let (raw, keys) = match &args.workspace {
        None => {
            let request = UpdateAiDefaultsRequest { api_keys, ..Default::default() };
            let answer: Document<GetAiDefaultsResponse> =
                put(session, Path::api(DEFAULTS), &request).await?;
            (answer.raw, answer.value.keys)
        }
        Some(typed) => {
            let vm = find_workspace(session, typed).await?;
            let request = UpdateWorkspaceAiConfigRequest { api_keys, ..Default::default() };
            let path = workspace_path(&vm.id).then("/ai-config");
            let answer: Document<WorkspaceAiConfigResponse> = put(session, path, &request).await?;
            (answer.raw, answer.value.keys)
        }
    };
    if !session.output.is_human() {
        session.output.document(&raw)?;
    }
    Ok(keys)
}

async fn put<T: serde::de::DeserializeOwned>(
    session: &Session,
    path: Path,
    request: &(impl Serialize + Sync),
) -> CommandResult<Document<T>> {
    Ok(session.client.fetch(Call::new(Method::PUT, path).json(request)?).await?)
}

fn change<T>(value: Option<T>) -> Change<T> {
    value.map_or(Change::Clear, Change::Set)
}

fn model(typed: Option<String>) -> Change<String> {
    match typed {
        None => Change::Keep,
        Some(word) if word == DEFAULT => Change::Clear,
        Some(name) => Change::Set(name),
    }
}

fn provider(args: &AiKeyArgs) -> &'static str {
    rigbox_types::api::ai::AiProvider::from(args.provider).as_str()
}

fn source(key: &AiKey) -> &'static str {
    match key.source {
        WorkspaceAiModeSource::Workspace => "the workspace",
        WorkspaceAiModeSource::UserDefault => "the account",
    }
}

fn cells(totals: &AiTotals) -> [Cell; 4] {
    [
        micro(totals.credits_micro).into(),
        totals.requests.to_string().into(),
        totals.input_tokens.to_string().into(),
        totals.output_tokens.to_string().into(),
    ]
}

/// Exact, and not beyond what a server may say.
fn micro(micro: i64) -> String {
    Credits::from_micro(micro).map_or_else(|_| "-".to_owned(), |credits| credits.to_string())
}
