//! The life of a workspace: what should be, what the host last saw, and what users read.
//!
//! ```text
//!            start            (disk made)         (guest ready)
//! provisioned ──> provisioning ──> starting ──> running
//!      ^              │ cancel        │ cancel     │ stop
//!      └──────────────┴───────────────┴─> stopping ┴─> stopped ── start ──> starting
//! any settled state ── delete ──> deleting ──> (gone);  any step ── fails ──> failed
//! ```
//!
//! Invariant: the public status is derived here and nowhere else.
//! Does not decide which request is legal (see the control plane).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize,
            Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one that follows.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Counts the changes of the desired side of one object; a receiver refuses an older one.
    Generation
}
counter! {
    /// A position in the change stream.
    Revision
}

/// What should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Booted and ready.
    Running,
    /// Not booted; its disk, if it ever had one, is kept.
    Stopped,
    /// Not booted; its memory is kept beside its disk.
    Suspended,
    /// Gone, with everything that belongs to it.
    Deleted,
}

/// What the host last saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// The host has nothing of it: it was never started, or was deleted.
    Absent,
    /// Its disk and network are being made.
    Preparing,
    /// The VMM runs, the guest is not ready yet.
    Booting,
    /// The guest said that it is ready.
    Running,
    /// The guest is being shut down.
    Stopping,
    /// No VMM; the disk is there.
    Stopped,
    /// No VMM; disk and memory are there.
    Suspended,
    /// Its parts are being removed.
    Deleting,
    /// A step failed and is not tried again by itself.
    Failed,
}

/// What users read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Created, never started.
    Provisioned,
    /// Started for the first time; its disk is being made.
    Provisioning,
    /// Booting.
    Starting,
    /// Ready.
    Running,
    /// Shutting down.
    Stopping,
    /// Shut down.
    Stopped,
    /// Shut down with its memory kept.
    Suspended,
    /// Being removed.
    Deleting,
    /// A step failed; `failure` says which.
    Failed,
}

impl Status {
    /// The word that the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Provisioning => "provisioning",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing is under way, so that waiting longer would change nothing.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Provisioned | Self::Running | Self::Stopped | Self::Suspended | Self::Failed => {
                true
            }
            Self::Provisioning | Self::Starting | Self::Stopping | Self::Deleting => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the host has acted on the newest generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// The observation answers the newest generation.
    Current,
    /// The host has not reported since the newest change.
    Behind,
}

/// The public status of a workspace.
///
/// `fresh` tells whether `observed` already answers the newest generation: a failure or a running
/// VM seen before the last request says nothing about what that request will bring.
#[must_use]
pub fn status(desired: Desired, observed: Observed, fresh: Freshness) -> Status {
    match (desired, observed, fresh) {
        // Whatever the host still has, the user has asked for it to go.
        (Desired::Deleted, Observed::Failed, Freshness::Current) => Status::Failed,
        (
            Desired::Deleted,
            Observed::Absent
            | Observed::Preparing
            | Observed::Booting
            | Observed::Running
            | Observed::Stopping
            | Observed::Stopped
            | Observed::Suspended
            | Observed::Deleting
            | Observed::Failed,
            Freshness::Current | Freshness::Behind,
        ) => Status::Deleting,

        // The failed step is the answer to what is wanted now.
        (
            Desired::Running | Desired::Stopped | Desired::Suspended,
            Observed::Failed,
            Freshness::Current,
        ) => Status::Failed,

        // No disk yet: the first start makes it.
        (Desired::Running, Observed::Absent | Observed::Preparing, _) => Status::Provisioning,
        (Desired::Running, Observed::Booting | Observed::Stopped | Observed::Suspended, _) => {
            Status::Starting
        }
        // Running since before the last change: a restart is on its way.
        (Desired::Running, Observed::Running, Freshness::Behind) => Status::Starting,
        (Desired::Running, Observed::Running, Freshness::Current) => Status::Running,
        // The host still ends the old VM of a restart, or tries again after a failure.
        (Desired::Running, Observed::Stopping | Observed::Deleting | Observed::Failed, _) => {
            Status::Starting
        }

        // Never started.
        (Desired::Stopped, Observed::Absent, Freshness::Current) => Status::Provisioned,
        // Asked to stop before the host has said anything of the start: it may boot right now.
        (
            Desired::Stopped | Desired::Suspended,
            Observed::Absent | Observed::Stopped | Observed::Suspended,
            Freshness::Behind,
        ) => Status::Stopping,
        (
            Desired::Stopped,
            Observed::Preparing | Observed::Booting | Observed::Running | Observed::Stopping,
            _,
        ) => Status::Stopping,
        // A stop after a failure has nothing to shut down but leftovers.
        (Desired::Stopped, Observed::Failed | Observed::Deleting, _) => Status::Stopping,
        // Disk is kept: a stopped workspace is still the user's. Memory is not.
        (Desired::Stopped, Observed::Stopped | Observed::Suspended, Freshness::Current) => {
            Status::Stopped
        }

        (Desired::Suspended, Observed::Suspended, Freshness::Current) => Status::Suspended,
        (Desired::Suspended, Observed::Absent, Freshness::Current) => Status::Provisioned,
        // Ended before its memory was kept.
        (Desired::Suspended, Observed::Stopped, Freshness::Current) => Status::Stopped,
        (
            Desired::Suspended,
            Observed::Preparing
            | Observed::Booting
            | Observed::Running
            | Observed::Stopping
            | Observed::Deleting
            | Observed::Failed,
            _,
        ) => Status::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(desired: Desired, observed: Observed, fresh: Freshness, expected: Status) {
        assert_eq!(status(desired, observed, fresh), expected);
    }

    #[test]
    fn a_first_start_goes_from_provisioned_to_running() {
        use Freshness::{Behind, Current};
        check(Desired::Stopped, Observed::Absent, Current, Status::Provisioned);
        check(Desired::Running, Observed::Absent, Behind, Status::Provisioning);
        check(Desired::Running, Observed::Preparing, Current, Status::Provisioning);
        check(Desired::Running, Observed::Booting, Current, Status::Starting);
        check(Desired::Running, Observed::Running, Current, Status::Running);
    }

    #[test]
    fn a_stop_is_not_done_before_the_host_has_said_so() {
        use Freshness::{Behind, Current};
        for observed in [Observed::Absent, Observed::Stopped, Observed::Suspended] {
            check(Desired::Stopped, observed, Behind, Status::Stopping);
            check(Desired::Suspended, observed, Behind, Status::Stopping);
        }
        check(Desired::Stopped, Observed::Stopped, Current, Status::Stopped);
        check(Desired::Stopped, Observed::Suspended, Current, Status::Stopped);
        check(Desired::Suspended, Observed::Suspended, Current, Status::Suspended);
    }

    #[test]
    fn a_failure_is_shown_until_the_next_request() {
        check(Desired::Running, Observed::Failed, Freshness::Current, Status::Failed);
        check(Desired::Running, Observed::Failed, Freshness::Behind, Status::Starting);
    }

    #[test]
    fn a_restart_is_not_shown_as_running_before_it_has_happened() {
        check(Desired::Running, Observed::Running, Freshness::Behind, Status::Starting);
    }
}
