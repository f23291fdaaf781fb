//! The first key: made once for the operator and written to a file that only its owner may read.
//! Nothing else ever holds its text.

use std::{
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_store::{
    Adding, Store, StoreError,
    api_keys::{HasherError, NewApiKey},
};
use rigbox_types::{AccountId, ApiKeyId, KeyScopes, limits::API_KEYS_MAX_COUNT};
use secrecy::ExposeSecret as _;

use super::{ApiKey, hasher};
use crate::source::{NoRandom, random};

/// Name of the key that is made.
const NAME: &str = "bootstrap";

/// What [`bootstrap`] found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bootstrap {
    /// The file's key opens the operator's account.
    Kept(AccountId),
    /// There was no such file, or another installation's: it has a new key now.
    Made(AccountId),
}

/// Why there is no first key.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store said no.
    #[error("make the operator's account and key")]
    Store(#[from] StoreError),
    /// The hashing key could not be had.
    #[error("read the hashing key")]
    Hasher(#[from] HasherError),
    /// The file system said no.
    #[error("read or write {path}")]
    File {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No random bytes.
    #[error("make a key")]
    Random(#[from] NoRandom),
}

/// Sees to it that there is an operator, and that `key_file` has a key of theirs. `secrets` is the
/// directory of the installation's own secrets.
///
/// # Errors
/// As [`BootstrapError`].
pub async fn bootstrap(
    store: &Store,
    secrets: &Utf8Path,
    key_file: &Utf8Path,
) -> Result<Bootstrap, BootstrapError> {
    let candidate = AccountId::from_random(random()?);
    let account = store.accounts().ensure_operator(candidate).await?.id;
    let hasher = hasher(secrets)?;
    let file_error = |source| BootstrapError::File { path: key_file.to_owned(), source };
    let held = match tokio::fs::read_to_string(key_file).await {
        Ok(text) => text.trim().parse::<ApiKey>().ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(file_error(source)),
    };
    if let Some(key) = held {
        let found = store.api_keys().find_by_prefix(key.prefix()).await?;
        if found.is_some_and(|row| row.account == account && hasher.hash(key.text()) == row.hash) {
            return Ok(Bootstrap::Kept(account));
        }
    }
    let key = ApiKey::new()?;
    // The file first: a key that nobody holds would stay valid for ever.
    let line = format!("{}\n", key.text().expose_secret());
    write_secret(key_file, line.as_bytes()).map_err(file_error)?;
    let new = NewApiKey {
        id: ApiKeyId::from_random(random()?),
        account,
        prefix: key.prefix().to_owned(),
        hash: hasher.hash(key.text()),
        name: Some(NAME.to_owned()),
        expires_at: None,
        scopes: KeyScopes::full(),
    };
    // Whoever may write the file must get in, also where as many keys were lost as there may be.
    store.api_keys().make_room(account, API_KEYS_MAX_COUNT.saturating_sub(1)).await?;
    store.api_keys().insert(&new, Adding::at_most(API_KEYS_MAX_COUNT)).await?;
    Ok(Bootstrap::Made(account))
}

/// Writes a file that only its owner may read, whole or not at all. Called once per installation,
/// before anything is served, so it may block.
fn write_secret(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let aside = Utf8PathBuf::from(format!("{path}.new"));
    // What a crash left behind may have another owner or mode.
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    let parent = path.parent().unwrap_or_else(|| Utf8Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}
