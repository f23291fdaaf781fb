//! What `types::authz` has to know: whose a thing is, and which role on it the caller was given.
//! Invariant: the owner and the operator cost no look at roles, everybody else one.
//! Decides nothing.

use rigbox_store::{Store, StoreError, apps::AppRow, bindings::Facts, workspaces::WorkspaceRow};
use rigbox_types::{
    AccountId, Authorised, Principal, Right, Timestamp,
    access::{ResourceRef, Role},
    authz::{Denied, Resource, Standing, authorise, granted},
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// A thing that is there, and what the caller is to it.
pub(crate) struct Thing {
    /// Which one.
    pub(crate) at: ResourceRef,
    /// Whose it is.
    pub(crate) owner: AccountId,
    /// Since when it is there.
    pub(crate) since: Timestamp,
    /// The facts for one caller.
    pub(crate) facts: Resource,
}

impl Thing {
    /// The proof that the caller may do `right` with it. What may not be known of is not found.
    pub(crate) fn authorise(
        &self,
        who: &Principal,
        right: Right,
    ) -> ApiResult<Authorised<ResourceRef>> {
        authorise(who, right, &self.facts, self.at.clone()).map_err(|denied| match denied {
            Denied::Unknown => ApiError::not_found(self.at.kind().as_str()),
            Denied::Forbidden => denied.into(),
        })
    }
}

/// Looks a thing up, and what `who` is to it.
pub(crate) async fn thing(
    control: &Control,
    who: &Principal,
    at: &ResourceRef,
) -> ApiResult<Thing> {
    let store = &control.store;
    let (owner, since, facts) = match at {
        ResourceRef::Account(id) => {
            let row = store.accounts().get(*id).await?;
            (row.id, row.created_at, of_account(store, who, *id).await?)
        }
        ResourceRef::Workspace(id) => {
            let row = control.workspace(id).await?;
            (row.account, row.created_at, of_workspace(store, who, &row).await?)
        }
        ResourceRef::App(id) => {
            let row = control.app(id).await?;
            (row.account, row.created_at, of_app(store, who, &row).await?)
        }
    };
    Ok(Thing { at: at.clone(), owner, since, facts })
}

/// The facts of a workspace.
pub(crate) async fn of_workspace(
    store: &Store,
    who: &Principal,
    row: &WorkspaceRow,
) -> Result<Resource, StoreError> {
    let granted = match guest_of(who, row.account) {
        None => None,
        Some(account) => role(&store.bindings().on_workspace(account, &row.id, row.account).await?),
    };
    Ok(Resource::Workspace { id: row.id.clone(), owner: row.account, granted })
}

/// The facts of an app.
pub(crate) async fn of_app(
    store: &Store,
    who: &Principal,
    row: &AppRow,
) -> Result<Resource, StoreError> {
    let granted = match guest_of(who, row.account) {
        None => None,
        Some(account) => role_on_app(store, account, row).await?,
    };
    Ok(Resource::App {
        id: row.id.clone(),
        workspace: row.workspace.clone(),
        owner: row.account,
        granted,
        visibility: row.published.visibility,
        listed: false,
    })
}

/// The role that an account was given on an app, its workspace or the account of its owner.
pub(crate) async fn role_on_app(
    store: &Store,
    account: AccountId,
    row: &AppRow,
) -> Result<Option<Role>, StoreError> {
    let of = (&row.id, &row.workspace);
    Ok(role(&store.bindings().on_app(account, of, row.account).await?))
}

/// The facts of an account.
pub(crate) async fn of_account(
    store: &Store,
    who: &Principal,
    id: AccountId,
) -> Result<Resource, StoreError> {
    let granted = match guest_of(who, id) {
        None => None,
        Some(account) => role(&store.bindings().on_account(account, id).await?),
    };
    Ok(Resource::Account { id, granted })
}

/// The caller's account, where what it was given on things of `owner` matters.
fn guest_of(who: &Principal, owner: AccountId) -> Option<AccountId> {
    match who {
        Principal::Key { standing: Standing::Operator, .. } | Principal::Guest { .. } => None,
        Principal::Key { account, .. } => Some(*account).filter(|account| *account != owner),
    }
}

fn role(facts: &Facts) -> Option<Role> {
    let given = facts.given.iter().map(|given| (given.role, &given.conditions, &given.tags));
    granted(given, &facts.tags)
}
