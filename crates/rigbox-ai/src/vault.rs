//! The keys that owners have at providers, encrypted: AES-256-GCM with a key of a file that is not in the
//! database. Owner of `ai.key`.
//! Invariants: what was encrypted for one account, workspace and provider is not decrypted for another; a
//! nonce is random and used once; the file holds every generation that a row may still be encrypted with
//! (see `rotate`), and whoever encrypts holds a lock until the row is in the database, so that no row is
//! written with a generation that goes meanwhile; a key is never shown.
//! Does not read or write rows, but for a rotation.
//!
//! ```text
//! file:  <generation> <key, 64 hexadecimal digits>      one line a generation, the last one encrypts
//! row:   format (1 byte) | generation (4, big endian) | nonce (12) | key and tag
//! ```

mod file;
mod rotate;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, RwLock},
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_store::ai::{AiKeyPlace, SealedKey};
use rigbox_types::{WorkspaceId, api::ai::AiProvider};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretString};

use file::{Generation, Generations, Lock};
pub use rotate::{RotateError, Rotated, rotate, rotate_at};

/// The form of a row.
const FORMAT: u8 = 1;

/// Encrypts and decrypts.
pub struct Vault {
    folder: Utf8PathBuf,
    /// As the file was last read. A generation that is not among these is looked for in the file.
    known: RwLock<Arc<Generations>>,
}

/// Encrypts, and lets no rotation end as long as it is there: hold it until the row is written.
pub struct Sealing {
    generations: Generations,
    _lock: Lock,
}

/// As long as it is there, rows and file are of one moment: for backups.
pub struct Hold {
    _lock: Option<Lock>,
}

/// Holds rotations off; who encrypts goes on.
///
/// # Errors
/// [`VaultError::Rotating`].
pub fn hold(folder: &Utf8Path) -> Result<Hold, VaultError> {
    Ok(Hold { _lock: Lock::held(folder)? })
}

/// Why not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The file could not be read or written.
    #[error("key file {path}")]
    File {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("key file {path} has mode {mode:o}; it must be 0600")]
    Exposed {
        /// Which file.
        path: Utf8PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "key file {path}, line {line}: must be a number and 64 hexadecimal digits, and no more"
    )]
    Form {
        /// Which file.
        path: Utf8PathBuf,
        /// Where.
        line: usize,
    },
    /// Somebody rotates keys, which takes seconds.
    #[error("the keys are being rotated; try again")]
    Rotating,
    /// There is no randomness, or a key is too long.
    #[error("encrypt")]
    Seal,
    /// The row is of another place, or the file of another installation.
    #[error(
        "{what} cannot be decrypted with {path}: put back the file that was there when it was set; a \
         backup has it"
    )]
    Open {
        /// What it is said to be.
        what: String,
        /// The file.
        path: Utf8PathBuf,
    },
}

impl Vault {
    /// Reads the file in the directory of the installation's own secrets, or makes it at the first start.
    ///
    /// # Errors
    /// As [`VaultError`].
    pub fn open(folder: &Utf8Path) -> Result<Self, VaultError> {
        let known = RwLock::new(Arc::new(Generations::read_or_make(folder)?));
        Ok(Self { folder: folder.to_owned(), known })
    }

    /// Begins to encrypt.
    ///
    /// # Errors
    /// [`VaultError::Rotating`], and as [`Vault::open`].
    pub fn sealing(&self) -> Result<Sealing, VaultError> {
        let lock = Lock::shared(&self.folder)?;
        // Read behind the lock: a rotation may have begun since it was read last.
        Ok(Sealing { generations: Generations::read(&self.folder)?, _lock: lock })
    }

    /// Decrypts a key.
    ///
    /// # Errors
    /// [`VaultError::Open`] for a row of another place or installation.
    pub fn unseal(
        &self,
        place: &AiKeyPlace,
        provider: AiProvider,
        sealed: &SealedKey,
    ) -> Result<SecretString, VaultError> {
        let broken =
            || VaultError::Open { what: about(place, provider), path: file::path(&self.folder) };
        let generation = generation_of(sealed).ok_or_else(broken)?;
        let known = self.known();
        if let Some(generation) = known.get(generation) {
            return open(generation, place, (provider, sealed)).ok_or_else(broken);
        }
        // Rotated by another process since the file was read.
        let read = Arc::new(Generations::read(&self.folder)?);
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = read.clone();
        let generation = read.get(generation).ok_or_else(broken)?;
        open(generation, place, (provider, sealed)).ok_or_else(broken)
    }

    fn known(&self) -> Arc<Generations> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Sealing {
    /// Encrypts a key for one place and provider.
    ///
    /// # Errors
    /// [`VaultError::Seal`].
    pub fn seal(
        &self,
        place: &AiKeyPlace,
        provider: AiProvider,
        key: &SecretString,
    ) -> Result<SealedKey, VaultError> {
        seal(self.generations.newest(), place, (provider, key))
    }
}

fn seal(
    generation: &Generation,
    place: &AiKeyPlace,
    (provider, key): (AiProvider, &SecretString),
) -> Result<SealedKey, VaultError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::Seal)?;
    let mut sealed = key.expose_secret().as_bytes().to_vec();
    cipher(generation)
        .ok_or(VaultError::Seal)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(about(place, provider)),
            &mut sealed,
        )
        .map_err(|_| VaultError::Seal)?;
    let number = generation.number.to_be_bytes();
    Ok(SealedKey([&[FORMAT], number.as_slice(), &nonce, &sealed].concat()))
}

/// None for a row that was not encrypted for this place with this generation.
fn open(
    generation: &Generation,
    place: &AiKeyPlace,
    (provider, sealed): (AiProvider, &SealedKey),
) -> Option<SecretString> {
    let (_, _, rest) = split(sealed)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut rest = rest.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let about = Aad::from(about(place, provider));
    let opened = cipher(generation)?.open_in_place(nonce, about, &mut rest).ok()?;
    String::from_utf8(opened.to_vec()).ok().map(SecretString::from)
}

fn cipher(generation: &Generation) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, generation.key.expose_secret()).ok()?;
    Some(LessSafeKey::new(key))
}

/// The generation that a row is encrypted with.
fn generation_of(sealed: &SealedKey) -> Option<u32> {
    split(sealed).map(|(_, generation, _)| generation)
}

fn split(sealed: &SealedKey) -> Option<(u8, u32, &[u8])> {
    let (format, rest) = sealed.0.split_first()?;
    let (generation, rest) = rest.split_first_chunk::<4>()?;
    (*format == FORMAT).then(|| (*format, u32::from_be_bytes(*generation), rest))
}

/// What is encrypted, which is checked with it. Neither an id nor a name of a provider has a space.
fn about(place: &AiKeyPlace, provider: AiProvider) -> String {
    let of = place.workspace.as_ref().map_or("all workspaces", WorkspaceId::as_str);
    format!("the key of account {} at {} for {of}", place.account, provider.as_str())
}
