//! What can go wrong with a request, and which command helps.

use serde::Deserialize;
use serde_json::Value;

use super::ServerUrl;
use crate::error::{CommandError, Exit};

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// Which server.
        server: ServerUrl,
        /// The system's reason.
        reason: String,
    },
    /// No TLS, or a certificate that is not trusted.
    #[error("no secure connection to {server}: {reason}")]
    Insecure {
        /// Which server.
        server: ServerUrl,
        /// What TLS says.
        reason: String,
    },
    /// The connection ended before the answer did.
    #[error("the connection to {server} broke: {reason}")]
    Broken {
        /// Which server.
        server: ServerUrl,
        /// What HTTP says.
        reason: String,
    },
    /// No answer in time.
    #[error("{server} did not answer in {seconds} s")]
    Slow {
        /// Which server.
        server: ServerUrl,
        /// The limit.
        seconds: u64,
    },
    /// An answer that the API does not have.
    #[error("{server} answers, but not as a Rigbox server: {reason}")]
    Unexpected {
        /// Which server.
        server: ServerUrl,
        /// What is wrong with it.
        reason: String,
    },
    /// The API's own refusal.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// A request that cannot be sent at all.
    #[error("{0}")]
    Unsendable(String),
}

/// The API's refusal. The code is text, because a newer server may have more of them.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refusal {
    /// HTTP status.
    #[serde(skip)]
    pub(crate) status: u16,
    /// Stable.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// Facts.
    #[serde(default)]
    pub(crate) details: Value,
    /// When to come again, in seconds.
    #[serde(skip)]
    pub(crate) retry_after_s: Option<u64>,
    /// Names the request in the server's log.
    #[serde(skip)]
    pub(crate) request_id: Option<String>,
}

impl ClientError {
    /// The API's refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the API refused with this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == code)
    }

    /// Whether the server, or a part of it, is away for the moment: a restart of the platform
    /// looks like this, and what was asked for goes on meanwhile.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Slow { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status, 429 | 502 | 503 | 504),
            Self::Insecure { .. } | Self::Unexpected { .. } | Self::Unsendable(_) => false,
        }
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Refused(refusal) => refused(&refusal),
            ClientError::Unreachable { .. } => {
                Self::failed(message).coded("unreachable").hint("rig doctor")
            }
            ClientError::Insecure { .. } => {
                Self::failed(message).coded("insecure").hint("rig doctor --ca CA_FILE")
            }
            ClientError::Broken { .. } => Self::failed(message).coded("connection_lost"),
            ClientError::Slow { .. } => Self::failed(message).coded("timeout").hint("rig doctor"),
            ClientError::Unexpected { .. } => {
                Self::failed(message).coded("unexpected_answer").hint("rig doctor")
            }
            ClientError::Unsendable(_) => Self::usage(message),
        }
    }
}

fn refused(refusal: &Refusal) -> CommandError {
    let mut error = CommandError::failed(sentence(refusal)).coded(refusal.code.clone());
    if refusal.status == 401 {
        error.exit = Exit::NotSignedIn;
    }
    error.hint = match refusal.code.as_str() {
        "unauthenticated" => Some("rig login".to_owned()),
        "quota_exceeded" => Some("rig limits".to_owned()),
        "capacity_exhausted" => Some("rig capacity".to_owned()),
        "unavailable" => Some("rig doctor".to_owned()),
        _ => None,
    };
    error
}

/// The message, with the facts that it may not tell.
fn sentence(refusal: &Refusal) -> String {
    let mut sentence = refusal.message.clone();
    match refusal.code.as_str() {
        "invalid_request" => {
            let field = refusal.details.get("field").and_then(Value::as_str).unwrap_or_default();
            if !field.is_empty() && !sentence.contains(field) {
                sentence = format!("{field}: {sentence}");
            }
        }
        "rate_limited" => {
            if let Some(seconds) = refusal.retry_after_s {
                sentence.push_str(&format!("; try again in {seconds} s"));
            }
        }
        "internal" => {
            if let Some(id) = &refusal.request_id {
                sentence.push_str(&format!(" (request {id})"));
            }
        }
        _ => {}
    }
    sentence
}
