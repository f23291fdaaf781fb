//! One-time links by which somebody sets their password: the first one, or another one.
//! Invariants: a link is kept as a keyed hash only; it works once, for a day; a newer one ends it.

use std::{str::FromStr, time::Duration};

use rigbox_store::api_keys::KeyHash;
use rigbox_types::{AccountId, Timestamp, api::users::SignInLinkResponse};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    authn::{Authenticator, hex},
    control::Control,
    error::{ApiError, ApiResult},
    source::random,
};

/// How long a link works.
const LIFE: Duration = Duration::from_secs(24 * 3600);

const START: &str = "rbl_";
const SECRET_BYTES: usize = 32;

/// The secret of a link.
pub(crate) struct LinkSecret(SecretString);

/// Text that is no link's secret.
#[derive(Debug, thiserror::Error)]
#[error("not a link's secret")]
pub(crate) struct InvalidLink;

impl LinkSecret {
    /// What is kept of it.
    pub(crate) fn hash(&self, authn: &Authenticator) -> KeyHash {
        authn.hasher.hash(&self.0)
    }

    /// The secret, to be sent to its holder.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl FromStr for LinkSecret {
    type Err = InvalidLink;

    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        let rest = text.strip_prefix(START).ok_or(InvalidLink)?;
        let digits = rest.len() == 2 * SECRET_BYTES && rest.bytes().all(|b| b.is_ascii_hexdigit());
        if digits { Ok(Self(text.to_owned().into())) } else { Err(InvalidLink) }
    }
}

/// Makes a link for an account, and ends those it had.
pub(crate) async fn make(control: &Control, account: AccountId) -> ApiResult<SignInLinkResponse> {
    let person = control.store.passwords().get(account).await?;
    let secret = hex(&random::<SECRET_BYTES>().map_err(ApiError::internal)?);
    let secret = LinkSecret(format!("{START}{secret}").into());
    let life = i64::try_from(LIFE.as_micros()).unwrap_or(i64::MAX);
    let expires_at = Timestamp::from_micros(control.store.now().as_micros().saturating_add(life));
    control.store.passwords().link(account, &secret.hash(&control.authn), expires_at).await?;
    // Whoever has no address yet gives one, too.
    let page = if person.email.is_some() { "password" } else { "setup" };
    let base = control.config.api_url.trim_end_matches('/');
    let url = format!("{base}/{page}?token={}", secret.expose());
    Ok(SignInLinkResponse { url, expires_at })
}
