//! What calls of AI providers have used, added up: by step of time, by workspace, by model, and by all three.
//! Reader: control. Invariants: a sum is of the calls that ended since a moment, of one account or one
//! workspace; lists are bounded. Writes nothing: see [`crate::ai_calls`].

use rigbox_types::{AccountId, Timestamp, WorkspaceId};
use sqlx::any::AnyRow;

use crate::{StoreError, engine::Engine, row::Columns};

/// Most steps, workspaces or models of one answer.
pub const USAGE_MAX_COUNT: u32 = 200;

/// Most sums by step, workspace and model of one answer: a month of sixty a day.
pub const DETAILS_MAX_COUNT: u32 = 2_000;

macro_rules! sums {
    ($keys:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $keys,
            "CAST(COALESCE(SUM(charged_micro), 0) AS BIGINT) AS charged, \
             CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT) AS input, \
             CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT) AS output, \
             COUNT(*) AS requests FROM ai_calls ",
            $rest
        )
    };
}

/// The same for an account and for a workspace.
struct Both {
    account: &'static str,
    workspace: &'static str,
}

const TOTALS: Both = Both {
    account: sums!("", "WHERE account_id = $1 AND ended_at >= $2"),
    workspace: sums!("", "WHERE workspace_id = $1 AND ended_at >= $2"),
};

/// The oldest first: there are never more than asked for, because the caller bounds the time.
const STEPS: Both = Both {
    account: sums!(
        "ended_at / $3 AS step, ",
        "WHERE account_id = $1 AND ended_at >= $2 GROUP BY ended_at / $3 ORDER BY step LIMIT $4"
    ),
    workspace: sums!(
        "ended_at / $3 AS step, ",
        "WHERE workspace_id = $1 AND ended_at >= $2 GROUP BY ended_at / $3 ORDER BY step LIMIT $4"
    ),
};

const MODELS: Both = Both {
    account: sums!(
        "provider, model, ",
        "WHERE account_id = $1 AND ended_at >= $2 GROUP BY provider, model \
         ORDER BY charged DESC, requests DESC, provider, model LIMIT $3"
    ),
    workspace: sums!(
        "provider, model, ",
        "WHERE workspace_id = $1 AND ended_at >= $2 GROUP BY provider, model \
         ORDER BY charged DESC, requests DESC, provider, model LIMIT $3"
    ),
};

/// With the names of those that there still are, for sums that are few.
const WORKSPACES: &str = concat!(
    "SELECT u.*, w.name AS name FROM (",
    sums!(
        "workspace_id, ",
        "WHERE account_id = $1 AND ended_at >= $2 GROUP BY workspace_id \
         ORDER BY charged DESC, requests DESC, workspace_id LIMIT $3"
    ),
    ") u LEFT JOIN workspaces w ON w.id = u.workspace_id \
     ORDER BY u.charged DESC, u.requests DESC, u.workspace_id"
);

const DETAILS: &str = concat!(
    "SELECT u.*, w.name AS name FROM (",
    sums!(
        "ended_at / $3 AS step, workspace_id, provider, model, ",
        "WHERE account_id = $1 AND ended_at >= $2 \
         GROUP BY ended_at / $3, workspace_id, provider, model \
         ORDER BY step DESC, charged DESC, requests DESC, workspace_id, provider, model LIMIT $4"
    ),
    ") u LEFT JOIN workspaces w ON w.id = u.workspace_id \
     ORDER BY u.step DESC, u.charged DESC, u.requests DESC, u.workspace_id, u.provider, u.model"
);

const SUBJECT: &str = sums!("", "WHERE workspace_id = $1 AND ended_at >= $2 AND subject = $3");

/// See the module.
pub struct AiUsage<'s> {
    pub(crate) engine: &'s Engine,
}

/// Whose calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallsOf {
    /// All of an account, those of workspaces that are gone too.
    Account(AccountId),
    /// Those of a workspace.
    Workspace(WorkspaceId),
}

/// What calls have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// What was charged, in millionths of a credit.
    pub charged_micro: i64,
    /// Tokens that were read.
    pub input_tokens: i64,
    /// Tokens that were written.
    pub output_tokens: i64,
    /// Calls.
    pub requests: i64,
}

/// What the calls of a workspace have used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedByWorkspace {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Its name; none where it is gone.
    pub name: Option<String>,
    /// What was used.
    pub used: Used,
}

/// What the calls of a model have used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedByModel {
    /// Whose model.
    pub provider: String,
    /// Which.
    pub model: String,
    /// What was used.
    pub used: Used,
}

/// What the calls of a workspace have used of a model in a step of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedInStep {
    /// When the step begins.
    pub begins: Timestamp,
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Its name; none where it is gone.
    pub name: Option<String>,
    /// Which model, and what was used.
    pub of: UsedByModel,
}

impl CallsOf {
    fn text(&self, both: &Both) -> &'static str {
        match self {
            Self::Account(_) => both.account,
            Self::Workspace(_) => both.workspace,
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Account(id) => id.to_string(),
            Self::Workspace(id) => id.to_string(),
        }
    }
}

impl AiUsage<'_> {
    /// Everything since a moment.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn totals(&self, of: &CallsOf, since: Timestamp) -> Result<Used, StoreError> {
        let query = sqlx::query(of.text(&TOTALS)).bind(of.id()).bind(since.as_micros());
        used(&query.fetch_one(&self.engine.read).await?)
    }

    /// The same for one subject of a workspace.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn of_subject(
        &self,
        workspace: &WorkspaceId,
        subject: &str,
        since: Timestamp,
    ) -> Result<Used, StoreError> {
        let query = sqlx::query(SUBJECT).bind(workspace.to_string()).bind(since.as_micros());
        used(&query.bind(subject.to_owned()).fetch_one(&self.engine.read).await?)
    }

    /// Steps of time in which there were calls, by when they begin, oldest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn steps(
        &self,
        of: &CallsOf,
        (since, step_seconds): (Timestamp, i64),
    ) -> Result<Vec<(Timestamp, Used)>, StoreError> {
        let step = micros(step_seconds);
        let rows = sqlx::query(of.text(&STEPS))
            .bind(of.id())
            .bind(since.as_micros())
            .bind(step)
            .bind(i64::from(USAGE_MAX_COUNT))
            .fetch_all(&self.engine.read)
            .await?;
        rows.iter()
            .map(|row| {
                let number: i64 = Columns::of("ai_calls", row).raw("step")?;
                Ok((Timestamp::from_micros(number.saturating_mul(step)), used(row)?))
            })
            .collect()
    }

    /// The models that answered calls, the dearest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn by_model(
        &self,
        of: &CallsOf,
        since: Timestamp,
    ) -> Result<Vec<UsedByModel>, StoreError> {
        let query = sqlx::query(of.text(&MODELS)).bind(of.id()).bind(since.as_micros());
        let rows = query.bind(i64::from(USAGE_MAX_COUNT)).fetch_all(&self.engine.read).await?;
        rows.iter().map(of_model).collect()
    }

    /// The workspaces of an account that made calls, the dearest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn by_workspace(
        &self,
        account: AccountId,
        since: Timestamp,
    ) -> Result<Vec<UsedByWorkspace>, StoreError> {
        let query = sqlx::query(WORKSPACES).bind(account.to_string()).bind(since.as_micros());
        let rows = query.bind(i64::from(USAGE_MAX_COUNT)).fetch_all(&self.engine.read).await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("ai_calls", row);
                let (workspace, name) = (columns.parsed("workspace_id")?, columns.raw("name")?);
                Ok(UsedByWorkspace { workspace, name, used: used(row)? })
            })
            .collect()
    }

    /// What each workspace of an account has used of each model in each step of time: the newest step
    /// first, and within it the dearest; at most [`DETAILS_MAX_COUNT`], the newest.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn details(
        &self,
        account: AccountId,
        (since, step_seconds): (Timestamp, i64),
    ) -> Result<Vec<UsedInStep>, StoreError> {
        let step = micros(step_seconds);
        let query = sqlx::query(DETAILS).bind(account.to_string()).bind(since.as_micros());
        let query = query.bind(step).bind(i64::from(DETAILS_MAX_COUNT));
        let rows = query.fetch_all(&self.engine.read).await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("ai_calls", row);
                let number: i64 = columns.raw("step")?;
                Ok(UsedInStep {
                    begins: Timestamp::from_micros(number.saturating_mul(step)),
                    workspace: columns.parsed("workspace_id")?,
                    name: columns.raw("name")?,
                    of: of_model(row)?,
                })
            })
            .collect()
    }
}

fn micros(step_seconds: i64) -> i64 {
    step_seconds.max(1).saturating_mul(1_000_000)
}

fn of_model(row: &AnyRow) -> Result<UsedByModel, StoreError> {
    let columns = Columns::of("ai_calls", row);
    let (provider, model) = (columns.raw("provider")?, columns.raw("model")?);
    Ok(UsedByModel { provider, model, used: used(row)? })
}

fn used(row: &AnyRow) -> Result<Used, StoreError> {
    let columns = Columns::of("ai_calls", row);
    Ok(Used {
        charged_micro: columns.raw("charged")?,
        input_tokens: columns.raw("input")?,
        output_tokens: columns.raw("output")?,
        requests: columns.raw("requests")?,
    })
}
