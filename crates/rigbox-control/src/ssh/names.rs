//! Which workspace a user name of SSH leads to, for the holder of a key.
//!
//! ```text
//! shop-ctbxi8lb   the workspace with that id, where it has that name
//! ctbxi8lb        the workspace with that id
//! shop            the account's own workspace of that name, else the only one of that name that it was given
//! ```
//!
//! Invariant: an id comes before a name, so that nobody's choice of a name takes the place of an id.

use rigbox_store::{PageRequest, StoreError, workspaces::WorkspaceRow};
use rigbox_types::{AccountId, WorkspaceId, WorkspaceName};

use crate::{control::Control, error::ApiResult};

/// Most workspaces of others that are looked through for a name.
const SHARED_MAX: u32 = 200;

/// The workspace that a user name names by its id, whoever asks.
pub(super) async fn find_by_id(control: &Control, user: &str) -> ApiResult<Option<WorkspaceRow>> {
    let (name, suffix) = match user.rsplit_once('-') {
        Some((name, suffix)) => (Some(name), suffix),
        None => (None, user),
    };
    let id = format!("{}{suffix}", WorkspaceId::PREFIX).parse::<WorkspaceId>();
    let Ok(id) = id else { return Ok(None) };
    let row = found(control.store.workspaces().get(&id).await)?;
    Ok(row.filter(|row| name.is_none_or(|name| row.name.as_str() == name)))
}

/// The workspace that a user name leads to by its name alone, for one account.
pub(super) async fn find_by_name(
    control: &Control,
    account: AccountId,
    user: &str,
) -> ApiResult<Option<WorkspaceRow>> {
    let Ok(name) = user.parse::<WorkspaceName>() else { return Ok(None) };
    if let Some(row) = found(control.store.workspaces().get_by_name(account, &name).await)? {
        return Ok(Some(row));
    }
    let page = PageRequest { limit: SHARED_MAX, cursor: None };
    let shared = control.store.workspaces().list_shared(account, &page).await?;
    let mut of_name = shared.items.into_iter().filter(|row| row.name == name);
    Ok(match (of_name.next(), of_name.next()) {
        (Some(row), None) => Some(row),
        (None | Some(_), _) => None,
    })
}

fn found(row: Result<WorkspaceRow, StoreError>) -> ApiResult<Option<WorkspaceRow>> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The user name that leads to a workspace wherever it is named.
pub(crate) fn user(row: &WorkspaceRow) -> String {
    format!("{}-{}", row.name, row.id.suffix())
}
