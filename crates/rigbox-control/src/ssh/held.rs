//! Which of the sessions of a gateway are to end.
//! Invariant: a session ends where its key, its account or its workspace is gone, the workspace does not
//! run, or the account may not enter it any more; where that cannot be said, nothing ends.

use rigbox_store::{StoreError, ssh_keys::SshKeyHolder};
use rigbox_types::{
    Right, Status,
    authz::authorise,
    ssh::{Ends, HELD_MAX, Held},
};

use super::login::principal;
use crate::{
    access_control::of_workspace,
    control::Control,
    error::{ApiError, ApiResult},
};

/// Answers for each.
pub(super) async fn ends(control: &Control, sessions: &[Held]) -> ApiResult<Ends> {
    if sessions.len() > HELD_MAX {
        return Err(ApiError::request(format!("at most {HELD_MAX} sessions may be asked about")));
    }
    let mut ends = Vec::with_capacity(sessions.len());
    for session in sessions {
        let end = end(control, session).await.unwrap_or_else(|error| {
            // One that cannot be looked at keeps no other from its end.
            tracing::warn!(why = error.message(), "whether an SSH session is to end is not known");
            None
        });
        ends.push(end.map(str::to_owned));
    }
    Ok(Ends { ends })
}

/// Why a session is to end; none where it goes on.
async fn end(control: &Control, session: &Held) -> ApiResult<Option<&'static str>> {
    let store = &control.store;
    let Held { holder, workspace } = session;
    match store.ssh_keys().get(holder.account, holder.key).await {
        Err(StoreError::NotFound { .. }) => return Ok(Some("its SSH key was removed")),
        other => drop(other?),
    }
    let account = store.accounts().get(holder.account).await?;
    if account.profile.disabled_at.is_some() {
        return Ok(Some("the account is disabled"));
    }
    let Some(workspace) = workspace else { return Ok(None) };
    let row = match store.workspaces().get(workspace).await {
        Err(StoreError::NotFound { .. }) => return Ok(Some("the workspace was deleted")),
        other => other?,
    };
    let who = principal(&SshKeyHolder {
        id: holder.key,
        account: holder.account,
        standing: account.standing,
    });
    let facts = of_workspace(store, &who, &row).await?;
    if authorise(&who, Right::WorkspaceEnter, &facts, ()).is_err() {
        return Ok(Some("the right to enter the workspace was taken back"));
    }
    Ok(match row.status() {
        Status::Running => None,
        Status::Deleting => Some("the workspace was deleted"),
        Status::Starting | Status::Provisioning => Some("the workspace was started again"),
        Status::Failed => Some("the workspace has failed"),
        Status::Provisioned | Status::Stopping | Status::Stopped | Status::Suspended => {
            Some("the workspace was stopped")
        }
    })
}
