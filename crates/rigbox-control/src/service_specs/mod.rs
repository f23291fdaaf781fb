//! Service specs of an account: daemons that its workspaces run as systemd units.

pub(crate) mod http;
mod unit;

use rigbox_store::service_specs::{ServiceSpec, ServiceSpecRow};
use rigbox_types::{SetupScriptId, api::setup_scripts::RunOn, host::AssignedScript};

/// The unit file of a spec.
pub(crate) fn unit_of(spec: &ServiceSpec) -> String {
    unit::render(&unit::UnitParts {
        name: &spec.name,
        exec_start: &spec.exec_start,
        env_vars: &spec.env.0,
        environment_file: spec.environment_file.as_deref(),
        restart_policy: spec.restart_policy,
    })
}

/// The script that runs once before the service first starts, where the spec has one. It has the
/// spec's own id, which no script of the account has.
pub(crate) fn setup_script(row: &ServiceSpecRow) -> Option<AssignedScript> {
    if row.spec.setup_script.is_empty() {
        return None;
    }
    let id: SetupScriptId = row.id.to_string().parse().ok()?;
    Some(AssignedScript {
        id,
        name: format!("setup of service {}", row.spec.name),
        run_on: RunOn::FirstBoot,
        content: row.spec.setup_script.clone(),
    })
}
