//! Calls of AI providers that are over: what was used, and what was charged.
//! Writer: the AI proxy, through [`crate::ledger::Ledger::post`], which charges them in the same
//! transaction. Readers: control and the AI proxy. Invariants: a call is there once; nothing of what was
//! asked or answered is kept; calls stay when their workspace goes, and go with their age.

use std::{collections::BTreeSet, time::Duration};

use rigbox_types::{
    AccountId, Credits, Timestamp, WorkspaceId, limits::CREDITS_REQUEST_ID_MAX_LEN,
};
use serde_json::json;

use crate::{
    StoreError,
    engine::{Engine, Text},
    ledger::LedgerError,
    many::{self, Holds, texts_postgres, texts_sqlite},
    row::{Columns, count},
    tx::Tx,
};

/// How long a call is kept: a year of statements can be explained, and a month more.
pub const CALLS_KEPT: Duration = Duration::from_secs(396 * 24 * 3600);

/// Longest subject, in characters.
pub const SUBJECT_MAX_CHARS: usize = 256;

/// Longest names of a provider, a model, an operation, a mode and a basis, in bytes.
const NAME_MAX_LEN: usize = 160;

const COLUMNS: [Holds; 17] = {
    use Holds::{Number, Text};
    [
        Text, Text, Text, Text, Text, Text, Text, Text, Number, Number, Number, Number, Number,
        Text, Number, Number, Number,
    ]
};

const KNOWN: Text = Text {
    sqlite: concat!("SELECT request_id FROM ai_calls WHERE request_id IN (", texts_sqlite!(), ")"),
    postgres: concat!(
        "SELECT request_id FROM ai_calls WHERE request_id IN (",
        texts_postgres!(),
        ")"
    ),
};

const INSERT: &str = "INSERT INTO ai_calls (request_id, account_id, workspace_id, provider, model, \
     operation, mode, subject, charged_micro, input_tokens, cached_tokens, output_tokens, \
     reasoning_tokens, basis, status, began_at, ended_at)";

const FORGET: &str = "DELETE FROM ai_calls WHERE ended_at < $1";

macro_rules! spent {
    ($texts:expr) => {
        concat!(
            "SELECT CAST(COALESCE(SUM(charged_micro), 0) AS BIGINT) AS charged, \
             COUNT(*) AS requests, MIN(began_at) AS oldest FROM ai_calls \
             WHERE account_id = $2 AND subject = $3 AND began_at > $4 AND request_id NOT IN (",
            $texts,
            ")"
        )
    };
}
const SPENT: Text = Text { sqlite: spent!(texts_sqlite!()), postgres: spent!(texts_postgres!()) };

/// The oldest of the newest so many.
const NTH: &str = "SELECT began_at FROM ai_calls \
     WHERE account_id = $1 AND subject = $2 AND began_at > $3 ORDER BY began_at DESC LIMIT 1 OFFSET $4";

/// See the module.
pub struct AiCalls<'s> {
    pub(crate) engine: &'s Engine,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id, of no other call of anybody.
    pub request_id: String,
    /// Whose credits.
    pub account: AccountId,
    /// From which workspace.
    pub workspace: WorkspaceId,
    /// Whose model.
    pub provider: String,
    /// Which model, as the provider names it.
    pub model: String,
    /// What was done.
    pub operation: String,
    /// With whose key: `managed` or `byok`.
    pub mode: String,
    /// For whom, as the caller says.
    pub subject: Option<String>,
    /// What is charged.
    pub charge: Credits,
    /// All tokens that were read.
    pub input_tokens: u64,
    /// Of them from caches.
    pub cached_tokens: u64,
    /// All tokens that were written.
    pub output_tokens: u64,
    /// Of them not shown.
    pub reasoning_tokens: u64,
    /// What the charge goes by.
    pub basis: String,
    /// Of the provider's answer; 0 where there was none.
    pub status: u16,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    pub ended_at: Timestamp,
}

/// What was used for a subject within a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// What was charged.
    pub charged: Credits,
    /// How many calls.
    pub requests: u64,
    /// When the oldest of them began.
    pub oldest: Option<Timestamp>,
}

impl Call {
    /// For whom, as the ledger has it.
    pub(crate) fn actor(&self) -> String {
        format!("workspace:{}", self.workspace)
    }

    /// Why it is charged, for people.
    pub(crate) fn reason(&self) -> String {
        let Self { provider, model, input_tokens, output_tokens, basis, .. } = self;
        let note = match basis.as_str() {
            "estimated" => " (estimated)",
            "interrupted" => " (interrupted: what was held for it)",
            _ => "",
        };
        format!("{provider}/{model}: {input_tokens} in, {output_tokens} out{note}")
    }

    pub(crate) fn check(&self, account: AccountId) -> Result<(), LedgerError> {
        if self.account != account {
            return Err(StoreError::Internal("a call of another account".into()).into());
        }
        if self.charge < Credits::ZERO {
            return Err(LedgerError::Amount);
        }
        let is_word = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !is_word(&self.request_id, CREDITS_REQUEST_ID_MAX_LEN) {
            return Err(LedgerError::Text("request id"));
        }
        for (what, text) in [
            ("provider", &self.provider),
            ("model", &self.model),
            ("operation", &self.operation),
            ("mode", &self.mode),
            ("basis", &self.basis),
        ] {
            if !is_word(text, NAME_MAX_LEN) {
                return Err(LedgerError::Text(what));
            }
        }
        let is_right = |subject: &String| {
            subject.chars().count() <= SUBJECT_MAX_CHARS && !subject.chars().any(char::is_control)
        };
        if self.subject.as_ref().is_some_and(|subject| !is_right(subject)) {
            return Err(LedgerError::Text("subject"));
        }
        Ok(())
    }
}

impl AiCalls<'_> {
    /// What was used for a subject of an account since a moment, without the calls that are named.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn spent(
        &self,
        account: AccountId,
        subject: &str,
        (since, without): (Timestamp, &[String]),
    ) -> Result<Spent, StoreError> {
        let query = sqlx::query(self.engine.text(SPENT))
            .bind(json!(without).to_string())
            .bind(account.to_string())
            .bind(subject.to_owned())
            .bind(since.as_micros());
        let row = query.fetch_one(&self.engine.read).await?;
        let columns = Columns::of("ai_calls", &row);
        Ok(Spent {
            charged: Credits::from_micro(columns.raw("charged")?).unwrap_or(Credits::MAX),
            requests: columns.number("requests")?,
            oldest: columns.moment_optional("oldest")?,
        })
    }

    /// When the oldest of the newest `n` calls for a subject since a moment began; none where there are
    /// fewer.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn nth_newest(
        &self,
        account: AccountId,
        subject: &str,
        (since, n): (Timestamp, u64),
    ) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query(NTH)
            .bind(account.to_string())
            .bind(subject.to_owned())
            .bind(since.as_micros())
            .bind(count(n.saturating_sub(1)));
        let row = query.fetch_optional(&self.engine.read).await?;
        row.map(|row| Columns::of("ai_calls", &row).moment("began_at")).transpose()
    }

    /// Forgets calls of long ago. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let kept = i64::try_from(CALLS_KEPT.as_micros()).unwrap_or(i64::MAX);
        let before = self.engine.now().as_micros().saturating_sub(kept);
        sqlx::query(FORGET).bind(before).execute(&self.engine.write).await?;
        Ok(())
    }
}

/// Which of these calls are there already.
pub(crate) async fn known(tx: &mut Tx<'_>, calls: &[Call]) -> Result<BTreeSet<String>, StoreError> {
    let ids: Vec<_> = calls.iter().map(|call| call.request_id.as_str()).collect();
    let rows = sqlx::query(tx.text(KNOWN)).bind(json!(ids).to_string()).fetch_all(tx.on()).await?;
    rows.iter().map(|row| Columns::of("ai_calls", row).raw("request_id")).collect()
}

/// Writes calls that are not there.
pub(crate) async fn insert(tx: &mut Tx<'_>, calls: &[&Call]) -> Result<(), StoreError> {
    let row = |call: &&Call| {
        json!([
            call.request_id,
            call.account.to_string(),
            call.workspace.as_str(),
            call.provider,
            call.model,
            call.operation,
            call.mode,
            call.subject,
            call.charge.micro(),
            count(call.input_tokens),
            count(call.cached_tokens),
            count(call.output_tokens),
            count(call.reasoning_tokens),
            call.basis,
            call.status,
            call.began_at.as_micros(),
            call.ended_at.as_micros(),
        ])
    };
    many::insert(tx, INSERT, &COLUMNS, calls.iter().map(row).collect()).await
}
