//! `rig proxy` outside a workspace: switches its AI on and off for its owner.
//! What leads programs to AI is for the inside alone: no other machine reaches it.

use http::Method;
use rigbox_types::api::{
    ai::{AiDecider, UpdateWorkspaceAiConfigRequest, WorkspaceAiConfigResponse},
    change::Change,
    workspaces::Vm,
};

use super::workspace::workspace_of;
use crate::{
    cli::{AiTarget, ProxyCommand},
    client::{Call, Document},
    error::{CommandError, CommandResult},
    output::Fields,
    session::{Session, workspace_path},
};

/// Does what the command says.
pub(super) async fn run(session: &Session, command: &ProxyCommand) -> CommandResult {
    match command {
        ProxyCommand::On(target) => switch(session, target, true).await,
        ProxyCommand::Off(target) => switch(session, target, false).await,
        ProxyCommand::Status(target) => status(session, target).await,
        ProxyCommand::Env | ProxyCommand::Dotenv => {
            let message =
                "what leads to AI is reached from inside a workspace only: run this there";
            Err(CommandError::failed(message).hint("rig shell NAME"))
        }
    }
}

async fn switch(session: &Session, target: &AiTarget, enabled: bool) -> CommandResult {
    let vm = workspace_of(session, target.typed()).await?;
    let request = UpdateWorkspaceAiConfigRequest {
        enabled: Change::Set(enabled),
        ..UpdateWorkspaceAiConfigRequest::default()
    };
    let call = Call::new(Method::PUT, workspace_path(&vm.id).then("/ai-config")).json(&request)?;
    let answer: Document<WorkspaceAiConfigResponse> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let word = if enabled { "on" } else { "off" };
    session.output.line(format!("AI is {word} in {}, from its next call on", vm.name))
}

async fn status(session: &Session, target: &AiTarget) -> CommandResult {
    let vm = workspace_of(session, target.typed()).await?;
    let path = workspace_path(&vm.id).then("/ai-config");
    let answer: Document<WorkspaceAiConfigResponse> = session.client.get(path).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.fields(&fields(&vm, &answer.value))
}

/// What people read of the settings of a workspace.
pub(super) fn fields(vm: &Vm, config: &WorkspaceAiConfigResponse) -> Fields {
    let mut fields = Fields::default();
    fields
        .add("workspace", vm.name.as_str())
        .add("ai", enabled(config.enabled, config.enabled_by))
        .add("mode", config.mode.as_str())
        .add("provider", config.provider.as_str())
        .add("model", &config.model);
    fields
}

/// Whether AI is on, and who has decided that.
pub(crate) fn enabled(enabled: bool, by: Option<AiDecider>) -> String {
    let by = match by {
        None => return "off (nobody has decided)".to_owned(),
        Some(AiDecider::Workspace) => "by its owner",
        Some(AiDecider::UserDefault) => "by the account's default",
        Some(AiDecider::Guest) => "from inside the workspace",
    };
    format!("{} ({by})", if enabled { "on" } else { "off" })
}
