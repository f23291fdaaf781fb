//! Who makes a call, and what holds for it.

use std::sync::Arc;

use rigbox_types::{
    AccountId, HostId, RegionName, WorkspaceId,
    api::ai::{AiMode, AiProvider},
};
use sqlx::any::AnyRow;

use super::{Ai, SealedKey, settings};
use crate::{StoreError, row::Columns};

/// One row a key, and one where there is none. Every table is read by its primary key.
const CALLER: &str = "SELECT w.account_id AS account_id, w.host_id AS host_id, \
     w.region AS region, p.disabled_at AS disabled_at, a.enabled AS account_enabled, \
     a.mode AS account_mode, a.provider AS account_provider, a.model AS account_model, \
     s.enabled AS enabled, s.guest_enabled AS guest_enabled, s.mode AS mode, \
     s.provider AS provider, s.model AS model, s.inject AS inject, \
     k.place AS key_place, k.provider AS key_provider, k.sealed AS key_sealed \
     FROM workspaces w LEFT JOIN profiles p ON p.account_id = w.account_id \
     LEFT JOIN ai_accounts a ON a.account_id = w.account_id \
     LEFT JOIN ai_workspaces s ON s.workspace_id = w.id \
     LEFT JOIN ai_keys k ON k.account_id = w.account_id AND k.place IN ('', w.id) \
     WHERE w.id = $1 ORDER BY k.place DESC, k.provider";

/// What holds for the calls of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AiCaller {
    /// Whose workspace it is.
    pub account: AccountId,
    /// Whether nobody may do anything with that account.
    pub account_disabled: bool,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The host that has it, and that alone speaks for it.
    pub host: HostId,
    /// Where that is.
    pub region: RegionName,
    /// Whether AI is on.
    pub enabled: bool,
    /// Who pays.
    pub mode: AiMode,
    /// Whose models are meant where a request does not say.
    pub provider: Option<AiProvider>,
    /// Which model is meant where a request names none.
    pub model: Option<String>,
    /// The keys of its owner: those of the workspace first, then those of the account.
    pub keys: Vec<CallerKey>,
}

/// A key of the owner that counts for a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerKey {
    /// Where it is a key.
    pub provider: AiProvider,
    /// Whether it is for this workspace alone.
    pub of_workspace: bool,
    /// What is to be decrypted, with the account, the workspace where it is for that alone, and the
    /// provider.
    pub sealed: SealedKey,
}

impl AiCaller {
    /// The key that counts at a provider: the workspace's own before the account's.
    #[must_use]
    pub fn key(&self, provider: AiProvider) -> Option<&CallerKey> {
        self.keys.iter().find(|key| key.provider == provider)
    }
}

impl Ai<'_> {
    /// What holds for the calls of a workspace at this moment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn caller(&self, id: &WorkspaceId) -> Result<Arc<AiCaller>, StoreError> {
        let callers = &self.engine.callers;
        let now = callers.now();
        if let Some(caller) = callers.get(now, id) {
            return Ok(caller);
        }
        let caller = Arc::new(self.read_caller(id).await?);
        callers.put(now, &caller);
        Ok(caller)
    }

    async fn read_caller(&self, id: &WorkspaceId) -> Result<AiCaller, StoreError> {
        let rows = sqlx::query(CALLER).bind(id.as_str()).fetch_all(&self.engine.read).await?;
        let first = rows.first().ok_or_else(|| StoreError::not_found("workspace", id))?;
        let (columns, settings) = (Columns::of("workspaces", first), settings(first)?);
        Ok(AiCaller {
            account: columns.parsed("account_id")?,
            account_disabled: columns.moment_optional("disabled_at")?.is_some(),
            workspace: id.clone(),
            host: columns.parsed("host_id")?,
            region: columns.parsed("region")?,
            enabled: settings.enabled().0,
            mode: settings.mode(),
            provider: settings.provider(),
            model: settings.model().map(str::to_owned),
            keys: rows.iter().filter_map(|row| key(row).transpose()).collect::<Result<_, _>>()?,
        })
    }
}

fn key(row: &AnyRow) -> Result<Option<CallerKey>, StoreError> {
    let columns = Columns::of("ai_keys", row);
    let Some(provider) = columns.word_optional("key_provider")? else { return Ok(None) };
    let of_workspace = !columns.raw::<String>("key_place")?.is_empty();
    Ok(Some(CallerKey { provider, of_workspace, sealed: SealedKey(columns.raw("key_sealed")?) }))
}
