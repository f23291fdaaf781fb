//! Who asks: API keys, known by a keyed hash.
//! Owns a small cache of keys that were just verified. The hashing key lies outside the database,
//! so that a stolen database opens nothing.
//! Invariants: deny by default; a key's text is never stored, logged or compared in a time that
//! depends on it; the hash covers what a key is narrowed to, so that a key whose scopes are lost or
//! changed opens nothing, and a program that does not know of scopes refuses it.
//! Does not decide what the caller may do.

mod bootstrap;
mod cache;
mod key;
mod revoke;

use camino::Utf8Path;
use http::{HeaderMap, header};
use rigbox_store::{
    Store, StoreError,
    api_keys::{HasherError, KeyHash, KeyHasher, NewApiKey},
};
use rigbox_types::{AccountId, ApiKeyId, KeyScopes, Principal, api::error::ErrorCode};
use secrecy::{ExposeSecret as _, SecretString};

pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};
pub(crate) use key::ApiKey;
pub(crate) use revoke::revoke;

use crate::{
    error::{ApiError, ApiResult},
    source::{now, random},
};
use cache::{Cache, Verified};

/// File of the hashing key within the directory of secrets.
const HASHING_KEY: &str = "api-keys.key";

/// Knows callers by their credentials.
pub(crate) struct Authenticator {
    hasher: KeyHasher,
    cache: Cache,
}

/// Reads the hashing key of an installation, or makes it at the first start.
pub(crate) fn hasher(secrets: &Utf8Path) -> Result<KeyHasher, HasherError> {
    KeyHasher::load_or_create(&secrets.join(HASHING_KEY))
}

impl Authenticator {
    pub(crate) fn new(hasher: KeyHasher) -> Self {
        Self { hasher, cache: Cache::new() }
    }

    /// Who sent a request with these headers.
    pub(crate) async fn principal(
        &self,
        store: &Store,
        headers: &HeaderMap,
    ) -> ApiResult<Principal> {
        let key = bearer(headers)?;
        if let Some(principal) = self.cache.find(&key, now()) {
            return Ok(principal);
        }
        let reading = self.cache.reading();
        let found = store.api_keys().find_by_prefix(key.prefix()).await?;
        let row = found.filter(|row| self.hash(&key, &row.scopes) == row.hash).ok_or_else(wrong)?;
        if row.expires_at.is_some_and(|end| end <= now()) {
            return Err(ApiError::new(ErrorCode::Unauthenticated, "this API key has ended"));
        }
        check_enabled(store, row.account).await?;
        if let Err(error) = store.api_keys().used(&row).await {
            // A note for people; no reason to refuse.
            tracing::warn!(%error, "the use of an API key was not noted");
        }
        let principal = Principal::Key {
            key: row.id,
            account: row.account,
            standing: row.standing,
            scopes: row.scopes,
        };
        let (id, expires_at) = (row.id, row.expires_at);
        self.cache.keep(&key, Verified { id, principal: principal.clone(), expires_at }, reading);
        Ok(principal)
    }

    /// Whether somebody who was known before would be known again: the key is there and goes on.
    pub(crate) async fn is_known(&self, store: &Store, who: &Principal) -> ApiResult<bool> {
        let Principal::Key { key, account, .. } = who else { return Ok(true) };
        match store.api_keys().get(*account, *key).await {
            Ok(row) => Ok(row.expires_at.is_none_or(|end| end > now())),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
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

    /// Believes a key no more without asking the store; all of them where none is named.
    pub(crate) fn forget(&self, id: Option<ApiKeyId>) {
        self.cache.forget(id);
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

/// Refuses whoever acts for an account that is disabled.
pub(crate) async fn check_enabled(store: &Store, account: AccountId) -> ApiResult<()> {
    if store.accounts().get(account).await?.profile.disabled_at.is_some() {
        let text = "this account is disabled: ask whoever runs this installation";
        return Err(ApiError::new(ErrorCode::Unauthenticated, text));
    }
    Ok(())
}

/// The key that a request brings.
pub(crate) fn bearer(headers: &HeaderMap) -> ApiResult<ApiKey> {
    let missing = || {
        ApiError::new(
            ErrorCode::Unauthenticated,
            "credentials are missing: send the header 'Authorization: Bearer rb_…'",
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(wrong());
    }
    let text = value.to_str().map_err(|_| wrong())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    token.trim().parse().map_err(|_| wrong())
}

fn wrong() -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, "this API key is not valid")
}

#[cfg(test)]
mod tests;
