//! Which request is legal in which status, and what it changes. Pure.
//!
//! | request | legal in | becomes |
//! |---|---|---|
//! | start | provisioned, stopped, suspended, failed | running |
//! | stop | provisioning, starting, running, failed | stopped |
//! | restart | running | running, booted anew |
//! | cancel | provisioning, starting | stopped |
//! | retry | failed, if retryable | the same, tried again |
//! | delete | every settled one; with force, and again: any | deleted |
//! | resources | provisioned, stopped | |
//! | env | all but deleting | |
//!
//! Invariant: every request that asks for another life of the workspace raises `retry_generation`,
//! so that an older failure is never taken for its answer; nothing brings a workspace back that is
//! to be deleted.

use http::StatusCode;
use rigbox_store::workspaces::{Wanted, WorkspaceRow};
use rigbox_types::{Desired, Status, Timestamp, api::workspaces::ResizeWorkspaceRequest};

use crate::error::{ApiError, ApiResult};

/// A request about the life of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Start { now: Timestamp },
    Stop,
    Restart,
    Cancel,
    Retry,
    Delete { force: bool },
}

impl Request {
    fn verb(self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Cancel => "be cancelled",
            Self::Retry => "retry",
            Self::Delete { .. } => "be deleted",
        }
    }

    fn allowed(self) -> &'static [Status] {
        use Status::{Failed, Provisioned, Provisioning, Running, Starting, Stopped, Suspended};
        match self {
            Self::Start { .. } => &[Provisioned, Stopped, Suspended, Failed],
            Self::Stop => &[Provisioning, Starting, Running, Failed],
            Self::Restart => &[Running],
            Self::Cancel => &[Provisioning, Starting],
            Self::Retry => &[Failed],
            Self::Delete { .. } => &[Provisioned, Running, Stopped, Suspended, Failed],
        }
    }

    /// Changes the desired side, or says why not.
    pub(crate) fn apply(self, row: &WorkspaceRow, wanted: &mut Wanted) -> ApiResult<()> {
        self.check(row)?;
        if let Self::Delete { force } = self {
            let asked = row.wanted.desired == Desired::Deleted && wanted.force >= force;
            if asked && row.status() != Status::Failed {
                // A repeat of what is under way changes nothing.
                return Ok(());
            }
            wanted.force = wanted.force || force;
        }
        wanted.retry_generation = row.generation.next();
        match self {
            Self::Start { now } => {
                wanted.desired = Desired::Running;
                if row.status() == Status::Provisioned {
                    wanted.creation_attempts = wanted.creation_attempts.saturating_add(1);
                    wanted.creation_started_at = Some(now);
                }
            }
            Self::Stop | Self::Cancel => wanted.desired = Desired::Stopped,
            Self::Restart => wanted.restart_generation = row.generation.next(),
            Self::Retry => {
                if row.wanted.creation_started_at.is_some() && row.seen.ready_at.is_none() {
                    wanted.creation_attempts = wanted.creation_attempts.saturating_add(1);
                }
            }
            Self::Delete { .. } => wanted.desired = Desired::Deleted,
        }
        Ok(())
    }

    fn check(self, row: &WorkspaceRow) -> ApiResult<()> {
        let status = row.status();
        let refusal = || {
            let error = ApiError::state(status, self.verb(), self.allowed());
            match self {
                Self::Cancel | Self::Retry => error.status(StatusCode::CONFLICT),
                Self::Start { .. } | Self::Stop | Self::Restart | Self::Delete { .. } => error,
            }
        };
        if row.wanted.desired == Desired::Deleted {
            // Also when a step of the removal has failed: there is no way back, only on.
            return match self {
                Self::Delete { .. } => Ok(()),
                Self::Retry if status == Status::Failed => check_retryable(row),
                _ => Err(refusal()),
            };
        }
        match self {
            Self::Delete { force: true } => Ok(()),
            Self::Retry if status == Status::Failed => check_retryable(row),
            _ if self.allowed().contains(&status) => Ok(()),
            _ => Err(refusal()),
        }
    }
}

fn check_retryable(row: &WorkspaceRow) -> ApiResult<()> {
    match &row.seen.failure {
        Some(failure) if !failure.retryable => Err(ApiError::state(Status::Failed, "retry", &[])
            .with(serde_json::json!({
                "status": Status::Failed,
                "allowed": [],
                "failure": failure.code,
                "retryable": false,
            }))
            .status(StatusCode::CONFLICT)),
        Some(_) | None => Ok(()),
    }
}

/// Refuses unless the size of a workspace can be changed now.
pub(crate) fn check_resize(row: &WorkspaceRow) -> ApiResult<()> {
    let allowed = [Status::Provisioned, Status::Stopped];
    let status = row.status();
    if allowed.contains(&status) {
        return Ok(());
    }
    Err(ApiError::state(status, "be resized", &allowed))
}

/// Changes the size; a missing field keeps its value and a disk only grows.
pub(crate) fn resize(
    row: &WorkspaceRow,
    request: &ResizeWorkspaceRequest,
    wanted: &mut Wanted,
) -> ApiResult<()> {
    check_resize(row)?;
    let old = row.wanted.resources;
    let new = &mut wanted.resources;
    new.memory_mib = request.ram_mb.unwrap_or(old.memory_mib);
    new.vcpus = request.vcpu_count.unwrap_or(old.vcpus);
    new.disk_mib = request.disk_size_mb.unwrap_or(old.disk_mib);
    if new.disk_mib < old.disk_mib {
        return Err(ApiError::field(
            "disk_size_mb",
            format!("a disk only grows, and it has {} MB", old.disk_mib),
        ));
    }
    Ok(())
}

/// Refuses once the workspace is to be deleted.
pub(crate) fn check_kept(row: &WorkspaceRow, verb: &str) -> ApiResult<()> {
    if row.wanted.desired == Desired::Deleted {
        return Err(ApiError::state(row.status(), verb, &[]));
    }
    Ok(())
}
