//! What every part of Rigbox shares: ids, names, limits, states, failures, the one authorisation
//! function and the documents that cross a wire.
//! Invariant: everything here is data and pure functions. No I/O, no clock, no randomness.
//! Does not know SQL or HTTP servers, and imports nothing of ours.

pub mod access;
pub mod api;
pub mod app_name;
pub mod authz;
pub mod credits;
pub mod ed25519_key;
pub mod edge;
pub mod email;
pub mod endpoint;
pub mod failure;
pub mod guest;
pub mod host;
pub mod id;
pub mod limits;
pub mod name;
pub mod nearest;
pub mod openapi;
pub mod plan;
pub mod rate;
pub mod scope;
mod secret;
pub mod ssh;
pub mod state;
pub mod text;
pub mod time;

pub use app_name::{AppName, Unusable};
pub use authz::{Authorised, Credential, Principal, Right};
pub use credits::{Credits, InvalidCredits, Month};
pub use ed25519_key::{Ed25519Key, InvalidEd25519Key};
pub use email::{Email, InvalidEmail};
pub use failure::Failure;
pub use id::{
    AccountId, ApiKeyId, AppId, AppLogSourceId, HostId, ServiceSpecId, SessionId, SetupScriptId,
    ShareLinkId, SshKeyId, WorkspaceId,
};
pub use name::{ImageName, InvalidName, PlanName, RegionName, TemplateId, WorkspaceName};
pub use plan::{QuotaChanges, Quotas};
pub use scope::{KeyScope, KeyScopes};
pub use state::{Desired, Generation, Observed, Revision, Status};
pub use time::Timestamp;
