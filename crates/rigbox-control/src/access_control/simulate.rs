//! Answers whether somebody may do something, and why, by asking `types::authz` the very question
//! that the request itself would be asked. Owns no rule: the reason is read off the facts.

use rigbox_store::StoreError;
use rigbox_types::{
    Principal, Right,
    access::PrincipalRef,
    api::access::{SimulateAccessRequest, SimulateAccessResponse},
    authz::{Standing, authorise, role},
    endpoint::Operation,
    nearest::nearest,
};
use serde_json::json;

use super::{Thing, thing};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::access::Access,
};

/// Answers one question.
pub(super) async fn simulate(
    control: &Control,
    access: &Access,
    request: SimulateAccessRequest,
) -> ApiResult<SimulateAccessResponse> {
    let (caller, own) = (access.principal()?, access.account()?);
    let SimulateAccessRequest { principal, action, resource } = request;
    let seen = thing(control, caller, &resource).await?;
    seen.authorise(caller, access.endpoint.right)?;
    let right = right(&action)?;
    let (subject, facts) = match principal {
        None => (caller.clone(), seen),
        Some(other) => {
            if other.account() != own {
                // Who may say who reaches it may know who does.
                seen.authorise(caller, Right::AccessWrite)?;
            }
            let subject = whole(control, other).await?;
            let facts = thing(control, &subject, &resource).await?;
            (subject, facts)
        }
    };
    let allowed = authorise(&subject, right, &facts.facts, ()).is_ok();
    let disabled = is_disabled(control, &subject).await?;
    Ok(SimulateAccessResponse {
        principal: principal.unwrap_or(PrincipalRef::User(own)),
        reason: match disabled {
            true => "the account is disabled".to_owned(),
            false => reason(&subject, (right, &action), &facts, allowed),
        },
        allowed: allowed && !disabled,
        action,
        resource,
    })
}

/// A right, or that of an operation.
fn right(action: &str) -> ApiResult<Right> {
    let of_operation = || Operation::of_word(action).map(|operation| operation.endpoint().right);
    Right::of_word(action).or_else(of_operation).ok_or_else(|| {
        let rights = Right::ALL.iter().map(|right| right.word());
        let operations = Operation::ALL.iter().map(|operation| operation.as_str().to_owned());
        let known: Vec<String> = rights.chain(operations).collect();
        let near = nearest(action, known.iter().map(String::as_str));
        let rule = match near {
            Some(near) => format!("is no right and no operation, the nearest one is {near}"),
            None => "must be a right or an operation".to_owned(),
        };
        ApiError::field("action", rule).with(json!({ "field": "action", "nearest": near }))
    })
}

/// An account with all that it may.
async fn whole(control: &Control, who: PrincipalRef) -> ApiResult<Principal> {
    match control.store.accounts().get(who.account()).await {
        Err(StoreError::NotFound { .. }) => Err(ApiError::not_found("principal")),
        other => Ok(Principal::whole(who.account(), other?.standing)),
    }
}

async fn is_disabled(control: &Control, who: &Principal) -> ApiResult<bool> {
    let (Principal::Key { account, .. } | Principal::Guest { account, .. }) = who;
    Ok(control.store.accounts().get(*account).await?.profile.disabled_at.is_some())
}

fn reason(who: &Principal, (right, action): (Right, &str), thing: &Thing, allowed: bool) -> String {
    let Principal::Key { account, standing, scopes, .. } = who else {
        return "code in a workspace sees that workspace".to_owned();
    };
    let kind = thing.at.kind();
    let is_to_it = if *account == thing.owner {
        format!("the {kind} belongs to it")
    } else if *standing == Standing::Operator {
        "it is the operator's account".to_owned()
    } else {
        match role(who, &thing.facts) {
            None => return format!("it has no role on the {kind}"),
            Some(role) => format!("it has the role {role}"),
        }
    };
    let by_itself = Principal::whole(*account, *standing);
    if allowed {
        is_to_it
    } else if authorise(&by_itself, right, &thing.facts, ()).is_ok() {
        format!("{is_to_it}, but this key is narrowed to {scopes}")
    } else {
        format!("{is_to_it}, which does not give {action}")
    }
}
