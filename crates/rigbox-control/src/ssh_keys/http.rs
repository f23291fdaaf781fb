//! Handlers of SSH keys.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use rigbox_store::ssh_keys::{SshKey, SshKeyRow};
use rigbox_types::{
    AccountId, SshKeyId,
    api::{
        ssh_keys::{
            self as api, AddSshKeyRequest, ListWorkspaceSshKeysResponse, SshKeyEntry,
            SshKeysResponse, SyncSshKeysResponse,
        },
        workspaces::MessageResponse,
    },
    limits::SSH_KEYS_MAX_COUNT,
};

use super::key;
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    guest::agent::check_running,
    hosts::until_told,
    http::{
        access::{ForAccount, ForWorkspace, Id},
        body::Document,
        idempotency::Once,
        made::Made,
        page::page_request,
    },
    source::random,
    validate::text::check_title,
};

/// How long a host may take to tell a guest its keys.
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);
/// When to come again after a guest was not told in time.
const SYNC_RETRY_S: u32 = 5;

/// Lists.
pub(crate) async fn ssh_key_list(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<SshKeysResponse>> {
    let account = *about.account.target();
    let page = control.store.ssh_keys().list(account, &page_request(&about.params)).await?;
    let ssh_keys = page.items.into_iter().map(view).collect();
    Ok(Json(SshKeysResponse { ssh_keys, next_cursor: page.next_cursor }))
}

/// Adds.
pub(crate) async fn ssh_key_create(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    once: Once,
    Document(request): Document<AddSshKeyRequest>,
) -> ApiResult<Made<api::SshKey>> {
    check_title("name", &request.name)?;
    let parsed = key::parse(&request.public_key)?;
    let (keys, account) = (control.store.ssh_keys(), *about.account.target());
    if let Some(id) = once.made::<SshKeyId>() {
        // An attempt that was cut off had added it already.
        return Ok(Made::at("/ssh-keys", id, view(keys.get(account, id).await?)));
    }
    let id = SshKeyId::from_random(random().map_err(ApiError::internal)?);
    let key = SshKey {
        name: request.name,
        public_key: parsed.line,
        fingerprint: parsed.entry.fingerprint,
    };
    let most = u64::try_from(SSH_KEYS_MAX_COUNT).unwrap_or(u64::MAX);
    let row = keys.insert(id, account, &key, once.adding(most)).await?;
    Ok(Made::at("/ssh-keys", id, view(row)))
}

/// Deletes.
pub(crate) async fn ssh_key_delete(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<SshKeyId>,
) -> ApiResult<Json<MessageResponse>> {
    control.store.ssh_keys().delete(*about.account.target(), id).await?;
    Ok(Json(MessageResponse { message: "SSH key deleted".to_owned() }))
}

/// Lists the keys that open a workspace: those of its owner.
pub(crate) async fn workspace_ssh_keys_list(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<ListWorkspaceSshKeysResponse>> {
    let keys = entries(&control, about.row.account).await?;
    Ok(Json(ListWorkspaceSshKeysResponse { keys }))
}

/// Waits until the guest was told the keys of now. They are on their way already: adding a key has
/// changed the assignment.
pub(crate) async fn workspace_ssh_keys_sync(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<SyncSshKeysResponse>> {
    check_running(about.row.status(), "be told its SSH keys")?;
    let keys = entries(&control, about.row.account).await?;
    // Read after the keys: its generation is told to the guest with at least these.
    let row = control.workspace(&about.row.id).await?;
    let late = until_told(&control, std::slice::from_ref(&row), SYNC_TIMEOUT).await?;
    // Nobody waits for one that does not run any more.
    check_running(control.workspace(&row.id).await?.status(), "be told its SSH keys")?;
    if !late.is_empty() {
        let message = "the workspace was not told its keys in time";
        return Err(ApiError::unavailable(message, SYNC_RETRY_S));
    }
    let synced = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    Ok(Json(SyncSshKeysResponse { synced, keys }))
}

async fn entries(control: &Control, account: AccountId) -> ApiResult<Vec<SshKeyEntry>> {
    let rows = control.store.ssh_keys().of_account(account).await?;
    // What is kept was parsed when it was added.
    Ok(rows
        .iter()
        .filter_map(|row| key::parse(&row.key.public_key).ok())
        .map(|k| k.entry)
        .collect())
}

fn view(row: SshKeyRow) -> api::SshKey {
    api::SshKey {
        id: row.id,
        user_id: row.account,
        name: row.key.name,
        public_key: row.key.public_key,
        fingerprint: Some(row.key.fingerprint),
        created_at: row.created_at,
    }
}
