//! The authorization code flow (OpenID Connect Core 3.1) with PKCE, between a browser and a provider.
//!
//! ```text
//! begin: browser gets a ticket (cookie) and goes to the provider with state, nonce and challenge
//! finish: ticket + state -> ticket is spent -> issuer -> code for tokens -> ID token -> person
//! ```
//!
//! Invariants: state, nonce and verifier are derived from the ticket's seed by our key, so that what
//! is in an address does not make a ticket; an answer counts only in the browser that holds the
//! ticket, only from the provider that was asked, and once, whatever comes of it.
//! Does not decide whose account a person gets (see `account`).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rigbox_store::{Store, tickets::Spent};
use rigbox_types::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    Oidc, Provider,
    claims::Person,
    error::OidcError,
    ticket::{self, Use},
};
use crate::source::random;

/// Longest query of the way back: codes of some providers have 2 KiB.
const QUERY_MAX_LEN: usize = 8 * 1024;

/// Reasons of a refusal (RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6), to be known by in the log.
const REASONS: [&str; 10] = [
    "invalid_request",
    "unauthorized_client",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "account_selection_required",
    "consent_required",
];

/// What the browser carries to the provider and back.
#[derive(Serialize, Deserialize)]
struct Ticket {
    provider: String,
    seed: String,
    next: String,
}

impl Use for Ticket {
    const NAME: &'static str = "oidc-flow";
}

/// A sign-in that has begun.
pub(crate) struct Begun {
    /// Where the browser goes.
    pub(crate) location: String,
    /// What it keeps meanwhile.
    pub(crate) ticket: String,
}

/// Somebody whom a provider knows.
#[derive(Debug)]
pub(crate) struct Arrived<'o> {
    /// Who says so.
    pub(crate) provider: &'o Provider,
    /// Who they are to it.
    pub(crate) person: Person,
    /// Where they wanted to go.
    pub(crate) next: String,
}

/// The parameters of the way back.
#[derive(Debug, Default)]
struct Answer {
    code: Option<String>,
    state: Option<String>,
    issuer: Option<String>,
    error: Option<String>,
}

impl Oidc {
    /// Sends a browser to a provider, and from there on to `next`, which was checked.
    pub(crate) async fn begin(
        &self,
        name: &str,
        (next, now): (&str, Timestamp),
    ) -> Result<Begun, OidcError> {
        let provider = self.provider(name)?;
        let metadata = provider.metadata().await?;
        let seed = random::<32>().map_err(|error| OidcError::Internal(error.into()))?;
        let seed = URL_SAFE_NO_PAD.encode(seed);
        let challenge = Sha256::digest(self.derive("oidc-verifier", &seed).as_bytes());
        let location = metadata.authorization.with_query(&[
            ("response_type", "code"),
            ("client_id", &provider.settings.client_id),
            ("redirect_uri", &self.redirect(name)),
            ("scope", &provider.settings.scopes.join(" ")),
            ("state", &self.derive("oidc-state", &seed)),
            ("nonce", &self.derive("oidc-nonce", &seed)),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
        ]);
        let what = Ticket { provider: name.to_owned(), seed, next: next.to_owned() };
        let ticket = ticket::sign(&self.key, what, now).ok_or(OidcError::Malformed)?;
        let location = location.map_err(|error| OidcError::Internal(error.into()))?;
        Ok(Begun { location, ticket })
    }

    /// Takes what a provider has sent back by a browser.
    pub(crate) async fn finish(
        &self,
        store: &Store,
        name: &str,
        (query, ticket): (&str, Option<&str>),
    ) -> Result<Arrived<'_>, OidcError> {
        let provider = self.provider(name)?;
        let answer = read(query)?;
        let ticket: Ticket = ticket
            .and_then(|ticket| ticket::read(&self.key, ticket, store.now()))
            .filter(|ticket: &Ticket| ticket.provider == name)
            .ok_or(OidcError::Stale)?;
        let state = answer.state.as_deref().unwrap_or_default();
        if !is_same(state, &self.derive("oidc-state", &ticket.seed)) {
            return Err(OidcError::Stale);
        }
        // From here on this sign-in is over, one way or the other.
        match store.tickets().spend(&self.key.tag("oidc-spent", &ticket.seed)).await? {
            Spent::Now => {}
            Spent::Before => return Err(OidcError::Spent),
            Spent::TooMany => return Err(OidcError::Full),
        }
        let metadata = provider.metadata().await?;
        match answer.issuer.as_deref() {
            Some(issuer) if issuer == provider.settings.issuer => {}
            None if !metadata.names_issuer => {}
            Some(_) | None => return Err(OidcError::MixUp),
        }
        if let Some(error) = answer.error {
            return Err(refusal(&error));
        }
        let code = answer.code.ok_or(OidcError::Malformed)?;
        let exchange = super::token::Exchange {
            code: &code,
            redirect: &self.redirect(name),
            verifier: &self.derive("oidc-verifier", &ticket.seed),
            nonce: &self.derive("oidc-nonce", &ticket.seed),
            now: store.now(),
        };
        let person = provider.person(&metadata, exchange).await?;
        Ok(Arrived { provider, person, next: ticket.next })
    }

    /// What belongs to a seed, for one use.
    fn derive(&self, use_of_it: &'static str, seed: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.key.tag(use_of_it, seed))
    }
}

/// Reads the query of the way back. A parameter that is there twice is an answer to nothing.
fn read(query: &str) -> Result<Answer, OidcError> {
    if query.len() > QUERY_MAX_LEN {
        return Err(OidcError::Malformed);
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| OidcError::Malformed)?;
    let mut answer = Answer::default();
    for (name, value) in pairs {
        let place = match name.as_str() {
            "code" => &mut answer.code,
            "state" => &mut answer.state,
            "iss" => &mut answer.issuer,
            "error" => &mut answer.error,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(OidcError::Malformed);
        }
    }
    Ok(answer)
}

fn refusal(error: &str) -> OidcError {
    if error == "access_denied" {
        return OidcError::Declined;
    }
    let known = REASONS.into_iter().find(|known| *known == error);
    OidcError::Refused(known.unwrap_or("another reason"))
}

fn is_same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
