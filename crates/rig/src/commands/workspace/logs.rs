//! `rig workspace logs`: the journal of a workspace.

use rigbox_types::{
    api::workspaces::Vm,
    guest::{GetWorkspaceLogsResponse, services::UNIT_PREFIX},
};

use super::find_workspace;
use crate::{
    cli::LogsArgs,
    client::{ClientError, Document},
    commands::log_lines,
    error::{CommandError, CommandResult},
    session::{Session, Verb, explain, workspace_path},
};

/// Reads the newest lines, and goes on where asked to.
pub(super) async fn run(session: &Session, args: &LogsArgs) -> CommandResult {
    let vm = find_workspace(session, args.target.typed()).await?;
    let why = |error| told(error, &vm);
    let mut cursor = None;
    if args.lines > 0 || !args.follow {
        let page = page(session, args, &vm).await.map_err(why)?;
        if !args.follow && !session.output.is_human() {
            return session.output.document(&page.raw);
        }
        cursor = log_lines::page(session, &page.value.lines)?;
        if page.value.lines.is_empty() && !args.follow {
            session.output.notice("no lines");
        }
    }
    if !args.follow {
        return Ok(());
    }
    let unit = match &args.service {
        Some(service) => Some(format!("{UNIT_PREFIX}{service}.service")),
        None => args.unit.clone(),
    };
    let path = workspace_path(&vm.id).then("/logs/stream").query_some("unit", unit);
    log_lines::follow(session, &path, cursor, why).await
}

async fn page(
    session: &Session,
    args: &LogsArgs,
    vm: &Vm,
) -> Result<Document<GetWorkspaceLogsResponse>, ClientError> {
    let path = match &args.service {
        Some(service) => workspace_path(&vm.id).then("/services").segment(service).then("/logs"),
        None => workspace_path(&vm.id).then("/logs"),
    };
    let path = path.query("lines", args.lines.max(1).to_string());
    let path = path.query_some("unit", args.unit.as_deref());
    session.output.progress(format!("reading the logs of {}", vm.name));
    session.client.get(path).await
}

fn told(error: ClientError, vm: &Vm) -> CommandError {
    explain(error, Verb::Enter, vm.name.as_str())
}
