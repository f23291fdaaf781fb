//! AI credits of an account: how many are left, and what became of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Credits, Timestamp, text::Reason};

/// `GET /users/me/credits`, and part of `GET /dashboard`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiCredits {
    /// `managed` or `byok`.
    pub mode: String,
    /// Credits left; below zero where a call has cost more than there was. An account without a limit
    /// has the most that there can be.
    pub remaining: f64,
    /// The same in millionths.
    pub remaining_micro: i64,
    /// Credits of this month: what is left and what was used.
    pub total: f64,
    /// The same in millionths.
    pub total_micro: i64,
    /// Whether the account may use as many as it wants.
    #[serde(default)]
    pub unlimited: bool,
    /// What is left of the plan's grant of this month, in millionths: it expires.
    #[serde(default)]
    pub granted_micro: i64,
    /// When the grant expires, and the next one begins.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What calls that are under way may still cost, in millionths; it is not taken from `remaining`.
    #[serde(default)]
    pub held_micro: i64,
    /// What was charged this month, in millionths.
    #[serde(default)]
    pub used_micro: i64,
}

/// Why an account's credits became more or fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The plan gives them for a month; or the platform pays, where an account has no limit.
    Grant,
    /// The operator gave them for good.
    TopUp,
    /// The operator put something right.
    Adjustment,
    /// A call has cost them.
    Charge,
    /// The month that they were granted for is over.
    Expiry,
}

impl EntryKind {
    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::TopUp => "top_up",
            Self::Adjustment => "adjustment",
            Self::Charge => "charge",
            Self::Expiry => "expiry",
        }
    }
}

/// One entry of an account's statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreditEntry {
    /// Its place in the account's ledger, from 1 on, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Why in one word.
    pub kind: EntryKind,
    /// Credits that came, or, below zero, went.
    pub amount: f64,
    /// The same in millionths.
    pub amount_micro: i64,
    /// Credits of the account after it.
    pub balance: f64,
    /// The same in millionths.
    pub balance_micro: i64,
    /// Why, for people.
    pub reason: String,
    /// By whom: `key:<id>`, `session:<id>`, `workspace:<id>`, or `platform`.
    pub actor: String,
    /// What it is known by, so that it is there once: for a charge `charge:<request id>`.
    pub key: String,
}

/// `GET /users/me/credits/statement`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreditStatementResponse {
    /// Newest first.
    pub entries: Vec<CreditEntry>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// What an operator does with somebody's credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditChangeKind {
    /// Gives credits that do not expire.
    TopUp,
    /// Puts something right: also takes credits, at most as many as there are.
    Adjustment,
}

/// `POST /users/{id}/credits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeCreditsRequest {
    /// What is done.
    pub kind: CreditChangeKind,
    /// How many credits, as a decimal in a text; below zero only in an adjustment.
    pub amount: Credits,
    /// Why, for whoever reads the statement.
    #[schemars(with = "Reason")]
    pub reason: String,
}

/// The answer to `POST /users/{id}/credits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeCreditsResponse {
    /// What was written down.
    pub entry: CreditEntry,
    /// What the account has now.
    pub credits: AiCredits,
}
