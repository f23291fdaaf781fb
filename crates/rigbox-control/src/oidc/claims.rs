//! What a provider says of a person: the claims of an ID token (OpenID Connect Core 3.1.3.7) and of
//! the userinfo endpoint.
//! Invariant: a person is (issuer, subject) and nothing else; an address counts only where the
//! provider says that it has verified it.
//! Does not check signatures (see `keys`).

use rigbox_types::{Email, Timestamp};
use ring::digest;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::jws::{Algorithm, decode};

/// How far clocks may be apart, in seconds.
const SKEW_S: i64 = 60;
/// How old a token may be that was made for this sign-in, in seconds.
const TOKEN_AGE_MAX_S: i64 = 600;
/// Longest subject (OpenID Connect Core 2: 255 ASCII characters).
const SUBJECT_MAX_LEN: usize = 255;
/// Longest name of a person that is taken over, in characters.
const NAME_MAX_CHARS: usize = 100;

/// Why an ID token says nothing about the person in front of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidClaims {
    /// No such document.
    #[error("the claims are malformed")]
    Form,
    /// Of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// For another client, or for others as well.
    #[error("the token is for another client")]
    Audience,
    /// Too old, or from the future.
    #[error("the token has ended, or is not from now")]
    Time,
    /// For another sign-in.
    #[error("the token belongs to another sign-in")]
    Nonce,
    /// The access token beside it is another one.
    #[error("the token belongs to another access token")]
    AccessToken,
    /// No subject, or one that no provider may have.
    #[error("the token names nobody")]
    Subject,
}

/// What the token must agree with.
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    pub(super) nonce: &'e str,
    pub(super) access_token: &'e str,
    pub(super) algorithm: Algorithm,
    pub(super) now: Timestamp,
}

/// Who somebody is to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The provider's own name for them, which never changes.
    pub(crate) subject: String,
    /// Their address, where the provider has verified it.
    pub(crate) email: Option<Email>,
    /// Their name.
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Seconds,
    iat: Seconds,
    #[serde(default)]
    nbf: Option<Seconds>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    at_hash: Option<String>,
    #[serde(flatten)]
    about: About,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    about: About,
}

/// Claims that both have.
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Flag>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Seconds since 1970, which some providers write with a fraction.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Seconds {
    Whole(i64),
    Fraction(f64),
}

/// Some providers write a boolean as a word. Anything else than yes is no.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Word(String),
}

/// Reads the claims of an ID token whose signature was checked.
pub(super) fn id_token(payload: &[u8], expected: &Expected<'_>) -> Result<Person, InvalidClaims> {
    let token: IdToken = serde_json::from_slice(payload).map_err(|_| InvalidClaims::Form)?;
    if token.iss != expected.issuer {
        return Err(InvalidClaims::Issuer);
    }
    check_audience(&token, expected.client_id)?;
    check_times(&token, expected.now)?;
    let nonce = token.nonce.as_deref().unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(InvalidClaims::Nonce);
    }
    if let Some(hash) = &token.at_hash
        && decode(hash).ok() != Some(half_hash(expected.access_token, expected.algorithm))
    {
        return Err(InvalidClaims::AccessToken);
    }
    person(token.sub, token.about)
}

/// Reads the answer of the userinfo endpoint, which must be about the same subject.
pub(super) fn user_info(answer: serde_json::Value, subject: &str) -> Result<Person, InvalidClaims> {
    let info: UserInfo = serde_json::from_value(answer).map_err(|_| InvalidClaims::Form)?;
    if info.sub != subject {
        return Err(InvalidClaims::Subject);
    }
    person(info.sub, info.about)
}

/// We trust nobody else with a token that signs a person in here: no second audience.
fn check_audience(token: &IdToken, client_id: &str) -> Result<(), InvalidClaims> {
    let is_ours = match &token.aud {
        Audience::One(one) => one == client_id,
        Audience::Many(many) => matches!(many.as_slice(), [one] if one == client_id),
    };
    let is_for_us = token.azp.as_deref().is_none_or(|party| party == client_id);
    if is_ours && is_for_us { Ok(()) } else { Err(InvalidClaims::Audience) }
}

fn check_times(token: &IdToken, now: Timestamp) -> Result<(), InvalidClaims> {
    let now = now.as_micros().div_euclid(1_000_000);
    let (expires, issued) = (token.exp.whole()?, token.iat.whole()?);
    let starts = token.nbf.map(Seconds::whole).transpose()?.unwrap_or(issued);
    let has_ended = expires.saturating_add(SKEW_S) <= now;
    let is_early = issued.max(starts) > now.saturating_add(SKEW_S);
    let is_old = issued.saturating_add(TOKEN_AGE_MAX_S + SKEW_S) < now;
    if has_ended || is_early || is_old { Err(InvalidClaims::Time) } else { Ok(()) }
}

/// The left half of the access token's hash, by the hash of the signature's algorithm.
fn half_hash(access_token: &str, algorithm: Algorithm) -> Vec<u8> {
    let hash = match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => &digest::SHA256,
        Algorithm::EdDsa => &digest::SHA512,
    };
    let whole = digest::digest(hash, access_token.as_bytes());
    whole.as_ref().iter().copied().take(whole.as_ref().len() / 2).collect()
}

fn person(subject: String, about: About) -> Result<Person, InvalidClaims> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if subject.is_empty() || subject.len() > SUBJECT_MAX_LEN || !subject.bytes().all(is_plain) {
        return Err(InvalidClaims::Subject);
    }
    let verified = match about.email_verified {
        Some(Flag::Bool(flag)) => flag,
        Some(Flag::Word(word)) => word == "true",
        None => false,
    };
    let email = about.email.filter(|_| verified).and_then(|email| email.parse().ok());
    let name = about.name.map(|name| {
        let visible = name.chars().filter(|sign| !sign.is_control()).take(NAME_MAX_CHARS);
        visible.collect::<String>().trim().to_owned()
    });
    Ok(Person { subject, email, name: name.filter(|name| !name.is_empty()) })
}

impl Seconds {
    fn whole(self) -> Result<i64, InvalidClaims> {
        match self {
            Self::Whole(seconds) => Ok(seconds),
            Self::Fraction(seconds) => {
                // As text, because a cast would take anything for some number.
                format!("{:.0}", seconds.floor()).parse().map_err(|_| InvalidClaims::Time)
            }
        }
    }
}

#[cfg(test)]
mod tests;
