//! Parts of answers as people read them, shared by several commands. Pure.

use rigbox_types::{Status, Timestamp, api::workspaces::Vm, host::SetupResult};

use crate::output::{Cell, Table, Tone, ago};

/// A status with its colour.
pub(crate) fn status_cell(status: Status) -> Cell {
    let tone = match status {
        Status::Running => Tone::Good,
        Status::Provisioning | Status::Starting | Status::Stopping | Status::Deleting => Tone::Busy,
        Status::Failed => Tone::Bad,
        Status::Provisioned | Status::Stopped | Status::Suspended => Tone::Plain,
    };
    Cell::toned(status.as_str(), tone)
}

/// Workspaces as a table.
pub(crate) fn workspace_table(vms: &[Vm], now: Timestamp) -> Table {
    let mut table = Table::new(["NAME", "STATUS", "TEMPLATE", "REGION", "CREATED"]);
    for vm in vms {
        let template = vm.template_id.as_ref().map_or("-", |template| template.as_str());
        table.row([
            vm.name.as_str().into(),
            status_cell(vm.status),
            template.into(),
            vm.region.as_str().into(),
            ago(now, vm.created_at).into(),
        ]);
    }
    table
}

/// How a setup script went.
pub(crate) fn setup_line(script: &SetupResult, now: Timestamp) -> Cell {
    let (text, tone) = match (script.exit_code, script.finished_at) {
        (Some(0), _) => (format!("{}: done", script.name), Tone::Good),
        (Some(code), _) => {
            let tail = script.output_tail.lines().last().unwrap_or_default();
            (format!("{}: failed with exit code {code}: {tail}", script.name), Tone::Bad)
        }
        (None, Some(at)) => {
            (format!("{}: ended by a signal {}", script.name, ago(now, at)), Tone::Bad)
        }
        (None, None) => (format!("{}: running", script.name), Tone::Busy),
    };
    Cell::toned(text, tone)
}

/// `3 workspaces`, `1 workspace`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}
