//! A code for what a provider says of the person: token endpoint, ID token, and the userinfo endpoint
//! where the ID token has no address.
//! Invariant: codes, tokens and the client's secret are in no error and no log.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rigbox_types::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    Provider,
    claims::{self, Expected, Person},
    discovery::{ClientAuth, Metadata},
    error::OidcError,
    fetch::FetchError,
};

/// What a code is exchanged with.
pub(super) struct Exchange<'e> {
    pub(super) code: &'e str,
    pub(super) redirect: &'e str,
    pub(super) verifier: &'e str,
    pub(super) nonce: &'e str,
    pub(super) now: Timestamp,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: SecretString,
    token_type: String,
    id_token: SecretString,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Provider {
    /// Who the code is about.
    pub(super) async fn person(
        &self,
        metadata: &Metadata,
        exchange: Exchange<'_>,
    ) -> Result<Person, OidcError> {
        let tokens = self.tokens(metadata, &exchange).await?;
        let (token, access) =
            (tokens.id_token.expose_secret(), tokens.access_token.expose_secret());
        let place = (&self.fetcher, &metadata.keys);
        let (payload, algorithm) = self.keys.verify(token, &metadata.algorithms, place).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: exchange.nonce,
            access_token: access,
            algorithm,
            now: exchange.now,
        };
        let person = claims::id_token(&payload, &expected).map_err(OidcError::Claims)?;
        match &metadata.user_info {
            Some(place) if person.email.is_none() => {
                let answer = self.fetcher.get(place, Some(access)).await;
                let answer = answer.map_err(OidcError::Provider)?;
                if !answer.status.is_success() {
                    return Err(OidcError::Provider(FetchError::Status(answer.status)));
                }
                let document = answer.document().map_err(OidcError::Provider)?;
                claims::user_info(document, &person.subject).map_err(OidcError::Claims)
            }
            _ => Ok(person),
        }
    }

    async fn tokens(
        &self,
        metadata: &Metadata,
        exchange: &Exchange<'_>,
    ) -> Result<Tokens, OidcError> {
        let id = self.settings.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code),
            ("redirect_uri", exchange.redirect),
            ("code_verifier", exchange.verifier),
        ];
        let mut authorization = None;
        match &self.secret {
            None => form.push(("client_id", id)),
            Some(secret) => match metadata.client_auth()? {
                ClientAuth::Basic => authorization = Some(basic(id, secret.expose_secret())),
                ClientAuth::Post => {
                    form.extend([("client_id", id), ("client_secret", secret.expose_secret())]);
                }
            },
        }
        let form = serde_urlencoded::to_string(form)
            .map_err(|_| OidcError::Provider(FetchError::Request))?;
        let answer = self.fetcher.post(&metadata.token, authorization.as_deref(), form).await;
        let answer = answer.map_err(OidcError::Provider)?;
        if answer.status.is_client_error() {
            // RFC 6749 5.2. A code that has ended is the person's affair, all else the operator's.
            let refusal = answer.document::<Refusal>().map_err(OidcError::Provider)?;
            return Err(match refusal.error.as_str() {
                "invalid_grant" => OidcError::Refused("invalid_grant"),
                _ => OidcError::Provider(FetchError::Status(answer.status)),
            });
        }
        if !answer.status.is_success() {
            return Err(OidcError::Provider(FetchError::Status(answer.status)));
        }
        let tokens: Tokens = answer.document().map_err(OidcError::Provider)?;
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(OidcError::Provider(FetchError::Document));
        }
        Ok(tokens)
    }
}

/// RFC 6749 2.3.1: both are form-encoded first.
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| {
        let pair = serde_urlencoded::to_string([("", text)]).unwrap_or_default();
        pair.trim_start_matches('=').to_owned()
    };
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}
