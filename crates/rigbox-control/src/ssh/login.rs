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

/// Who is recorded, and for which workspace, as far as both are known.
type Whose<'a> = (Option<&'a SshKeyHolder>, Option<&'a WorkspaceRow>);

impl Found {
    fn both(&self) -> Whose<'_> {
        (Some(&self.holder), Some(&self.row))
    }
}

/// What a name leads to for the holders of a key.
enum Named {
    /// Nothing that any of them may know of.
    Nothing,
    /// One that may be entered.
    One(Found),
    /// One that may be known of, and not entered.
    Closed(Found),
    /// Several: the key is that of several accounts, each with a workspace of that name.
    Several,
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
            refused(control, login, (None, None), ErrorCode::Unauthenticated);
        }
        return Ok(if holders.is_empty() { LoginAnswer::Unknown } else { LoginAnswer::Known });
    };
    let named = find(control, &holders, &login.user).await?;
    // Of whoever it is for: another account that has the same key cannot use the tokens of this one up.
    let of = match &named {
        Named::One(found) | Named::Closed(found) => &found.holder,
        Named::Nothing | Named::Several => first,
    };
    let who = principal(of);
    let drawn = control.rates.draw(&control.store, &who, RateClass::Authentication).await;
    if let Err(error) = drawn {
        refused(control, login, (Some(of), None), ErrorCode::RateLimited);
        return refusal(error);
    }
    match named {
        Named::Nothing => {
            refused(control, login, (Some(first), None), ErrorCode::NotFound);
            menu(control, (first, &holders)).await.map(LoginAnswer::Menu)
        }
        Named::Several => {
            refused(control, login, (Some(first), None), ErrorCode::Conflict);
            let message = "several accounts have this key, and a workspace of that name: use the name \
                           with the id behind it, which `rig workspace ssh-info` tells";
            Ok(LoginAnswer::Refused { message: message.to_owned() })
        }
        Named::Closed(found) => {
            refused(control, login, found.both(), ErrorCode::Forbidden);
            let message = format!(
                "your role on {} does not let you enter it; ask its owner for the role developer",
                found.row.name
            );
            Ok(LoginAnswer::Refused { message })
        }
        Named::One(found) => match enter(control, login, (found, session_key)).await {
            Err(error) => refusal(error),
            answer => answer,
        },
    }
}

/// What people are told of a refusal; what is our own fault is for the gateway to know.
fn refusal(error: ApiError) -> ApiResult<LoginAnswer> {
    match error.code() {
        ErrorCode::Internal | ErrorCode::Unavailable => Err(error),
        _ => Ok(LoginAnswer::Refused { message: error.message().to_owned() }),
    }
}

/// What a name leads to: by an id before by a name, so that nobody who has added somebody else's key takes
/// the place of what it names.
async fn find(control: &Control, holders: &[SshKeyHolder], user: &str) -> ApiResult<Named> {
    let mut closed = None;
    if let Some(row) = names::find_by_id(control, user).await? {
        for holder in holders {
            let found = judge(control, holder, row.clone()).await?;
            match found.may {
                Ok(()) => return Ok(Named::One(found)),
                Err(Denied::Forbidden) => drop(closed.get_or_insert(found)),
                Err(Denied::Unknown) => {}
            }
        }
    }
    let mut open: Option<Found> = None;
    for holder in holders {
        let row = names::find_by_name(control, holder.account, user).await?;
        let Some(row) = row else { continue };
        let found = judge(control, holder, row).await?;
        match found.may {
            Ok(()) if open.as_ref().is_some_and(|open| open.row.id != found.row.id) => {
                return Ok(Named::Several);
            }
            Ok(()) => open = Some(found),
            Err(Denied::Forbidden) => drop(closed.get_or_insert(found)),
            Err(Denied::Unknown) => {}
        }
    }
    Ok(match (open, closed) {
        (Some(found), _) => Named::One(found),
        (None, Some(found)) => Named::Closed(found),
        (None, None) => Named::Nothing,
    })
}

async fn judge(control: &Control, holder: &SshKeyHolder, row: WorkspaceRow) -> ApiResult<Found> {
    let who = principal(holder);
    let facts = of_workspace(&control.store, &who, &row).await?;
    let may = authorise(&who, Right::WorkspaceEnter, &facts, ()).map(drop);
    Ok(Found { holder: holder.clone(), row, facts, may })
}

async fn enter(
    control: &Control,
    login: &Login,
    (found, session_key): (Found, &str),
) -> ApiResult<LoginAnswer> {
    let row = until_settled(control, found.row.clone()).await?;
    if row.status() != Status::Running {
        refused(control, login, found.both(), ErrorCode::InvalidState);
        return Ok(LoginAnswer::Refused { message: not_running(&row) });
    }
    // The right may have ended while the workspace started.
    let found = judge(control, &found.holder, row).await?;
    let row = &found.row;
    if found.may.is_err() {
        refused(control, login, found.both(), ErrorCode::NotFound);
        return Err(ApiError::not_found("workspace"));
    }
    let Some(host_key) = row.ssh_host_key.clone() else {
        refused(control, login, found.both(), ErrorCode::InvalidState);
        let message = format!(
            "the SSH server of {} has not told its key: its image has none, or is older than this \
             platform; rig shell gets in without it",
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
    control.audit.received(entry_of(login, found.both(), None)).await?;
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
                "{name} is {}. Start it and come again:\n  rig workspace start {name}",
                row.status()
            )
        }
        Status::Failed => {
            let why = row.seen.failure.as_ref().map_or("", |failure| failure.message.as_str());
            format!("{name} has failed: {why}\nTry it again:\n  rig workspace start {name}")
        }
        status => format!("{name} is {status}: come again in a moment"),
    }
}

/// The workspaces that the holders of a key may enter.
async fn menu(
    control: &Control,
    (first, holders): (&SshKeyHolder, &[SshKeyHolder]),
) -> ApiResult<Menu> {
    let limit = u32::try_from(MENU_MAX).unwrap_or(u32::MAX);
    let page = PageRequest { limit, cursor: None };
    let (store, mut entries) = (&control.store, Vec::new());
    for holder in holders {
        let own = store.workspaces().list(Owner::Account(holder.account), &page).await?;
        let shared = store.workspaces().list_shared(holder.account, &page).await?;
        for row in own.items.into_iter().chain(shared.items) {
            let found = judge(control, holder, row).await?;
            let user = names::user(&found.row);
            let is_new = entries.iter().all(|entry: &MenuEntry| entry.user != user);
            if found.may.is_err() || !is_new || entries.len() >= MENU_MAX {
                continue;
            }
            entries.push(MenuEntry {
                name: found.row.name.to_string(),
                user,
                status: found.row.status().as_str().to_owned(),
            });
        }
    }
    Ok(Menu { holder: Holder { key: first.id, account: first.account }, entries })
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
fn refused(control: &Control, login: &Login, whose: Whose<'_>, code: ErrorCode) {
    if control.rates.is_worth_an_entry() {
        control.audit.completed(entry_of(login, whose, Some(code)));
    }
}

fn entry_of(login: &Login, (holder, row): Whose<'_>, refused: Option<ErrorCode>) -> NewEntry {
    let status = refused.map_or(200, ErrorCode::http_status);
    NewEntry {
        stage: AuditStage::Completed,
        request_id: String::new(),
        action: ACTION.to_owned(),
        account: holder.map(|holder| holder.account),
        actor: match holder {
            Some(holder) => Credential::SshKey(holder.id).to_string(),
            None => "anonymous".to_owned(),
        },
        address: login.from.parse::<IpAddr>().ok().map(|address| address.to_string()),
        target: match row {
            Some(row) => format!("/workspaces/{}", row.id),
            None => "/workspaces".to_owned(),
        },
        status: Some(status),
        code: refused.map(|code| code.as_str().to_owned()),
    }
}
