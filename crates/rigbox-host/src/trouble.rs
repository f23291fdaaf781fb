//! What happens after a step failed: whether it is tried again, when, and how often.
//! Invariant: retries back off and end; how many there were survives a restart of the agent.
//! Pure: the clock is the caller's.

use std::{error::Error, time::Duration};

use rigbox_types::{
    Desired, Failure, Generation, Timestamp, failure::FailureCode, host::Assignment,
};
use serde::{Deserialize, Serialize};

/// Pause before the second attempt; each further one doubles it.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a step did not succeed: the code and the words for the user, and the cause for the log.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// Stable, for programs.
    pub code: FailureCode,
    /// For the user: names nothing inside the platform.
    pub message: String,
    /// For the log.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The last failure of a workspace and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What the user reads.
    pub failure: Failure,
    /// What was wanted when it happened.
    pub during: Desired,
    /// The assignment's generation when it happened.
    pub generation: Generation,
    /// Whether it is tried again.
    pub verdict: Verdict,
}

/// Whether a failed step is tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// After a pause.
    TryAgain,
    /// Not before somebody asks for it.
    GivenUp,
}

impl StepError {
    /// An error without a cause of its own.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// An error with its cause.
    pub fn caused(
        code: FailureCode,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { code, message: message.into(), source: Some(source.into()) }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The error with its causes, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl Trouble {
    /// The trouble after one more failure.
    #[must_use]
    pub fn after(
        before: Option<&Self>,
        error: &StepError,
        assignment: &Assignment,
        now: Timestamp,
    ) -> Self {
        let before = before.filter(|trouble| trouble.applies(assignment));
        let attempts = before.map_or(0, |trouble| trouble.failure.attempts).saturating_add(1);
        let verdict =
            if attempts >= attempts_max(error.code) { Verdict::GivenUp } else { Verdict::TryAgain };
        Self {
            failure: Failure {
                code: error.code,
                message: error.message.clone(),
                retryable: is_retryable(error.code),
                attempts,
                occurred_at: now,
            },
            during: assignment.desired,
            generation: assignment.generation,
            verdict,
        }
    }

    /// Whether it still counts: the same thing is wanted, and nobody asked for another try since.
    #[must_use]
    pub fn applies(&self, assignment: &Assignment) -> bool {
        self.during == assignment.desired
            && self.generation >= assignment.retry_generation
            && self.generation >= assignment.restart_generation
    }

    /// How long to wait before the next attempt. `jitter` is random from 0 to 255: workspaces that
    /// failed together do not come back together.
    #[must_use]
    pub fn pause(&self, jitter: u8) -> Duration {
        let doublings = self.failure.attempts.saturating_sub(1).min(16);
        let pause = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX);
        pause / 2 + pause * u32::from(jitter) / 512
    }
}

/// How often a step is tried before it is given up. What will not change by itself within seconds
/// is tried once: the user learns of it at once, and can ask for another try.
fn attempts_max(code: FailureCode) -> u32 {
    match code {
        FailureCode::ImageMissing
        | FailureCode::ImageCorrupt
        | FailureCode::DiskFull
        | FailureCode::CapacityExhausted
        | FailureCode::HostUnsupported
        | FailureCode::Unsupported => 1,
        // Each attempt already took as long as the slowest boot.
        FailureCode::BootTimeout => 2,
        FailureCode::DiskError
        | FailureCode::NetworkError
        | FailureCode::VmmStart
        | FailureCode::VmmExited
        | FailureCode::HostError => 5,
    }
}

fn is_retryable(code: FailureCode) -> bool {
    match code {
        FailureCode::HostUnsupported | FailureCode::Unsupported => false,
        FailureCode::ImageMissing
        | FailureCode::ImageCorrupt
        | FailureCode::DiskFull
        | FailureCode::CapacityExhausted
        | FailureCode::BootTimeout
        | FailureCode::DiskError
        | FailureCode::NetworkError
        | FailureCode::VmmStart
        | FailureCode::VmmExited
        | FailureCode::HostError => true,
    }
}

#[cfg(test)]
mod tests;
