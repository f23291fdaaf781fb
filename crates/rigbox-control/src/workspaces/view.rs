//! A workspace's row as the API shows it. Pure.

use rigbox_store::workspaces::WorkspaceRow;
use rigbox_types::{
    Failure, Status,
    api::workspaces::{GetWorkspaceResponse, SshInfo, Vm},
};

use crate::{config::SshGateway, ssh};

/// The address of every guest, in its own network namespace.
const GUEST_ADDRESS: &str = "172.16.0.2";

/// One workspace, and why it failed where it did.
pub(crate) fn answer(row: &WorkspaceRow, ssh: &SshGateway) -> GetWorkspaceResponse {
    GetWorkspaceResponse { vm: vm(row, ssh), failure: failure(row).cloned() }
}

/// Why it failed: only where it is failed now.
pub(crate) fn failure(row: &WorkspaceRow) -> Option<&Failure> {
    row.seen.failure.as_ref().filter(|_| row.status() == Status::Failed)
}

/// One workspace; its environment where the row has it.
pub(crate) fn vm(row: &WorkspaceRow, ssh: &SshGateway) -> Vm {
    let failure = failure(row);
    let code = failure
        .and_then(|failure| serde_json::to_value(failure.code).ok()?.as_str().map(str::to_owned));
    let wanted = &row.wanted;
    Vm {
        id: row.id.clone(),
        name: row.name.clone(),
        user_id: row.account,
        status: row.status(),
        image: row.image.clone(),
        template_id: row.template.clone(),
        ram_mb: wanted.resources.memory_mib,
        vcpu_count: wanted.resources.vcpus,
        disk_size_mb: wanted.resources.disk_mib,
        node_id: row.host.clone(),
        ip_address: Some(GUEST_ADDRESS.to_owned()),
        env_vars: wanted.env.clone().map(|env| env.0),
        failure_code: code,
        failure_reason: failure.map(|failure| failure.message.clone()),
        ai_mode: row.ai_mode.map(|mode| mode.as_str().to_owned()),
        creation_attempts: wanted.creation_attempts,
        creation_started_at: wanted.creation_started_at,
        setup_script_ids: Some(wanted.setup_scripts.clone()),
        service_spec_ids: Some(wanted.service_specs.clone()),
        created_at: row.created_at,
        updated_at: row.updated_at,
        region: row.region.clone(),
        idle: wanted.idle,
        egress: wanted.egress.clone(),
        ssh: Some(ssh_info(row, ssh)),
        generation: row.generation,
        setup: row.seen.setup.clone(),
    }
}

fn ssh_info(row: &WorkspaceRow, gateway: &SshGateway) -> SshInfo {
    SshInfo {
        user: ssh::user(row),
        host: gateway.host_of(&row.region),
        port: gateway.port,
        enabled: gateway.enabled,
    }
}
