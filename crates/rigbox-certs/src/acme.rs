//! An authority, and our account with it.
//! Invariants: an account is made only where its terms were agreed to; its key leaves this module
//! only as the text that is to be kept encrypted; a nonce that the authority refuses is asked for
//! anew a bounded number of times.
//! Does not order (see `order`).

use std::time::Duration;

use base64::Engine as _;
use instant_acme::{
    AccountCredentials, CertificateIdentifier, Error, ExternalAccountKey, NewAccount,
};
use rigbox_types::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{AcmeError, Going, Leaf, Problem, Window, moment, wire::Wire};

/// Tries of one request whose nonces are refused; the library makes three requests of each. With
/// every second nonce refused, one request in a billion fails.
const NONCE_TRIES: u32 = 10;

/// Pause before the second try, doubled with each.
const NONCE_PAUSE: Duration = Duration::from_millis(50);

/// Longest of these pauses.
const NONCE_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Who signs, and as whom it knows us.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Where its directory is: an HTTPS address.
    pub directory: String,
    /// Roots by which it is known, in PEM, instead of the system's.
    pub roots: Option<Vec<u8>>,
    /// An address for what it has to tell.
    pub email: Option<String>,
    /// Whether its terms were agreed to.
    pub terms_agreed: bool,
    /// What ties our account to one that we have with it already.
    pub external: Option<ExternalAccount>,
}

/// An account that was made by other ways, such as a page of the authority's.
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// Its id.
    pub id: String,
    /// The key that the authority gave for it, in base64.
    pub key: SecretString,
}

/// An account that can order.
pub struct Account {
    pub(crate) inner: instant_acme::Account,
    pub(crate) wire: Wire,
    pub(crate) directory: String,
}

impl Authority {
    /// Opens the account that was kept, or makes one; then the second value is what is to be kept,
    /// encrypted.
    ///
    /// # Errors
    /// As [`AcmeError`].
    pub fn account<'a>(
        &'a self,
        kept: Option<&'a SecretString>,
    ) -> Going<'a, Result<(Account, Option<SecretString>), AcmeError>> {
        Box::pin(self.open_account(kept))
    }

    async fn open_account(
        &self,
        kept: Option<&SecretString>,
    ) -> Result<(Account, Option<SecretString>), AcmeError> {
        let wire = Wire::new(self.roots.as_deref())?;
        if let Some(kept) = kept {
            let parse = || serde_json::from_str::<AccountCredentials>(kept.expose_secret());
            let credentials = parse().map_err(AcmeError::AccountKey)?;
            let builder = instant_acme::Account::builder_with_http(Box::new(wire.clone()));
            let opened = builder.from_credentials(credentials).await;
            let inner = opened.map_err(|error| self.failed(error, &wire))?;
            return Ok((Account { inner, wire, directory: self.directory.clone() }, None));
        }
        if !self.terms_agreed {
            return Err(AcmeError::Terms);
        }
        let contact = self.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.external.as_ref().map(external_key).transpose()?;
        let made = patiently!({
            let builder = instant_acme::Account::builder_with_http(Box::new(wire.clone()));
            builder.create(&new, self.directory.clone(), external.as_ref()).await
        });
        let (inner, credentials) = made.map_err(|error| self.failed(error, &wire))?;
        let kept = serde_json::to_string(&credentials).map_err(AcmeError::AccountKey)?;
        let account = Account { inner, wire, directory: self.directory.clone() };
        Ok((account, Some(kept.into())))
    }

    fn failed(&self, error: Error, wire: &Wire) -> AcmeError {
        failed(error, wire, &self.directory)
    }
}

impl Account {
    /// When the authority suggests that a certificate is replaced; none where it does not say.
    ///
    /// # Errors
    /// As [`AcmeError`].
    pub async fn renewal(&self, leaf: &Leaf, now: Timestamp) -> Result<Option<Window>, AcmeError> {
        let Some(id) = leaf.id.as_deref().and_then(identifier) else { return Ok(None) };
        match self.inner.renewal_info(&id).await {
            Ok((info, wait)) => {
                let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                Ok(Some(Window {
                    start: moment(info.suggested_window.start),
                    end: moment(info.suggested_window.end),
                    ask_again_at: Timestamp::from_micros(now.as_micros().saturating_add(wait)),
                }))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(crate) fn failed(&self, error: Error) -> AcmeError {
        failed(error, &self.wire, &self.directory)
    }
}

/// The authority's id of a certificate, from how we keep it.
pub(crate) fn identifier(id: &str) -> Option<CertificateIdentifier<'_>> {
    let (authority, serial) = id.split_once('.')?;
    Some(CertificateIdentifier {
        authority_key_identifier: authority.into(),
        serial: serial.into(),
    })
}

/// Authorities give the key in base64 for URLs, with or without padding.
fn external_key(account: &ExternalAccount) -> Result<ExternalAccountKey, AcmeError> {
    let text = account.key.expose_secret().trim().trim_end_matches('=');
    let text = text.replace('+', "-").replace('/', "_");
    let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
    let key = key.map_err(|_| AcmeError::Problem {
        problem: Problem {
            kind: String::new(),
            detail: "the key of the external account is no base64".to_owned(),
            status: None,
        },
        retry_after: None,
    })?;
    Ok(ExternalAccountKey::new(account.id.clone(), &key))
}

fn failed(error: Error, wire: &Wire, directory: &str) -> AcmeError {
    let retry_after = wire.take_retry_after();
    match error {
        Error::Api(problem) => AcmeError::Problem { problem: problem.into(), retry_after },
        Error::Other(source) => AcmeError::Wire { directory: directory.to_owned(), source },
        other => AcmeError::Wire { directory: directory.to_owned(), source: other.into() },
    }
}

/// How often the nonce of one request was refused.
pub(crate) struct Patience {
    tries: u32,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { tries: 1, pause: NONCE_PAUSE }
    }

    /// Whether the request is to be made again: one with a refused nonce has changed nothing.
    pub(crate) fn has_more(&self, error: &Error) -> bool {
        let Error::Api(problem) = error else { return false };
        is_bad_nonce(problem) && self.tries < NONCE_TRIES
    }

    /// Waits before it is.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = NONCE_PAUSE_MAX.min(self.pause * 2);
        self.tries += 1;
    }
}

/// Makes a request again while its nonce is refused. No function with a closure: of such a one the
/// compiler does not see that it may go to another thread.
macro_rules! patiently {
    ($request:expr) => {{
        let mut patience = $crate::acme::Patience::new();
        loop {
            match $request {
                Err(error) if patience.has_more(&error) => patience.pause().await,
                ended => break ended,
            }
        }
    }};
}

pub(crate) use patiently;

fn is_bad_nonce(problem: &instant_acme::Problem) -> bool {
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce")
}
