//! Why somebody was not signed in by a provider: for the log, and in the words that they read.
//! Invariant: neither holds a code, a token, or text that a provider or a link has brought.

use http::StatusCode;
use rigbox_store::StoreError;

use super::{claims::InvalidClaims, fetch::FetchError, jws::InvalidJws, keys::KeyError};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// No provider of this name is configured.
    #[error("there is no such provider")]
    Unknown,
    /// The provider does not answer as it must.
    #[error("the provider")]
    Provider(#[source] FetchError),
    /// What came back belongs to no sign-in that this browser has begun, or to one of long ago.
    #[error("the answer belongs to no sign-in of this browser")]
    Stale,
    /// It came back before.
    #[error("the answer was used before")]
    Spent,
    /// Too many sign-ins are remembered to begin another one.
    #[error("too many sign-ins at once")]
    Full,
    /// The link back is malformed.
    #[error("the answer is malformed")]
    Malformed,
    /// The answer comes from another provider than the one that was asked.
    #[error("the answer comes from another provider")]
    MixUp,
    /// The person has said no at the provider.
    #[error("the person declined")]
    Declined,
    /// The provider has refused, by this of its known reasons.
    #[error("the provider refused: {0}")]
    Refused(&'static str),
    /// The token is not from the provider.
    #[error("the token's signature")]
    Token(#[source] InvalidJws),
    /// The token is not for this sign-in.
    #[error("the token's claims")]
    Claims(#[source] InvalidClaims),
    /// The provider has not verified an address of theirs.
    #[error("no verified e-mail address")]
    NoEmail,
    /// Their address is in no domain that may sign in.
    #[error("the address is in no allowed domain")]
    Domain,
    /// They have no account, and none is made.
    #[error("no account")]
    NoAccount,
    /// The account with their address belongs to another person of the same provider.
    #[error("the account has another identity of this provider")]
    Taken,
    /// Their account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// We.
    #[error("our side")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// What happened.
    pub(crate) text: &'static str,
    /// What to do.
    pub(crate) hint: &'static str,
}

const AGAIN: &str = "Sign in again from the beginning.";
const LATER: &str = "Try again in a minute, or sign in another way.";
const ASK: &str = "Ask whoever runs this installation.";

impl OidcError {
    /// Its word for the record.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::Provider(_) => "provider_unavailable",
            Self::Stale | Self::Spent => "stale",
            Self::Full => "unavailable",
            Self::Malformed | Self::MixUp | Self::Token(_) | Self::Claims(_) => "untrusted_answer",
            Self::Declined => "declined",
            Self::Refused(_) => "refused_by_provider",
            Self::NoEmail => "no_verified_email",
            Self::Domain => "domain_not_allowed",
            Self::NoAccount => "no_account",
            Self::Taken => "identity_taken",
            Self::Disabled => "account_disabled",
            Self::Store(_) | Self::Internal(_) => "internal",
        }
    }

    /// What the person is told.
    pub(crate) fn told(&self) -> Told {
        let told = |status, text, hint| Told { status, text, hint };
        match self {
            Self::Unknown => {
                told(StatusCode::NOT_FOUND, "There is no such sign-in.", "Choose one of the page.")
            }
            Self::Provider(_) => told(
                StatusCode::BAD_GATEWAY,
                "The sign-in provider does not answer as it should.",
                LATER,
            ),
            Self::Stale => told(
                StatusCode::BAD_REQUEST,
                "This sign-in was not begun in this browser, or it took longer than ten minutes, \
                 or another one was begun since.",
                AGAIN,
            ),
            Self::Spent => told(StatusCode::BAD_REQUEST, "This sign-in was used already.", AGAIN),
            Self::Full => told(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many people are signing in at this moment.",
                LATER,
            ),
            Self::Malformed | Self::MixUp | Self::Token(_) | Self::Claims(_) => told(
                StatusCode::BAD_REQUEST,
                "What the sign-in provider answered cannot be trusted.",
                AGAIN,
            ),
            Self::Declined => told(
                StatusCode::FORBIDDEN,
                "The sign-in was cancelled at the provider.",
                "Sign in again, or sign in another way.",
            ),
            Self::Refused(_) => {
                told(StatusCode::BAD_REQUEST, "The sign-in provider has refused.", AGAIN)
            }
            Self::NoEmail => told(
                StatusCode::FORBIDDEN,
                "The sign-in provider does not say that your e-mail address is verified.",
                "Verify it there and sign in again.",
            ),
            Self::Domain => told(
                StatusCode::FORBIDDEN,
                "Your e-mail address is not one of those that may sign in here.",
                ASK,
            ),
            Self::NoAccount => {
                told(StatusCode::FORBIDDEN, "You have no account on this installation.", ASK)
            }
            Self::Taken => told(
                StatusCode::FORBIDDEN,
                "The account with your e-mail address is connected with somebody else at this \
                 provider.",
                ASK,
            ),
            Self::Disabled => told(StatusCode::FORBIDDEN, "This account is disabled.", ASK),
            Self::Store(_) | Self::Internal(_) => {
                told(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.", LATER)
            }
        }
    }
}

impl From<KeyError> for OidcError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Fetch(error) => Self::Provider(error),
            KeyError::Token(error) => Self::Token(error),
        }
    }
}
