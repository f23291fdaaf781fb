//! What a key opens.
//! Invariants: as long as nothing was proved, all that is said is whether the key is known; what does not
//! exist and what is somebody else's are answered alike; a login is in the record before it is let in.

use std::{net::IpAddr, time::Duration};

use rigbox_store::{
    PageRequest,
    audit::NewEntry,
    feed::Wake,
    ssh_keys::SshKeyHolder,
    workspaces::{Owner, WorkspaceRow},
};
use rigbox_types::{
    Credential, KeyScopes, Principal, Right, Status,
    api::{audit::AuditStage, error::ErrorCode},
    authz::{Denied, Resource, authorise},
    endpoint::RateClass,
    ssh::{Entry, Holder, Login, LoginAnswer, MENU_MAX, Menu, MenuEntry, USER_MAX_LEN},
};
use tokio::time::{Instant, timeout_at};

use super::names;
use crate::{
    access_control::of_workspace,
    control::Control,
    edges::dial_address,
    error::{ApiError, ApiResult},
};

/// The word of the record.
const ACTION: &str = "ssh_login";

/// How long somebody waits for a workspace that is starting: less than the gateway waits for us.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// How long after its first boot a workspace may take to make its host key, in microseconds.
const HOST_KEY_PATIENCE: i64 = 60 * 1_000_000;

/// A wake-up is a hint: after this long without one the row is read anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// Longest fingerprint: `SHA256:` and 43 characters.
const FINGERPRINT_MAX_LEN: usize = 64;

/// The user of every workspace.
const USER: &str = "developer";

/// A workspace that somebody named, and what they are to it.
struct Found {
    holder: SshKeyHolder,
    row: WorkspaceRow,
    facts: Resource,
    may: Result<(), Denied>,
}

/// Answers, and records who was let in, and who was refused.
pub(super) async fn login(control: &Control, login: &Login) -> ApiResult<LoginAnswer> {
    let named = login.user.len() <= USER_MAX_LEN && login.fingerprint.len() <= FINGERPRINT_MAX_LEN;
    let holders = match named {
        true => control.store.ssh_keys().holders(&login.fingerprint).await?,
        false => Vec::new(),
    };
    let (Some(session_key), Some(first)) = (&login.session_key, holders.first()) else {
        if login.session_key.is_some() {
            refused(control, login, None, ErrorCode::Unauthenticated);
        }
        return Ok(if holders.is_empty() { LoginAnswer::Unknown } else { LoginAnswer::Known });
    };
    let drawn =
        control.rates.draw(&control.store, &principal(first), RateClass::Authentication).await;
    if let Err(error) = drawn {
        return refusal(&error);
    }
    let Some(found) = find(control, &holders, &login.user).await? else {
        return menu(control, first).await.map(LoginAnswer::Menu);
    };
    if found.may.is_err() {
        refused(control, login, Some(&found), ErrorCode::Forbidden);
        let message = format!(
            "your role on {} does not let you enter it; ask its owner for the role developer",
            found.row.name
        );
        return Ok(LoginAnswer::Refused { message });
    }
    match enter(control, login, (found, session_key)).await {
        Err(error) => refusal(&error),
        answer => answer,
    }
}

/// What people are told of a refusal; what is our own fault is for the gateway.
fn refusal(error: &ApiError) -> ApiResult<LoginAnswer> {
    Ok(LoginAnswer::Refused { message: error.message().to_owned() })
}

/// The workspace that a name leads to for one of the holders of a key: one that may be entered before one
/// that may only be known of.
async fn find(control: &Control, holders: &[SshKeyHolder], user: &str) -> ApiResult<Option<Found>> {
    let mut known = None;
    for holder in holders {
        let Some(row) = names::find(control, holder.account, user).await? else { continue };
        let who = principal(holder);
        let facts = of_workspace(&control.store, &who, &row).await?;
        let may = authorise(&who, Right::WorkspaceEnter, &facts, ()).map(drop);
        let is_known = !matches!(may, Err(Denied::Unknown));
        let found = Found { holder: holder.clone(), row, facts, may };
        if found.may.is_ok() {
            return Ok(Some(found));
        }
        if is_known {
            known.get_or_insert(found);
        }
    }
    Ok(known)
}

async fn enter(
    control: &Control,
    login: &Login,
    (found, session_key): (Found, &str),
) -> ApiResult<LoginAnswer> {
    let row = until_settled(control, found.row.clone()).await?;
    if row.status() != Status::Running {
        return Ok(LoginAnswer::Refused { message: not_running(&row) });
    }
    let Some(host_key) = row.ssh_host_key.clone() else {
        let message = format!(
            "the SSH server of {} has not told its key yet: it may have none, or still be starting",
            row.name
        );
        return Ok(LoginAnswer::Refused { message });
    };
    let Found { holder, facts, .. } = &found;
    let id = format!("rigbox {}", Credential::SshKey(holder.id));
    let certificate = control
        .ssh
        .certify(session_key, (&id, row.id.as_str()), control.store.now())
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::field("session_key", "must be an ssh-ed25519 key"))?;
    let host = control.store.hosts().get(&row.host).await?;
    let granted = match facts {
        Resource::Workspace { granted, .. } => *granted,
        _ => None,
    };
    let entry = Entry {
        holder: Holder { key: holder.id, account: holder.account },
        standing: holder.standing,
        workspace: row.id.clone(),
        owner: row.account,
        granted,
        host: dial_address(&host.address, control.config.ssh.dial_socket.as_deref()),
        user: USER.to_owned(),
        host_key,
        certificate,
    };
    // In the record before anybody is in.
    control.audit.received(entry_of(login, Some(&found), None)).await?;
    Ok(LoginAnswer::Entry(Box::new(entry)))
}

/// Whether a workspace is on its way to what can be entered: it starts, or has just started and has not
/// told its host key yet.
fn is_starting(control: &Control, row: &WorkspaceRow) -> bool {
    match row.status() {
        Status::Provisioning | Status::Starting => true,
        Status::Running if row.ssh_host_key.is_none() => row.seen.ready_at.is_some_and(|ready| {
            control.store.now().as_micros().saturating_sub(ready.as_micros()) < HOST_KEY_PATIENCE
        }),
        _ => false,
    }
}

/// The workspace once it does not start any more, or as it is after a while.
async fn until_settled(control: &Control, mut row: WorkspaceRow) -> ApiResult<WorkspaceRow> {
    let until = Instant::now() + START_PATIENCE;
    let mut wakes = control.store.feed().subscribe();
    while is_starting(control, &row) && Instant::now() < until {
        let woken = async {
            while let Some(wake) = wakes.next().await {
                match wake {
                    Wake::Workspace { workspace, .. } if workspace == row.id => return,
                    Wake::Everything => return,
                    _ => {}
                }
            }
        };
        // Whether it was a wake-up or the time, the row is read again.
        drop(timeout_at(until.min(Instant::now() + LOOK_ANYWAY), woken).await);
        row = control.workspace(&row.id).await?;
    }
    Ok(row)
}

/// What somebody reads who comes to a workspace that does not run.
fn not_running(row: &WorkspaceRow) -> String {
    let name = &row.name;
    match row.status() {
        Status::Provisioned | Status::Stopped | Status::Suspended => {
            format!(
                "{name} is {}. Start it and come again:\n  rig workspace start {name} --wait",
                row.status()
            )
        }
        Status::Failed => {
            let why = row.seen.failure.as_ref().map_or("", |failure| failure.message.as_str());
            format!("{name} has failed: {why}\nTry it again:\n  rig workspace start {name} --wait")
        }
        status => format!("{name} is {status}: come again in a moment"),
    }
}

/// The workspaces that the holder of a key may enter or see.
async fn menu(control: &Control, holder: &SshKeyHolder) -> ApiResult<Menu> {
    let limit = u32::try_from(MENU_MAX).unwrap_or(u32::MAX);
    let page = PageRequest { limit, cursor: None };
    let (store, account) = (&control.store, holder.account);
    let own = store.workspaces().list(Owner::Account(account), &page).await?;
    let shared = store.workspaces().list_shared(account, &page).await?;
    let who = principal(holder);
    let mut entries = Vec::new();
    for row in own.items.into_iter().chain(shared.items).take(MENU_MAX) {
        let facts = of_workspace(store, &who, &row).await?;
        if authorise(&who, Right::WorkspaceEnter, &facts, ()).is_err() {
            continue;
        }
        entries.push(MenuEntry {
            name: row.name.to_string(),
            user: names::user(&row),
            status: row.status().as_str().to_owned(),
        });
    }
    Ok(Menu { holder: Holder { key: holder.id, account }, entries })
}

/// Whoever shows a key, as who decides knows them.
pub(super) fn principal(holder: &SshKeyHolder) -> Principal {
    Principal::Key {
        credential: Credential::SshKey(holder.id),
        account: holder.account,
        standing: holder.standing,
        scopes: KeyScopes::full(),
    }
}

/// Leaves an entry of somebody who was not let in, of which strangers cannot make more than a bounded
/// number.
fn refused(control: &Control, login: &Login, found: Option<&Found>, code: ErrorCode) {
    if control.rates.is_worth_an_entry() {
        control.audit.completed(entry_of(login, found, Some(code)));
    }
}

fn entry_of(login: &Login, found: Option<&Found>, refused: Option<ErrorCode>) -> NewEntry {
    let status = refused.map_or(200, |code| ApiError::new(code, "").http_status().as_u16());
    NewEntry {
        stage: AuditStage::Completed,
        request_id: String::new(),
        action: ACTION.to_owned(),
        account: found.map(|found| found.holder.account),
        actor: match found {
            Some(found) => Credential::SshKey(found.holder.id).to_string(),
            None => "anonymous".to_owned(),
        },
        address: login.from.parse::<IpAddr>().ok().map(|address| address.to_string()),
        target: match found {
            Some(found) => format!("/workspaces/{}", found.row.id),
            None => "/workspaces".to_owned(),
        },
        status: Some(status),
        code: refused.map(|code| code.as_str().to_owned()),
    }
}
