//! `rig workspace`: finding, listing and showing workspaces, and the way to everything else.

mod apps;
mod copy;
mod create;
mod env;
mod exec;
mod logs;
mod look;
mod shell;
mod state;
mod wait;

use rigbox_types::{
    WorkspaceId,
    api::workspaces::{GetWorkspaceResponse, ListWorkspacesResponse, Vm},
    host::EgressMode,
};
use serde_json::Value;

use crate::{
    cli::{CopyArgs, ExecArgs, ListArgs, ShellArgs, Target, WorkspaceCommand},
    client::{ClientError, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    output::{Cell, Fields, Tone, ago},
    session::{Session, workspace_path},
    size, suggest, usage,
    words::{setup_line, status_cell, workspace_table},
};

/// Does what the command says.
pub(super) async fn run(session: &Session, command: WorkspaceCommand) -> CommandResult {
    match command {
        WorkspaceCommand::Ls(args) => list(session, &args).await,
        WorkspaceCommand::Show(target) => show(session, &target).await,
        WorkspaceCommand::New(args) => create::new(session, &args).await,
        WorkspaceCommand::Spawn(args) => create::spawn(session, &args).await,
        WorkspaceCommand::Start(args) => {
            let with_apps = args.wait_for_apps;
            let change =
                if with_apps { state::Change::StartWithApps } else { state::Change::Start };
            state::change(session, change, &args.state).await
        }
        WorkspaceCommand::Stop(args) => state::change(session, state::Change::Stop, &args).await,
        WorkspaceCommand::Restart(args) => {
            state::change(session, state::Change::Restart, &args).await
        }
        WorkspaceCommand::Cancel(args) => {
            state::change(session, state::Change::Cancel, &args).await
        }
        WorkspaceCommand::Retry(args) => state::change(session, state::Change::Retry, &args).await,
        WorkspaceCommand::Rm(args) => state::remove(session, &args).await,
        WorkspaceCommand::Logs(args) => logs::run(session, &args).await,
        WorkspaceCommand::Metrics(target) => look::metrics(session, &target).await,
        WorkspaceCommand::Ports(target) => look::ports(session, &target).await,
        WorkspaceCommand::Services(args) => look::services(session, &args).await,
        WorkspaceCommand::SshInfo(target) => look::ssh_info(session, &target).await,
        WorkspaceCommand::Resize(args) => create::resize(session, &args).await,
        WorkspaceCommand::Env(command) => env::run(session, command).await,
        WorkspaceCommand::Exec(args) => exec(session, args).await,
        WorkspaceCommand::Cp(args) => copy(session, &args).await,
    }
}

/// `rig exec`.
pub(super) async fn exec(session: &Session, args: ExecArgs) -> CommandResult {
    Box::pin(exec::run(session, args)).await
}

/// `rig shell`.
pub(super) async fn shell(session: &Session, args: &ShellArgs) -> CommandResult {
    Box::pin(shell::run(session, args)).await
}

/// `rig cp`.
pub(super) async fn copy(session: &Session, args: &CopyArgs) -> CommandResult {
    Box::pin(copy::run(session, args)).await
}

/// `rig workspace ls`.
pub(super) async fn list(session: &Session, args: &ListArgs) -> CommandResult {
    session.output.progress("reading the workspaces");
    let path = match &args.owner {
        Some(owner) => Path::api("/workspaces").query("owner", owner),
        None if args.shared => shared(),
        None => Path::api("/workspaces"),
    };
    let mut answer: Document<ListWorkspacesResponse> = session.client.list(path, "vms").await?;
    if let Some(limit) = args.limit {
        answer.value.vms.truncate(limit);
        if let Some(list) = answer.raw.get_mut("vms").and_then(Value::as_array_mut) {
            list.truncate(limit);
        }
    }
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let of_others = args.shared || args.owner.is_some();
    if answer.value.vms.is_empty() && !of_others {
        session.output.hint("rig workspace spawn my-first");
    }
    let none = if of_others { "no workspaces" } else { "no workspaces yet" };
    session.output.table(&workspace_table(&answer.value.vms, clock::now()), none)
}

/// The workspaces of others that are shared with the account.
pub(super) fn shared() -> Path {
    Path::api("/workspaces").query("shared", "true")
}

async fn all(session: &Session) -> CommandResult<Document<ListWorkspacesResponse>> {
    Ok(session.client.list(Path::api("/workspaces"), "vms").await?)
}

/// The workspace with this name or id.
pub(super) async fn find_workspace(session: &Session, typed: &str) -> CommandResult<Vm> {
    session.output.progress(format!("looking for {typed}"));
    if let Ok(id) = typed.parse::<WorkspaceId>() {
        // A name may look like an id: what is no id may still be a name.
        match details(session, &id).await {
            Ok(answer) => return Ok(answer.value.vm),
            Err(error) if error.is("not_found") => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut vms = all(session).await?.value.vms;
    if !vms.iter().any(|vm| vm.name.as_str() == typed) {
        // A server from before there was sharing does not know the parameter.
        let shared = session.client.list(shared(), "vms").await;
        vms.extend(
            shared.map_or_else(
                |_| Vec::new(),
                |list: Document<ListWorkspacesResponse>| list.value.vms,
            ),
        );
    }
    let mut found = vms.iter().filter(|vm| vm.name.as_str() == typed || vm.id.as_str() == typed);
    match (found.next(), found.next()) {
        (Some(vm), None) => Ok(vm.clone()),
        (Some(vm), Some(_)) => {
            let message = format!("several workspaces are named '{typed}': use an id");
            let hint = corrected(typed, vm.id.as_str());
            Err(CommandError::failed(message).hint(hint.unwrap_or_else(|| LIST.to_owned())))
        }
        (None, _) => {
            let names = vms.iter().map(|vm| vm.name.as_str());
            Err(unknown("workspace", typed, names, LIST))
        }
    }
}

/// The workspace with this name or id, or the only one there is.
pub(super) async fn workspace_of(session: &Session, typed: Option<&str>) -> CommandResult<Vm> {
    if let Some(typed) = typed {
        return find_workspace(session, typed).await;
    }
    session.output.progress("reading the workspaces");
    let mut vms = all(session).await?.value.vms;
    if vms.len() < 2 {
        return vms.pop().ok_or_else(|| {
            CommandError::failed("there is no workspace yet").hint("rig workspace spawn my-first")
        });
    }
    let names: Vec<&str> = vms.iter().map(|vm| vm.name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    let message = format!("which workspace? there are {}", some_of(&names));
    let hint = usage::extended(&["--workspace", first]);
    Err(CommandError::usage(message).hint(hint))
}

/// What people call a workspace; its id where that cannot be found out.
pub(super) async fn workspace_name(session: &Session, id: &WorkspaceId) -> String {
    let answer = details(session, id).await;
    answer.map_or_else(|_| id.to_string(), |answer| answer.value.vm.name.to_string())
}

const LIST: &str = "rig workspace ls";

/// One workspace with everything about it.
async fn details(
    session: &Session,
    id: &WorkspaceId,
) -> Result<Document<GetWorkspaceResponse>, ClientError> {
    session.client.get(workspace_path(id)).await
}

/// There is no such thing; the hint is the same command with what was probably meant, but never
/// one that deletes something. What several names begin with means none of them.
pub(super) fn unknown<'a>(
    what: &str,
    typed: &str,
    known: impl Iterator<Item = &'a str>,
    list: &str,
) -> CommandError {
    let known: Vec<&str> = known.collect();
    let begun: Vec<&str> = known.iter().copied().filter(|name| name.starts_with(typed)).collect();
    let (hint, several) = if begun.len() < 2 || typed.is_empty() {
        (suggest::near(typed, known).and_then(|near| corrected(typed, near)), String::new())
    } else {
        (None, format!("; several begin so: {}", some_of(&begun)))
    };
    CommandError::failed(format!("there is no {what} '{typed}'{several}"))
        .coded("not_found")
        .hint(hint.unwrap_or_else(|| list.to_owned()))
}

/// The first of several names.
fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = if names.len() > SHOWN_MAX { ", …" } else { "" };
    format!("{shown}{more}")
}

/// Most names that a sentence shows.
const SHOWN_MAX: usize = 3;

fn corrected(typed: &str, meant: &str) -> Option<String> {
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let deletes = words.iter().any(|word| matches!(word.as_str(), "rm" | "delete"));
    if deletes { None } else { usage::replaced(&words, typed, meant) }
}

async fn show(session: &Session, target: &Target) -> CommandResult {
    let vm = find_workspace(session, target.typed()).await?;
    let answer = details(session, &vm.id).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let vm = &answer.value.vm;
    let now = clock::now();
    let mut fields = Fields::default();
    fields
        .add("name", vm.name.as_str())
        .add("id", vm.id.as_str())
        .add("status", status_cell(vm.status))
        .add("template", vm.template_id.as_ref().map_or("", |template| template.as_str()))
        .add("image", vm.image.as_str())
        .add("memory", size::show(vm.ram_mb.into()))
        .add("vcpus", vm.vcpu_count.to_string())
        .add("disk", size::show(vm.disk_size_mb.into()))
        .add("region", vm.region.as_str())
        .add("egress", egress(vm));
    if let Some(ssh) = vm.ssh.as_ref().filter(|_| look::has_gateway(&answer)) {
        fields.add("ssh", look::ssh_command(ssh));
    }
    if let Some(env) = &vm.env_vars {
        fields.add("env", env.keys().map(String::as_str).collect::<Vec<_>>().join(" "));
    }
    for script in &vm.setup {
        fields.add("setup", setup_line(script, now));
    }
    fields.add("created", ago(now, vm.created_at)).add("updated", ago(now, vm.updated_at));
    if let Some(failure) = &answer.value.failure {
        fields
            .add("failure", Cell::toned(&failure.message, Tone::Bad))
            .add("attempts", failure.attempts.to_string())
            .add("failed", ago(now, failure.occurred_at));
    }
    session.output.fields(&fields)?;
    if answer.value.failure.as_ref().is_some_and(|failure| failure.retryable) {
        session.output.hint(&format!("rig workspace retry {}", vm.name));
    }
    Ok(())
}

fn egress(vm: &Vm) -> String {
    match vm.egress.mode {
        EgressMode::Open => "open".to_owned(),
        EgressMode::None => "none".to_owned(),
        EgressMode::Allow => {
            let allowed: Vec<&str> =
                vm.egress.hosts.iter().chain(&vm.egress.cidrs).map(String::as_str).collect();
            format!("allow {}", allowed.join(" "))
        }
    }
}
