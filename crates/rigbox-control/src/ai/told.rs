//! Waits for guests to know what was decided, so that the next command in a workspace finds it.
//! Invariant: a guest or a host that does not answer delays an answer for a bounded time and changes nothing
//! of it: what was decided is kept, and is told later.

use rigbox_store::{
    PageRequest, StoreError,
    workspaces::{Owner, WorkspaceRow},
};
use rigbox_types::{AccountId, WorkspaceId, limits::PAGE_MAX};

use crate::{control::Control, hosts::until_told};

/// Waits for the guest of a workspace, if it runs.
pub(super) async fn of_workspace(control: &Control, id: &WorkspaceId) {
    match control.store.workspaces().get(id).await {
        // Gone since: nobody is to be told.
        Err(StoreError::NotFound { .. }) => {}
        Ok(row) => wait(control, &[row]).await,
        Err(error) => unseen(&error),
    }
}

/// Waits for the guests of an account that run: of its newest workspaces, where it has very many.
pub(super) async fn of_account(control: &Control, account: AccountId) {
    let page = PageRequest { limit: PAGE_MAX, cursor: None };
    match control.store.workspaces().list(Owner::Account(account), &page).await {
        Ok(page) => wait(control, &page.items).await,
        Err(error) => unseen(&error),
    }
}

async fn wait(control: &Control, rows: &[WorkspaceRow]) {
    match until_told(control, rows, control.config.patience.guests).await {
        Ok(late) if late.is_empty() => {}
        Ok(late) => {
            let workspaces = late.iter().map(WorkspaceId::as_str).collect::<Vec<_>>().join(" ");
            tracing::info!(workspaces, "guests do not know yet what was decided about AI");
        }
        Err(error) => unseen(&error),
    }
}

/// What was decided is kept all the same: it is no failure of who decided it.
fn unseen(error: &StoreError) {
    tracing::warn!(%error, "whether guests know what was decided about AI cannot be seen");
}
