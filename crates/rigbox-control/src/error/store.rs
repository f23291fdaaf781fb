//! What a refusal of the store means to the user.

use rigbox_store::{Amount, Over, Scope, StoreError};
use rigbox_types::{PlanName, api::error::ErrorCode};
use serde_json::json;

use super::ApiError;

/// When to come again where the database does not answer.
const BUSY_RETRY_S: u32 = 2;
/// When to come again after the disk of the database or a host was full.
const FULL_RETRY_S: u32 = 60;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound { what, .. } => Self::not_found(what),
            StoreError::Conflict { what, id } => {
                Self::conflict(format!("{what} {id} is taken")).with(json!({ "taken": what }))
            }
            StoreError::Over(over) => from_over(over),
            StoreError::ClaimLost => {
                Self::conflict("a repeat of this request has taken it over").because(error)
            }
            StoreError::InvalidCursor => Self::field("cursor", "is not one of this list"),
            StoreError::DiskFull(_) => {
                Self::unavailable("the disk of the platform's database is full", FULL_RETRY_S)
                    .because(error)
            }
            StoreError::Unavailable(_) => {
                Self::unavailable("the platform's database does not answer", BUSY_RETRY_S)
                    .because(error)
            }
            _ => Self::internal(error),
        }
    }
}

fn from_over(over: &Over) -> ApiError {
    let Over { scope, what, limit, used, asked, plan } = over;
    let words = words(*what);
    match scope {
        Scope::Account => {
            let plan = plan.as_ref().map(PlanName::as_str).unwrap_or_default();
            let now = match used {
                0 => format!("{asked} are asked for"),
                used => format!("{used} are in use and {asked} more are asked for"),
            };
            let remedy = remedy(*what);
            let message = if is_of_plan(*what) {
                format!(
                    "the plan {plan} allows {limit} {words} and {now}: {remedy}, or ask whoever \
                     runs this installation for more"
                )
            } else {
                format!("an account may have {limit} {words} and {now}: {remedy}")
            };
            ApiError::new(ErrorCode::QuotaExceeded, message).with(json!({
                "limit": what.to_string(),
                "maximum": limit,
                "used": used,
                "requested": asked,
                "plan": plan,
            }))
        }
        Scope::Host => ApiError::new(
            ErrorCode::CapacityExhausted,
            format!("the workspace's host has no room: {words} is short"),
        )
        .with(json!({
            "short": what.to_string(),
            "maximum": limit,
            "used": used,
            "requested": asked,
        }))
        .retry_after(FULL_RETRY_S),
    }
}

/// Whether another plan, or a number of one's own, would help.
fn is_of_plan(amount: Amount) -> bool {
    match amount {
        Amount::Workspaces
        | Amount::Vcpus
        | Amount::MemoryMib
        | Amount::DiskMib
        | Amount::WorkspaceVcpus
        | Amount::WorkspaceMemoryMib
        | Amount::WorkspaceDiskMib
        | Amount::AppsOfWorkspace
        | Amount::SshKeys => true,
        Amount::ApiKeys
        | Amount::SetupScripts
        | Amount::ServiceSpecs
        | Amount::BindingsOfResource
        | Amount::BindingsOfPrincipal
        | Amount::BindingsOfPrincipalInAll
        | Amount::KeptNames
        | Amount::ShareLinks
        | Amount::LogSources => false,
    }
}

/// What an account can do by itself about a quota that is used up.
fn remedy(amount: Amount) -> &'static str {
    match amount {
        Amount::Workspaces => "delete a workspace",
        Amount::Vcpus | Amount::MemoryMib => "stop another workspace or make this one smaller",
        Amount::DiskMib => "delete a workspace or take a smaller disk",
        Amount::WorkspaceVcpus | Amount::WorkspaceMemoryMib | Amount::WorkspaceDiskMib => {
            "ask for a smaller workspace"
        }
        Amount::SshKeys | Amount::ApiKeys => "delete a key",
        Amount::SetupScripts => "delete a script",
        Amount::ServiceSpecs => "delete a spec",
        Amount::BindingsOfResource => "take one away, or give roles on the account",
        Amount::BindingsOfPrincipal => {
            "take one away from it, or give it one on the account instead of many on its things"
        }
        Amount::BindingsOfPrincipalInAll => "ask whoever has them to give some up",
        Amount::AppsOfWorkspace => "delete an app of this workspace",
        Amount::KeptNames => "take a name that you had, or come again tomorrow",
        Amount::ShareLinks => "take one back",
        Amount::LogSources => "delete one",
    }
}

fn words(amount: Amount) -> &'static str {
    match amount {
        Amount::Workspaces => "workspaces",
        Amount::Vcpus => "virtual CPUs",
        Amount::MemoryMib => "MiB of memory",
        Amount::DiskMib => "MiB of disk",
        Amount::WorkspaceVcpus => "virtual CPUs for one workspace",
        Amount::WorkspaceMemoryMib => "MiB of memory for one workspace",
        Amount::WorkspaceDiskMib => "MiB of disk for one workspace",
        Amount::SshKeys => "SSH keys",
        Amount::ApiKeys => "API keys",
        Amount::SetupScripts => "setup scripts",
        Amount::ServiceSpecs => "service specs",
        Amount::BindingsOfResource => "roles of others on one thing",
        Amount::BindingsOfPrincipal => "roles on what one other account owns",
        Amount::BindingsOfPrincipalInAll => "roles on things of others",
        Amount::AppsOfWorkspace => "apps of one workspace",
        Amount::KeptNames => "names of apps that it has given up within a day",
        Amount::ShareLinks => "share links of one app",
        Amount::LogSources => "log sources of one app",
    }
}
