//! What the host counts, as text for Prometheus.
//! Invariant: labels come from closed sets. Does not keep history.

use std::sync::atomic::{AtomicU64, Ordering};

use rigbox_types::Observed;

use crate::host::Host;

macro_rules! counters {
    ($($(#[doc = $help:literal])* $name:ident,)*) => {
        /// Counters of one agent, from its start.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $help])* pub(crate) $name: AtomicU64,)*
        }

        impl Metrics {
            fn text(&self, to: &mut String) {
                $(line(to, concat!("rigbox_host_", stringify!($name)), &self.$name);)*
            }
        }
    };
}

counters! {
    /// VMs that were started.
    boots_total,
    /// VMs of a former agent that were taken over.
    adoptions_total,
    /// VMs that ended although they should run.
    exits_total,
    /// Steps that did not succeed.
    step_failures_total,
    /// Assignments older than what was known.
    stale_assignments_total,
    /// Sweeps.
    sweeps_total,
    /// Differences between records and reality that the last sweep found. Should read zero.
    drift,
    /// Differences that sweeps repaired.
    repairs_total,
    /// Tasks of workspaces that ended by a bug and were started again.
    revivals_total,
    /// Disks and records that belong to no workspace of control.
    orphans,
    /// Connections that were opened into workspaces.
    dials_total,
    /// Requests that were forwarded to guests.
    guest_requests_total,
    /// Jumps of the machine's clock.
    clock_jumps_total,
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The whole text.
pub(crate) fn text(host: &Host) -> String {
    let mut text = String::new();
    host.metrics.text(&mut text);
    for observed in ALL {
        let number = host.table.count(observed);
        let label = format!("{observed:?}").to_lowercase();
        write_line(&mut text, &format!("rigbox_host_workspaces{{observed=\"{label}\"}} {number}"));
    }
    for (kind, amount) in
        [("promised", host.ledger.promised()), ("capacity", host.ledger.capacity())]
    {
        write_line(&mut text, &format!("rigbox_host_{kind}_vcpus {}", amount.vcpus));
        write_line(&mut text, &format!("rigbox_host_{kind}_memory_mib {}", amount.memory_mib));
        write_line(&mut text, &format!("rigbox_host_{kind}_disk_mib {}", amount.disk_mib));
    }
    write_line(&mut text, &format!("rigbox_host_namespaces_ready {}", host.pool.ready()));
    text
}

const ALL: [Observed; 9] = [
    Observed::Absent,
    Observed::Preparing,
    Observed::Booting,
    Observed::Running,
    Observed::Stopping,
    Observed::Stopped,
    Observed::Suspended,
    Observed::Deleting,
    Observed::Failed,
];

fn line(to: &mut String, name: &str, value: &AtomicU64) {
    write_line(to, &format!("{name} {}", value.load(Ordering::Relaxed)));
}

fn write_line(to: &mut String, line: &str) {
    to.push_str(line);
    to.push('\n');
}
