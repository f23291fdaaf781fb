//! Giving, changing and taking roles.
//! Invariants: who gives or takes a role has a right to that very role; the account that a thing
//! belongs to is its owner for good, so that a last owner stays; what is to be done is in the audit
//! record, with its names, before it is done.

use rigbox_store::{StoreError, bindings::BindingRow};
use rigbox_types::{
    AccountId, Principal, Right,
    access::{PrincipalRef, ResourceRef, Role},
    api::access::{
        AccessBinding, CreateBindingRequest, DeleteBindingRequest, UpdateBindingRequest,
    },
    authz::right_to_bind,
};
use serde_json::json;

use super::{Thing, thing};
use crate::{
    audit::Trail,
    control::Control,
    error::{ApiError, ApiResult},
    http::access::Access,
};

/// Who has which role on a thing.
pub(super) async fn list(control: &Control, of: &Thing) -> ApiResult<Vec<AccessBinding>> {
    let owner = AccessBinding {
        principal_ref: PrincipalRef::User(of.owner),
        resource_ref: of.at.clone(),
        role: Role::Owner,
        created_by_ref: None,
        created_at: of.since,
        updated_at: of.since,
    };
    let given = control.store.bindings().list(&of.at).await?;
    Ok(std::iter::once(owner).chain(given.into_iter().map(view)).collect())
}

/// Gives a role.
pub(super) async fn create(
    control: &Control,
    (access, trail): (&Access, &Trail),
    request: CreateBindingRequest,
) -> ApiResult<AccessBinding> {
    let CreateBindingRequest { principal, resource, role } = request;
    let thing = thing(control, access.principal()?, &resource).await?;
    thing.authorise(access.principal()?, access.endpoint.right)?;
    thing.authorise(access.principal()?, right_to_bind(role))?;
    check_not_owner(&thing, principal)?;
    check_person(control, principal.account()).await?;
    let about = format!("{principal} {resource} {role}");
    control.audit.received(trail.about(about)).await?;
    let by = access.account()?;
    let given = control.store.bindings().insert((principal.account(), by), &resource, role).await;
    let row = given.map_err(|error| match error {
        StoreError::Conflict { what: "role", id } => ApiError::conflict(format!(
            "{principal} has the role {id} on this already: change that one"
        ))
        .with(json!({ "field": "role", "current_role": id })),
        other => other.into(),
    })?;
    Ok(view(row))
}

/// Gives another role instead of one.
pub(super) async fn update(
    control: &Control,
    (access, trail): (&Access, &Trail),
    request: UpdateBindingRequest,
) -> ApiResult<AccessBinding> {
    let UpdateBindingRequest { principal, resource, current_role, new_role } = request;
    let thing = thing(control, access.principal()?, &resource).await?;
    for right in [access.endpoint.right, right_to_bind(current_role), right_to_bind(new_role)] {
        thing.authorise(access.principal()?, right)?;
    }
    check_not_owner(&thing, principal)?;
    let about = format!("{principal} {resource} {current_role} {new_role}");
    control.audit.received(trail.about(about)).await?;
    let roles = (current_role, new_role);
    Ok(view(control.store.bindings().change(principal.account(), &resource, roles).await?))
}

/// Takes a role away, and says whether it was had.
pub(super) async fn delete(
    control: &Control,
    (access, trail): (&Access, &Trail),
    request: DeleteBindingRequest,
) -> ApiResult<bool> {
    let DeleteBindingRequest { principal, resource, role } = request;
    let who = access.principal()?;
    let thing = thing(control, who, &resource).await?;
    if principal.account() == access.account()? {
        thing.authorise(who, Right::AccessLeave)?;
    } else {
        thing.authorise(who, access.endpoint.right)?;
        thing.authorise(who, right_to_bind(role))?;
    }
    check_not_owner(&thing, principal)?;
    let about = format!("{principal} {resource} {role}");
    control.audit.received(trail.about(about)).await?;
    Ok(control.store.bindings().delete(principal.account(), &resource, role).await?)
}

/// The caller's proof and the thing that it is about.
pub(super) async fn of(
    control: &Control,
    who: &Principal,
    (resource, right): (&ResourceRef, Right),
) -> ApiResult<Thing> {
    let thing = thing(control, who, resource).await?;
    thing.authorise(who, right)?;
    Ok(thing)
}

fn check_not_owner(thing: &Thing, principal: PrincipalRef) -> ApiResult<()> {
    if principal.account() != thing.owner {
        return Ok(());
    }
    let kind = thing.at.kind();
    Err(ApiError::field("principal", format!("the {kind} belongs to it: it is the owner for good")))
}

/// Who is disabled is like one that there is not.
async fn check_person(control: &Control, account: AccountId) -> ApiResult<()> {
    let missing = || ApiError::not_found("principal");
    match control.store.accounts().get(account).await {
        Err(StoreError::NotFound { .. }) => Err(missing()),
        Ok(row) if row.profile.disabled_at.is_some() => Err(missing()),
        other => Ok(other.map(drop)?),
    }
}

fn view(row: BindingRow) -> AccessBinding {
    AccessBinding {
        principal_ref: PrincipalRef::User(row.principal),
        resource_ref: row.resource,
        role: row.role,
        created_by_ref: Some(PrincipalRef::User(row.created_by)),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
