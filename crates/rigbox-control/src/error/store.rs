//! What a refusal of the store means to the user.

use rigbox_store::{Amount, Over, Scope, StoreError};
use rigbox_types::api::error::ErrorCode;
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
    let Over { scope, what, limit, used, asked } = over;
    match scope {
        Scope::Account => ApiError::new(
            ErrorCode::QuotaExceeded,
            format!("{asked} more {} would be over the plan's {limit}", words(*what)),
        )
        .with(json!({
            "limit": what.to_string(),
            "maximum": limit,
            "used": used,
            "requested": asked,
            "plan": "operator",
        })),
        Scope::Host => ApiError::new(
            ErrorCode::CapacityExhausted,
            format!("the workspace's host has no room: {} is short", words(*what)),
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

fn words(amount: Amount) -> &'static str {
    match amount {
        Amount::Workspaces => "workspaces",
        Amount::Vcpus => "virtual CPUs",
        Amount::MemoryMib => "MiB of memory",
        Amount::DiskMib => "MiB of disk",
        Amount::SshKeys => "SSH keys",
        Amount::ApiKeys => "API keys",
        Amount::SetupScripts => "setup scripts",
        Amount::ServiceSpecs => "service specs",
    }
}
