//! The desired side of a workspace as its host must know it: the row, with what is attached to it.

use rigbox_store::{StoreError, workspaces::WorkspaceRow};
use rigbox_types::{
    AccountId, SetupScriptId,
    host::{AssignedScript, AssignedService, Assignment, GuestSetup, SshTrust},
};

use crate::{ai::environment, control::Control, service_specs, ssh_keys};

/// The assignment of a row.
pub(super) async fn assignment(
    control: &Control,
    row: WorkspaceRow,
) -> Result<Assignment, StoreError> {
    let proxy_env = environment::written(control, &row).await?;
    let WorkspaceRow { id, account, name, region, image, created_at, generation, wanted, .. } = row;
    let specs = if wanted.service_specs.is_empty() {
        Vec::new()
    } else {
        control.store.service_specs().of_ids(account, &wanted.service_specs).await?
    };
    let mut setup_scripts = scripts(control, account, &wanted.setup_scripts).await?;
    // After the account's own: a service may need what they install.
    setup_scripts.extend(specs.iter().filter_map(service_specs::setup_script));
    let services = specs
        .iter()
        .map(|row| AssignedService {
            name: row.spec.name.clone(),
            unit: service_specs::unit_of(&row.spec),
            restart_policy: row.spec.restart_policy,
            auto_enable: row.spec.auto_enable,
        })
        .collect();
    let ssh = SshTrust { authority: control.ssh.public(), principal: id.to_string() };
    Ok(Assignment {
        workspace: id,
        generation,
        desired: wanted.desired,
        restart_generation: wanted.restart_generation,
        retry_generation: wanted.retry_generation,
        force: wanted.force,
        image,
        resources: wanted.resources,
        speed: control.store.accounts().get(account).await?.quotas.speed(),
        egress: wanted.egress,
        guest: GuestSetup {
            name,
            region,
            api_url: control.config.api_url.clone(),
            account,
            created_at,
            env: wanted.env.unwrap_or_default().0,
            proxy_env,
            authorized_keys: ssh_keys::authorized_keys(control, account).await?,
            setup_scripts,
            services,
            ssh: Some(ssh),
        },
    })
}

/// The scripts of an account in the order in which they run: by their order, then by age. The order
/// in which they were attached decides nothing.
async fn scripts(
    control: &Control,
    account: AccountId,
    ids: &[SetupScriptId],
) -> Result<Vec<AssignedScript>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = control.store.setup_scripts().of_ids(account, ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| AssignedScript {
            id: row.id,
            name: row.script.name,
            run_on: row.script.run_on,
            content: row.script.content,
        })
        .collect())
}
