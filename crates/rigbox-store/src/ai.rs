//! What accounts and workspaces have decided about AI, and the keys that their owners have at providers.
//! Writer: control. Reader: control, and the AI proxy at each call ([`Ai::caller`]), with one query or by what
//! that said while nothing was changed, so that a switch counts from the next call on. Invariants: what a workspace has
//! not decided its account does; what code in a workspace has decided counts only where its owner has not;
//! a key is encrypted with a file that is not here, and goes with its workspace; every change gives the
//! workspaces that it is about a new generation, in the same transaction, because their guests are told.
//! Does not encrypt, and does not know whether a model exists.

mod caller;
mod callers;
mod keys;

pub use caller::{AiCaller, CallerKey};
pub(crate) use callers::Callers;
pub use keys::{AiKeyPlace, AiKeyRow, KeyChange, SealedKey};

use rigbox_types::{
    AccountId, Timestamp, WorkspaceId,
    api::ai::{AiDecider, AiInject, AiMode, AiProvider},
};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    engine::Engine,
    row::{Columns, word},
    tx::Tx,
    workspaces::{Attachment, Fate, touch_attached},
};

const ACCOUNT: &str = "SELECT a.enabled AS account_enabled, a.mode AS account_mode, \
     a.provider AS account_provider, a.model AS account_model FROM ai_accounts a \
     WHERE a.account_id = $1";

const ACCOUNT_PUT: &str = "INSERT INTO ai_accounts \
     (account_id, enabled, mode, provider, model, updated_at) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (account_id) DO UPDATE SET enabled = excluded.enabled, mode = excluded.mode, \
     provider = excluded.provider, model = excluded.model, updated_at = excluded.updated_at";

const WORKSPACE: &str = "SELECT w.account_id AS account_id, a.enabled AS account_enabled, \
     a.mode AS account_mode, a.provider AS account_provider, a.model AS account_model, \
     s.enabled AS enabled, s.guest_enabled AS guest_enabled, s.mode AS mode, \
     s.provider AS provider, s.model AS model, s.inject AS inject, s.updated_at AS updated_at \
     FROM workspaces w LEFT JOIN ai_accounts a ON a.account_id = w.account_id \
     LEFT JOIN ai_workspaces s ON s.workspace_id = w.id WHERE w.id = $1";

const WORKSPACE_PUT: &str = "INSERT INTO ai_workspaces \
     (workspace_id, enabled, guest_enabled, mode, provider, model, inject, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (workspace_id) DO UPDATE SET enabled = excluded.enabled, \
     guest_enabled = excluded.guest_enabled, mode = excluded.mode, provider = excluded.provider, \
     model = excluded.model, inject = excluded.inject, updated_at = excluded.updated_at";

/// See the module.
pub struct Ai<'s> {
    pub(crate) engine: &'s Engine,
}

/// What an account has decided; what is missing it has not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AiDefaults {
    /// Whether AI is on.
    pub enabled: Option<bool>,
    /// Who pays.
    pub mode: Option<AiMode>,
    /// Whose models.
    pub provider: Option<AiProvider>,
    /// Which of them.
    pub model: Option<String>,
}

/// What was decided for one workspace; what is missing was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AiChoice {
    /// Whether AI is on, as its owner says.
    pub enabled: Option<bool>,
    /// The same as code in the workspace says.
    pub guest_enabled: Option<bool>,
    /// Who pays.
    pub mode: Option<AiMode>,
    /// Whose models.
    pub provider: Option<AiProvider>,
    /// Which of them.
    pub model: Option<String>,
    /// How programs get to a provider.
    pub inject: Option<AiInject>,
}

/// Both, as they hold for a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AiSettings {
    /// What its account has decided.
    pub defaults: AiDefaults,
    /// What was decided for it.
    pub choice: AiChoice,
}

/// The settings of a workspace, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AiWorkspaceRow {
    /// Whose workspace it is.
    pub account: AccountId,
    /// The settings.
    pub settings: AiSettings,
    /// When something was last decided for it; none where nothing ever was.
    pub updated_at: Option<Timestamp>,
}

impl AiSettings {
    /// Whether AI is on, and who has decided it.
    #[must_use]
    pub fn enabled(&self) -> (bool, Option<AiDecider>) {
        let decided = [
            (self.choice.enabled, AiDecider::Workspace),
            (self.defaults.enabled, AiDecider::UserDefault),
            (self.choice.guest_enabled, AiDecider::Guest),
        ];
        let first = decided.into_iter().find_map(|(on, by)| on.map(|on| (on, Some(by))));
        first.unwrap_or((false, None))
    }

    /// Who pays.
    #[must_use]
    pub fn mode(&self) -> AiMode {
        self.choice.mode.or(self.defaults.mode).unwrap_or_default()
    }

    /// Whose models; none where nobody has decided.
    #[must_use]
    pub fn provider(&self) -> Option<AiProvider> {
        self.choice.provider.or(self.defaults.provider)
    }

    /// Which of them; none where nobody has decided. The account's is not meant where the workspace has
    /// another provider.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        let is_same = self.provider() == self.defaults.provider;
        let inherited = self.defaults.model.as_deref().filter(|_| is_same);
        self.choice.model.as_deref().or(inherited)
    }

    /// How programs get to a provider. The platform's own keys never leave it.
    #[must_use]
    pub fn inject(&self) -> AiInject {
        match self.mode() {
            AiMode::Byok => self.choice.inject.unwrap_or_default(),
            AiMode::Managed => AiInject::Proxy,
        }
    }
}

impl Ai<'_> {
    /// What an account has decided.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn account(&self, account: AccountId) -> Result<AiDefaults, StoreError> {
        let query = sqlx::query(ACCOUNT).bind(account.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        row.as_ref().map_or_else(|| Ok(AiDefaults::default()), defaults)
    }

    /// Changes what an account has decided, and its keys.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown account.
    pub async fn account_change(
        &self,
        account: AccountId,
        keys: &[KeyChange],
        edit: impl FnOnce(&mut AiDefaults) + Send,
    ) -> Result<AiDefaults, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // First: it takes the counter, so that nobody else changes settings meanwhile.
        touch_attached(&mut tx, account, (Attachment::All, Fate::Changed), now).await?;
        let query = sqlx::query(ACCOUNT).bind(account.to_string());
        let row = query.fetch_optional(tx.on()).await?;
        let mut after = row.as_ref().map_or_else(|| Ok(AiDefaults::default()), defaults)?;
        edit(&mut after);
        sqlx::query(ACCOUNT_PUT)
            .bind(account.to_string())
            .bind(after.enabled.map(i64::from))
            .bind(after.mode.as_ref().map(word).transpose()?)
            .bind(after.provider.as_ref().map(word).transpose()?)
            .bind(after.model.clone())
            .bind(now.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("account", &account)
                } else {
                    error.into()
                }
            })?;
        keys::write(&mut tx, &AiKeyPlace { account, workspace: None }, (keys, now)).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// What holds for a workspace.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<AiWorkspaceRow, StoreError> {
        let query = sqlx::query(WORKSPACE).bind(id.as_str());
        let row = query.fetch_optional(&self.engine.read).await?;
        workspace(&row.ok_or_else(|| StoreError::not_found("workspace", id))?)
    }

    /// Changes what was decided for a workspace, and its keys. `edit` says what becomes of which keys,
    /// because that may depend on what was decided.
    ///
    /// # Errors
    /// What `edit` refused with, [`StoreError::NotFound`].
    pub async fn workspace_change<E: From<StoreError> + Send>(
        &self,
        id: &WorkspaceId,
        edit: impl FnOnce(&mut AiSettings) -> Result<Vec<KeyChange>, E> + Send,
    ) -> Result<AiWorkspaceRow, E> {
        let mut tx = self.engine.begin().await?;
        let mut row = locked(&mut tx, id).await?;
        let before = row.clone();
        let keys = edit(&mut row.settings)?;
        if row == before && keys.is_empty() {
            return Ok(before);
        }
        row.updated_at = Some(self.engine.now());
        self.workspace_put(&mut tx, id, &row).await?;
        let place = AiKeyPlace { account: row.account, workspace: Some(id.clone()) };
        keys::write(&mut tx, &place, (&keys, self.engine.now())).await?;
        tx.commit().await?;
        Ok(row)
    }

    async fn workspace_put(
        &self,
        tx: &mut Tx<'_>,
        id: &WorkspaceId,
        row: &AiWorkspaceRow,
    ) -> Result<(), StoreError> {
        let (now, choice) = (self.engine.now(), &row.settings.choice);
        let touched = (Attachment::Workspace(id.clone()), Fate::Changed);
        touch_attached(tx, row.account, touched, now).await?;
        sqlx::query(WORKSPACE_PUT)
            .bind(id.as_str())
            .bind(choice.enabled.map(i64::from))
            .bind(choice.guest_enabled.map(i64::from))
            .bind(choice.mode.as_ref().map(word).transpose()?)
            .bind(choice.provider.as_ref().map(word).transpose()?)
            .bind(choice.model.clone())
            .bind(choice.inject.as_ref().map(word).transpose()?)
            .bind(now.as_micros())
            .execute(tx.on())
            .await?;
        Ok(())
    }
}

/// The row of a workspace that nobody else changes until the end of the transaction.
async fn locked(tx: &mut Tx<'_>, id: &WorkspaceId) -> Result<AiWorkspaceRow, StoreError> {
    tx.revision().await?;
    let row = sqlx::query(WORKSPACE).bind(id.as_str()).fetch_optional(tx.on()).await?;
    workspace(&row.ok_or_else(|| StoreError::not_found("workspace", id))?)
}

fn workspace(row: &AnyRow) -> Result<AiWorkspaceRow, StoreError> {
    let columns = Columns::of("ai_workspaces", row);
    Ok(AiWorkspaceRow {
        account: columns.parsed("account_id")?,
        settings: settings(row)?,
        updated_at: columns.moment_optional("updated_at")?,
    })
}

fn settings(row: &AnyRow) -> Result<AiSettings, StoreError> {
    let columns = Columns::of("ai_workspaces", row);
    let choice = AiChoice {
        enabled: columns.flag_optional("enabled")?,
        guest_enabled: columns.flag_optional("guest_enabled")?,
        mode: columns.word_optional("mode")?,
        provider: columns.word_optional("provider")?,
        model: columns.raw("model")?,
        inject: columns.word_optional("inject")?,
    };
    Ok(AiSettings { defaults: defaults(row)?, choice })
}

fn defaults(row: &AnyRow) -> Result<AiDefaults, StoreError> {
    let columns = Columns::of("ai_accounts", row);
    Ok(AiDefaults {
        enabled: columns.flag_optional("account_enabled")?,
        mode: columns.word_optional("account_mode")?,
        provider: columns.word_optional("account_provider")?,
        model: columns.raw("account_model")?,
    })
}
