//! What is in a journal: one JSON document a line, with a sum in front of it.
//! Invariant: a line whose sum is not right is no record, whatever it says.

use rigbox_store::ai_calls::Call;
use rigbox_types::{AccountId, Credits, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::CallId;

/// Hexadecimal digits of a sum: enough to find what a disk has done.
const SUM_DIGITS: usize = 16;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// Who writes from here on.
    Holder {
        /// By a name that it has in this life only.
        holder: String,
    },
    /// A call begins.
    Begin {
        /// Which.
        id: CallId,
        /// What is known of it.
        #[serde(flatten)]
        beginning: Beginning,
    },
    /// A call is over.
    End {
        /// Which.
        id: CallId,
        /// How.
        #[serde(flatten)]
        end: End,
    },
}

/// What is known of a call when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    /// Whose credits.
    pub(crate) account: AccountId,
    /// From which workspace.
    pub(crate) workspace: WorkspaceId,
    /// Whose model.
    pub(crate) provider: String,
    /// Which model.
    pub(crate) model: String,
    /// What is done.
    pub(crate) operation: String,
    /// With whose key.
    pub(crate) mode: String,
    /// For whom, as the caller says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// What is held for it.
    pub(crate) held: Credits,
    /// When.
    pub(crate) at: Timestamp,
}

/// How a call was over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Whether it was nothing: no provider has worked on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) released: bool,
    /// What is charged.
    pub(crate) charge: Credits,
    /// All tokens that were read.
    pub(crate) input: u64,
    /// Of them from caches.
    pub(crate) cached: u64,
    /// All tokens that were written.
    pub(crate) output: u64,
    /// Of them not shown.
    pub(crate) reasoning: u64,
    /// What the charge goes by.
    pub(crate) basis: String,
    /// Of the provider's answer; 0 where there was none.
    pub(crate) status: u16,
    /// When.
    pub(crate) at: Option<Timestamp>,
}

impl Record {
    /// As it is written.
    pub(crate) fn line(&self) -> Vec<u8> {
        // Texts and numbers alone: nothing of it cannot be written.
        let document = serde_json::to_string(self).unwrap_or_default();
        format!("{} {document}\n", sum(document.as_bytes())).into_bytes()
    }

    /// What a line says, without its end; none where it is no record.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let (said, rest) = line.split_at_checked(SUM_DIGITS)?;
        let document = rest.strip_prefix(b" ")?;
        if said != sum(document).as_bytes() {
            return None;
        }
        serde_json::from_slice(document).ok()
    }
}

fn sum(document: &[u8]) -> String {
    let digest = Sha256::digest(document);
    let head =
        digest.iter().take(SUM_DIGITS / 2).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{head:0SUM_DIGITS$x}")
}

impl Beginning {
    /// The call as the database has it.
    pub(crate) fn call(&self, id: CallId, end: &End) -> Call {
        Call {
            request_id: request_id(id),
            account: self.account,
            workspace: self.workspace.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            operation: self.operation.clone(),
            mode: self.mode.clone(),
            subject: self.subject.clone(),
            charge: end.charge,
            input_tokens: end.input,
            cached_tokens: end.cached,
            output_tokens: end.output,
            reasoning_tokens: end.reasoning,
            basis: end.basis.clone(),
            status: end.status,
            began_at: self.at,
            ended_at: end.at.unwrap_or(self.at),
        }
    }

    /// The end of a call whose process was killed in the middle of it: what was held, since nobody knows
    /// what it has cost.
    pub(crate) fn interrupted(&self, at: Timestamp) -> End {
        End { charge: self.held, basis: "interrupted".to_owned(), at: Some(at), ..End::default() }
    }
}

/// A call's id, as callers and the ledger know it.
pub(crate) fn request_id(id: CallId) -> String {
    format!("req-{}", id.simple())
}
