//! What was forwarded within sessions, in the record.

use std::net::IpAddr;

use futures_util::future::try_join_all;
use rigbox_store::audit::NewEntry;
use rigbox_types::{
    Credential,
    api::audit::AuditStage,
    ssh::{FORWARDED_MAX, Forwarded},
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// The word of the record.
const ACTION: &str = "ssh_forward";

/// Longest description that is kept, in characters.
const WHAT_MAX: usize = 300;

/// Records them.
pub(super) async fn record(control: &Control, all: Vec<Forwarded>) -> ApiResult<()> {
    if all.len() > FORWARDED_MAX {
        return Err(ApiError::request(format!("at most {FORWARDED_MAX} may be told at once")));
    }
    let entries = all.into_iter().map(|forwarded| {
        let Forwarded { session, from, what } = forwarded;
        let what: String = what.chars().filter(|c| !c.is_control()).take(WHAT_MAX).collect();
        let workspace = session.workspace.map(|id| id.to_string()).unwrap_or_default();
        control.audit.received(NewEntry {
            stage: AuditStage::Completed,
            request_id: String::new(),
            action: ACTION.to_owned(),
            account: Some(session.holder.account),
            actor: Credential::SshKey(session.holder.key).to_string(),
            address: from.parse::<IpAddr>().ok().map(|address| address.to_string()),
            target: format!("/workspaces/{workspace} {what}"),
            status: Some(200),
            code: None,
        })
    });
    // Entries that come at once are written at once; where there is no room, who forwards waits.
    try_join_all(entries).await.map(drop)
}
