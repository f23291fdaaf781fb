//! Which workspace a user name of SSH leads to, for the holder of a key.
//!
//! ```text
//! shop            the account's own workspace of that name, else the only one of that name that it was given
//! shop-ctbxi8lb   the workspace with that id, where it has that name
//! ctbxi8lb        the workspace with that id
//! ```

use rigbox_store::{PageRequest, StoreError, workspaces::WorkspaceRow};
use rigbox_types::{AccountId, WorkspaceId, WorkspaceName};

use crate::{control::Control, error::ApiResult};

/// Most workspaces of others that are looked through for a name.
const SHARED_MAX: u32 = 200;

/// The workspace of a name, whether the account has a right to it or not.
pub(super) async fn find(
    control: &Control,
    account: AccountId,
    user: &str,
) -> ApiResult<Option<WorkspaceRow>> {
    let name = user.parse::<WorkspaceName>().ok();
    if let Some(name) = &name
        && let Some(row) = found(control.store.workspaces().get_by_name(account, name).await)?
    {
        return Ok(Some(row));
    }
    if let Some(row) = by_id(control, user).await? {
        return Ok(Some(row));
    }
    let Some(name) = name else { return Ok(None) };
    let page = PageRequest { limit: SHARED_MAX, cursor: None };
    let shared = control.store.workspaces().list_shared(account, &page).await?;
    let mut of_name = shared.items.into_iter().filter(|row| row.name == name);
    Ok(match (of_name.next(), of_name.next()) {
        (Some(row), None) => Some(row),
        (None | Some(_), _) => None,
    })
}

async fn by_id(control: &Control, user: &str) -> ApiResult<Option<WorkspaceRow>> {
    let (name, suffix) = match user.rsplit_once('-') {
        Some((name, suffix)) => (Some(name), suffix),
        None => (None, user),
    };
    let id = format!("{}{suffix}", WorkspaceId::PREFIX).parse::<WorkspaceId>();
    let Ok(id) = id else { return Ok(None) };
    let row = found(control.store.workspaces().get(&id).await)?;
    Ok(row.filter(|row| name.is_none_or(|name| row.name.as_str() == name)))
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
