//! Gives the vault a new key, and every row with it.
//! Invariant: the file has, at every moment, every generation that a row is encrypted with: the new one is
//! on disk before a row has it, and the old ones go when no row has them. What was cut off is gone on with
//! by the next one.
//!
//! ```text
//! file: 1        ──> file: 1 2      ──> rows: 1 1 1 ──> 2 2 2      ──> file: 2
//! ```

use std::sync::Arc;

use camino::Utf8Path;
use rigbox_store::{OpenError, Store, StoreError, StoreUrl, SystemClock, ai::AiKeyRow};

use super::{
    Vault, VaultError,
    file::{Generations, Lock},
    generation_of, seal,
};

/// Rows that are read at once.
const PAGE: u32 = 200;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The generation that all rows have now.
    pub generation: u32,
    /// Rows that were encrypted anew.
    pub rows: u64,
}

/// Why keys were not rotated, or not to the end: nothing is lost, and another run goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The file, or a row that it does not decrypt.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives the vault in `folder` a new key. Waits for whoever is encrypting; who wants to meanwhile is told to
/// try again. Keys are decrypted as always.
///
/// # Errors
/// As [`RotateError`].
pub async fn rotate(store: &Store, folder: &Utf8Path) -> Result<Rotated, RotateError> {
    let _lock = Lock::exclusive(folder)?;
    let generation = begin(folder)?;
    let rows = encrypt_anew(store, folder, u64::MAX).await?;
    end(folder)?;
    Ok(Rotated { generation, rows })
}

/// The same for a platform that may run or not: its database, and the directory of its secrets.
///
/// # Errors
/// As [`RotateError`].
pub async fn rotate_at(url: &StoreUrl, folder: &Utf8Path) -> Result<Rotated, RotateError> {
    let store = Store::open(url, Arc::new(SystemClock)).await?;
    // Where nobody has ever set a key, there is no file yet.
    Vault::open(folder)?;
    let rotated = rotate(&store, folder).await;
    store.close().await;
    rotated
}

/// The new key is in the file; where a rotation was cut off, it is the one that it had made.
pub(super) fn begin(folder: &Utf8Path) -> Result<u32, VaultError> {
    let mut all = Generations::read(folder)?;
    if all.len() == 1 {
        all = all.with_next()?;
        all.write(folder)?;
    }
    Ok(all.newest().number)
}

/// No row has an old key; `most` rows are changed.
pub(super) async fn encrypt_anew(
    store: &Store,
    folder: &Utf8Path,
    most: u64,
) -> Result<u64, RotateError> {
    let (vault, all) = (Vault::open(folder)?, Generations::read(folder)?);
    let newest = all.newest();
    let (mut rows, mut last) = (0, None::<AiKeyRow>);
    loop {
        let page = store.ai().keys_after(last.as_ref(), PAGE).await?;
        for row in &page {
            if generation_of(&row.sealed) == Some(newest.number) || rows == most {
                continue;
            }
            let key = vault.unseal(&row.place, row.provider, &row.sealed)?;
            let anew = seal(newest, &row.place, (row.provider, &key))?;
            // A row that is gone or was forgotten meanwhile needs nothing: nobody else encrypts.
            if store.ai().key_reseal(row, &anew).await? {
                rows += 1;
            }
        }
        match page.into_iter().last() {
            Some(row) => last = Some(row),
            None => return Ok(rows),
        }
    }
}

/// The old keys are gone.
pub(super) fn end(folder: &Utf8Path) -> Result<(), VaultError> {
    Generations::read(folder)?.newest_alone().write(folder)
}
