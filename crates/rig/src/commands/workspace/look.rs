//! `rig workspace metrics|ports|services|ssh-info`.

use rigbox_types::{
    api::{
        metrics::WorkspaceMetrics,
        services::{WorkspaceService, WorkspaceServicesResponse},
        workspaces::{GetWorkspaceResponse, SshInfo},
    },
    guest::ListListeningPortsResponse,
};
use serde_json::{Value, json};

use super::{details, find_workspace};
use crate::{
    cli::{ServicesArgs, Target},
    client::Document,
    clock,
    error::{CommandError, CommandResult},
    output::{Cell, Fields, Table, Tone, ago},
    session::{Session, Verb, explain, workspace_path},
    size, suggest,
};

/// What a workspace uses right now.
pub(super) async fn metrics(session: &Session, target: &Target) -> CommandResult {
    let vm = find_workspace(session, target.typed()).await?;
    let answer: Result<Document<WorkspaceMetrics>, _> =
        session.client.get(workspace_path(&vm.id).then("/metrics")).await;
    let answer = answer.map_err(|error| explain(error, Verb::Enter, vm.name.as_str()))?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let metrics = &answer.value;
    let of = |used, total| format!("{} of {}", size::show(used), size::show(total));
    let mut fields = Fields::default();
    fields
        .add("cpu", format!("{:.1} %", metrics.cpu_percent))
        .add("memory", of(metrics.ram_used_mb, metrics.ram_total_mb))
        .add("disk", of(metrics.disk_used_mb, metrics.disk_total_mb))
        .add("received", size::show_bytes(metrics.network_rx_bytes))
        .add("sent", size::show_bytes(metrics.network_tx_bytes))
        .add("measured", ago(clock::now(), metrics.updated_at));
    session.output.fields(&fields)
}

/// What listens in a workspace.
pub(super) async fn ports(session: &Session, target: &Target) -> CommandResult {
    let vm = find_workspace(session, target.typed()).await?;
    let answer: Result<Document<ListListeningPortsResponse>, _> =
        session.client.get(workspace_path(&vm.id).then("/listening-ports")).await;
    let answer = answer.map_err(|error| explain(error, Verb::Enter, vm.name.as_str()))?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let mut table = Table::new(["PORT", "ADDRESS", "PROCESS", "PUBLISHED"]);
    for port in &answer.value.ports {
        table.row([
            port.port.to_string().into(),
            (&port.address).into(),
            port.process.as_deref().unwrap_or_default().into(),
            if port.already_exposed { "yes" } else { "no" }.into(),
        ]);
    }
    session.output.table(&table, &format!("nothing listens in {}", vm.name))
}

/// The services of a workspace, or one of them.
pub(super) async fn services(session: &Session, args: &ServicesArgs) -> CommandResult {
    let vm = find_workspace(session, args.target.typed()).await?;
    let path = workspace_path(&vm.id).then("/services");
    let enter = |error| explain(error, Verb::Enter, vm.name.as_str());
    let (raw, services) = match &args.name {
        Some(name) => {
            let answer: Result<Document<WorkspaceService>, _> =
                session.client.get(path.segment(name)).await;
            let answer = answer.map_err(|error| {
                let missing = error.is("not_found");
                let told = enter(error);
                let list = format!("rig workspace services {}", vm.name);
                if missing { told.hint(list) } else { told }
            })?;
            (answer.raw, vec![answer.value])
        }
        None => {
            let answer: Result<Document<WorkspaceServicesResponse>, _> =
                session.client.get(path).await;
            let answer = answer.map_err(enter)?;
            (answer.raw, answer.value.services)
        }
    };
    if !session.output.is_human() {
        return session.output.document(&raw);
    }
    let mut table = Table::new(["NAME", "STATUS", "PORT", "UNIT"]);
    for service in &services {
        let tone = match service.status.as_str() {
            "active" | "healthy" => Tone::Good,
            "failed" | "unhealthy" => Tone::Bad,
            _ => Tone::Plain,
        };
        table.row([
            (&service.name).into(),
            Cell::toned(&service.status, tone),
            service.port.map(|port| port.to_string()).unwrap_or_default().into(),
            service.unit_name.as_deref().unwrap_or_default().into(),
        ]);
    }
    session.output.table(&table, &format!("{} has no services", vm.name))
}

/// How to reach a workspace by SSH.
pub(super) async fn ssh_info(session: &Session, target: &Target) -> CommandResult {
    let vm = find_workspace(session, target.typed()).await?;
    let answer = details(session, &vm.id).await?;
    let shell = format!("rig shell {}", vm.name);
    let Some(ssh) = &answer.value.vm.ssh else {
        return Err(CommandError::failed(format!("no SSH gateway serves {} yet", vm.name))
            .coded("unavailable")
            .hint(shell));
    };
    if session.output.is_human() {
        session.output.line(ssh_command(ssh))?;
    } else {
        let mut document = answer.raw.pointer(SSH).cloned().unwrap_or_default();
        if let Some(fields) = document.as_object_mut() {
            fields.entry("enabled").or_insert_with(|| json!(true));
        }
        session.output.document(&document)?;
    }
    if !has_gateway(&answer) {
        session.output.notice("note: this installation has no SSH gateway yet");
        session.output.hint(&shell);
    }
    Ok(())
}

/// Whether the SSH gateway that a workspace names is there. One that says nothing of it is.
pub(super) fn has_gateway(answer: &Document<GetWorkspaceResponse>) -> bool {
    let ssh = answer.raw.pointer(SSH);
    let enabled = ssh.and_then(|ssh| ssh.get("enabled")).and_then(Value::as_bool);
    ssh.is_some_and(|ssh| !ssh.is_null()) && enabled.unwrap_or(true)
}

/// Where an answer about one workspace has its SSH address.
const SSH: &str = "/vm/ssh";

/// The command that opens an SSH session.
pub(super) fn ssh_command(ssh: &SshInfo) -> String {
    let place = format!("{}@{}", ssh.user, ssh.host);
    suggest::command(["ssh", "-p", &ssh.port.to_string(), &place])
}
