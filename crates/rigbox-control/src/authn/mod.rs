//! Who asks: API keys and sessions, known by a keyed hash.
//! Owns a small cache of what was just verified. The hashing key lies outside the database,
//! so that a stolen database opens nothing.
//! Invariants: deny by default; a key's text is never stored, logged or compared in a time that
//! depends on it; the hash covers what a key is narrowed to, so that a key whose scopes are lost or
//! changed opens nothing, and a program that does not know of scopes refuses it.
//! Does not decide what the caller may do.

mod bootstrap;
mod cache;
mod key;
mod presented;
mod revoke;
mod session;

use std::fmt::Write as _;

use ::http::{HeaderMap, HeaderValue};
use camino::Utf8Path;
use rigbox_store::{
    Store, StoreError,
    api_keys::{HasherError, KeyHash, KeyHasher, NewApiKey},
    sessions::{Carrier, Level, SessionRow},
};
use rigbox_types::{
    AccountId, ApiKeyId, Credential, KeyScopes, Principal, Timestamp, api::error::ErrorCode,
};
use secrecy::{ExposeSecret as _, SecretString};

pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};
pub(crate) use key::ApiKey;
pub(crate) use presented::Presented;
pub(crate) use revoke::revoke;
pub(crate) use session::SessionToken;

use crate::{
    error::{ApiError, ApiResult},
    identity::cookies::Cookies,
    source::random,
};
use cache::{Cache, Verified};
use presented::ended;

/// File of the hashing key within the directory of secrets.
const HASHING_KEY: &str = "api-keys.key";

/// How long a browser's session keeps its secret.
const ROTATE_AFTER_S: i64 = 3_600;

/// Knows callers by their credentials.
pub(crate) struct Authenticator {
    pub(crate) hasher: KeyHasher,
    pub(crate) cookies: Cookies,
    cache: Cache,
}

/// Somebody who is known.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// The cookie to send along, where the session's secret was due to be changed.
    pub(crate) renewed: Option<HeaderValue>,
}

/// Reads the hashing key of an installation, or makes it at the first start.
pub(crate) fn hasher(secrets: &Utf8Path) -> Result<KeyHasher, HasherError> {
    KeyHasher::load_or_create(&secrets.join(HASHING_KEY))
}

impl Authenticator {
    pub(crate) fn new(hasher: KeyHasher, cookies: Cookies) -> Self {
        Self { hasher, cookies, cache: Cache::new() }
    }

    /// What a request with these headers brings.
    pub(crate) fn presented(&self, headers: &HeaderMap) -> ApiResult<Presented> {
        Presented::read(headers, &self.cookies)
    }

    /// Who brought it.
    pub(crate) async fn caller(&self, store: &Store, presented: &Presented) -> ApiResult<Caller> {
        if let Some(principal) = self.cache.find(presented, store.now()) {
            return Ok(Caller { principal, renewed: None });
        }
        match presented {
            Presented::Key(key) => self.caller_with_key(store, presented, key).await,
            Presented::Session(token, carrier) => {
                self.caller_in_session(store, presented, (token, *carrier)).await
            }
        }
    }

    async fn caller_with_key(
        &self,
        store: &Store,
        presented: &Presented,
        key: &ApiKey,
    ) -> ApiResult<Caller> {
        let reading = self.cache.reading();
        let found = store.api_keys().find_by_prefix(key.prefix()).await?;
        let row = found.filter(|row| self.hash(key, &row.scopes) == row.hash).ok_or_else(wrong)?;
        if row.expires_at.is_some_and(|end| end <= store.now()) {
            return Err(ApiError::new(ErrorCode::Unauthenticated, "this API key has ended"));
        }
        check_enabled(store, row.account).await?;
        if let Err(error) = store.api_keys().used(&row).await {
            // A note for people; no reason to refuse.
            tracing::warn!(%error, "the use of an API key was not noted");
        }
        let principal = Principal::Key {
            credential: Credential::Key(row.id),
            account: row.account,
            standing: row.standing,
            scopes: row.scopes,
        };
        let verified = Verified { principal: principal.clone(), expires_at: row.expires_at };
        self.cache.keep(presented, verified, reading);
        Ok(Caller { principal, renewed: None })
    }

    async fn caller_in_session(
        &self,
        store: &Store,
        presented: &Presented,
        (token, carrier): (&SessionToken, Carrier),
    ) -> ApiResult<Caller> {
        let reading = self.cache.reading();
        let found = self.find_session(store, token, (carrier, Level::Full)).await?;
        let row = found.ok_or_else(ended)?;
        check_enabled(store, row.account).await?;
        let hash = self.hasher.hash(token.text());
        if let Err(error) = store.sessions().used(&row, &hash).await {
            // At worst it ends earlier than it would have to.
            tracing::warn!(%error, "the use of a session was not noted");
        }
        let principal = Principal::Key {
            credential: Credential::Session(row.id),
            account: row.account,
            standing: row.standing,
            scopes: KeyScopes::full(),
        };
        let renewed = match carrier {
            Carrier::Cookie => self.renew(store, &row, &hash).await?,
            Carrier::Bearer => None,
        };
        if renewed.is_none() {
            // Also looked at again when its secret is due to be changed.
            let until = match carrier {
                Carrier::Cookie => row.ends_at().min(rotates_at(&row)),
                Carrier::Bearer => row.ends_at(),
            };
            let expires_at = Some(until);
            let verified = Verified { principal: principal.clone(), expires_at };
            self.cache.keep(presented, verified, reading);
        }
        Ok(Caller { principal, renewed })
    }

    /// The session that a token opens, if it has come so far and goes on. Ends one whose former secret
    /// is shown after its time: then the one who has the next may not be its owner.
    pub(crate) async fn find_session(
        &self,
        store: &Store,
        token: &SessionToken,
        (carrier, level): (Carrier, Level),
    ) -> ApiResult<Option<SessionRow>> {
        let (hash, now) = (self.hasher.hash(token.text()), store.now());
        let Some(row) = store.sessions().find(token.id()).await? else { return Ok(None) };
        if row.is_shown_again(&hash, now) {
            tracing::warn!(account = %row.account, session = %row.id, "a spent secret was shown");
            match store.sessions().end(row.account, row.id).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let fits = row.carrier == carrier && row.level == level && row.ends_at() > now;
        Ok((row.is_opened_by(&hash, now) && fits).then_some(row))
    }

    /// Gives a browser's session another secret where it is time.
    async fn renew(
        &self,
        store: &Store,
        row: &SessionRow,
        shown: &KeyHash,
    ) -> ApiResult<Option<HeaderValue>> {
        if store.now() < rotates_at(row) {
            return Ok(None);
        }
        let token = SessionToken::new(row.id).map_err(ApiError::internal)?;
        let hash = self.hasher.hash(token.text());
        let renewed = store.sessions().rotate(row, (shown, &hash)).await?;
        Ok(renewed.then(|| self.cookies.set_session(&token)))
    }

    /// Whether somebody who was known before would be known again: the key or session is there and
    /// goes on.
    pub(crate) async fn is_known(&self, store: &Store, who: &Principal) -> ApiResult<bool> {
        let Principal::Key { credential, account, .. } = who else { return Ok(true) };
        let ends_at: Option<Timestamp> = match credential {
            Credential::Key(key) => match store.api_keys().get(*account, *key).await {
                Ok(row) => row.expires_at,
                Err(StoreError::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            },
            Credential::SshKey(key) => match store.ssh_keys().get(*account, *key).await {
                Ok(_) => None,
                Err(StoreError::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            },
            Credential::Session(id) => match store.sessions().find(*id).await? {
                Some(row) if row.level == Level::Full => Some(row.ends_at()),
                Some(_) | None => return Ok(false),
            },
        };
        Ok(ends_at.is_none_or(|end| end > store.now()))
    }

    /// What is kept of a key with these scopes.
    pub(crate) fn hash(&self, key: &ApiKey, scopes: &KeyScopes) -> KeyHash {
        if scopes.is_full() {
            return self.hasher.hash(key.text());
        }
        // A key has no space in it, so this is no other key.
        let text = format!("{} {scopes}", key.text().expose_secret());
        self.hasher.hash(&SecretString::from(text))
    }

    /// Believes a credential no more without asking the store; none at all where none is named.
    pub(crate) fn forget(&self, credential: Option<Credential>) {
        self.cache.forget(credential);
    }

    /// A new key of an account: its text, which is shown once, and its row.
    pub(crate) fn new_key(&self, account: AccountId, name: &str) -> ApiResult<(ApiKey, NewApiKey)> {
        let key = ApiKey::new().map_err(ApiError::internal)?;
        let row = NewApiKey {
            id: ApiKeyId::from_random(random().map_err(ApiError::internal)?),
            account,
            prefix: key.prefix().to_owned(),
            hash: self.hash(&key, &KeyScopes::full()),
            name: Some(name.to_owned()),
            expires_at: None,
            scopes: KeyScopes::full(),
        };
        Ok((key, row))
    }

    /// Believes no key of an account any longer without looking it up: it was disabled.
    pub(crate) fn forget_account(&self, account: AccountId) {
        self.cache.forget_account(account);
    }
}

/// When a browser's session gets another secret.
fn rotates_at(row: &SessionRow) -> Timestamp {
    let after = ROTATE_AFTER_S.saturating_mul(1_000_000);
    Timestamp::from_micros(row.rotated_at.as_micros().saturating_add(after))
}

/// Refuses whoever acts for an account that is disabled.
pub(crate) async fn check_enabled(store: &Store, account: AccountId) -> ApiResult<()> {
    if store.accounts().get(account).await?.profile.disabled_at.is_some() {
        let text = "this account is disabled: ask whoever runs this installation";
        return Err(ApiError::new(ErrorCode::Unauthenticated, text));
    }
    Ok(())
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a `String` cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

fn wrong() -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, "this API key is not valid")
}

#[cfg(test)]
mod tests;
