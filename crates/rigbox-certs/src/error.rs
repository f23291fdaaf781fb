//! What goes wrong with an authority, with its own words.

use std::{fmt, time::Duration};

use crate::{Kind, LeafError, PublishError};

/// Most characters of an authority's text that are kept.
const TEXT_MAX: usize = 600;

/// Begins the names of ACME's problems.
const URN: &str = "urn:ietf:params:acme:error:";

/// A problem document of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind, such as `rateLimited`; empty where the authority names none.
    pub kind: String,
    /// What it says, without control characters, cut.
    pub detail: String,
    /// The HTTP status, where it is in the document.
    pub status: Option<u16>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.as_str() {
            "" => f.write_str(&self.detail),
            kind => write!(f, "{} ({kind})", self.detail),
        }
    }
}

impl From<instant_acme::Problem> for Problem {
    fn from(problem: instant_acme::Problem) -> Self {
        let kind = problem.r#type.unwrap_or_default();
        let mut detail = problem.detail.unwrap_or_else(|| "no detail is given".to_owned());
        for sub in &problem.subproblems {
            detail.push_str("; ");
            detail.push_str(&sub.to_string());
        }
        let kind = kind.strip_prefix(URN).unwrap_or(&kind);
        Self { kind: plain(kind), detail: plain(&detail), status: problem.status }
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The authority said no.
    #[error("the authority says: {problem}")]
    Problem {
        /// Its words.
        problem: Problem,
        /// When it is to be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// The authority could not see that we have the name.
    #[error("{name} was not proven by {}: {problem}", kind.as_str())]
    Proof {
        /// The name.
        name: String,
        /// How it was to be proven.
        kind: Kind,
        /// The authority's words.
        problem: Problem,
    },
    /// No kind of challenge led to a certificate.
    #[error("no way to prove the names was accepted: {}", tries.join("; "))]
    NoProof {
        /// What was said of each.
        tries: Vec<String>,
    },
    /// The authority was not reached or did not answer as ACME says.
    #[error("ask the authority at {directory}")]
    Wire {
        /// Where it is.
        directory: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took longer than an order may.
    #[error("the authority did not {what} within {} s", limit.as_secs())]
    Slow {
        /// What it was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The account's key cannot be read.
    #[error("the key of the account cannot be read")]
    AccountKey(#[source] serde_json::Error),
    /// Its terms were not agreed to.
    #[error("the authority's terms were not agreed to")]
    Terms,
    /// Challenges were not put up.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What the authority gave is of no use.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// A key or a request for a certificate was not made.
    #[error("make a request for a certificate")]
    Request(#[from] rcgen::Error),
    /// The roots by which the authority is known cannot be used.
    #[error("certificates to know the authority by: {0}")]
    Roots(String),
}

impl AcmeError {
    /// Whether the authority does not know the account: then a new one is to be made.
    #[must_use]
    pub fn is_account_gone(&self) -> bool {
        matches!(self, Self::Problem { problem, .. } if problem.kind == "accountDoesNotExist")
    }

    /// How long the authority wants to be left alone, where it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the authority says that it was asked too often.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        matches!(self, Self::Problem { problem, .. } if problem.kind == "rateLimited")
    }

    /// Itself and what it is from, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            line.push_str(": ");
            line.push_str(&error.to_string());
            source = error.source();
        }
        plain(&line)
    }
}

/// Fit for a log and a page: what a stranger wrote.
pub(crate) fn plain(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
