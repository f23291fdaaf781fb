//! HMAC-SHA-256 of API keys. Owns the hashing key, which lies in a file beside the database, not in
//! it. A fast hash is enough: an API key is random, not chosen by a person.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::StoreError;

/// Bytes of the hashing key and of a hash.
const LEN: usize = 32;

/// Permission bits that the key's file must not have.
const OTHERS: u32 = 0o077;

/// The keyed hash of an API key.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; LEN]);

/// Hashes API keys.
pub struct KeyHasher(SecretBox<[u8; LEN]>);

/// Why there is no hashing key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HasherError {
    /// The file could not be read or made.
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
    #[error("key file {path} must hold {LEN} bytes")]
    Length {
        /// Which file.
        path: Utf8PathBuf,
    },
    /// The system has no random bytes.
    #[error("random bytes of the system")]
    Random(#[source] getrandom::Error),
}

impl KeyHasher {
    /// Reads the hashing key from `path`, or makes it there. Two starts at once end up with one.
    ///
    /// # Errors
    /// As [`HasherError`].
    pub fn load_or_create(path: &Utf8Path) -> Result<Self, HasherError> {
        let failed = |source| HasherError::File { path: path.to_owned(), source };
        if !path.try_exists().map_err(failed)? {
            let mut key = [0; LEN];
            getrandom::fill(&mut key).map_err(HasherError::Random)?;
            create(path, &key).map_err(failed)?;
        }
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(HasherError::Exposed { path: path.to_owned(), mode });
        }
        let bytes = fs::read(path).map_err(failed)?;
        let key = bytes.try_into().map_err(|_| HasherError::Length { path: path.to_owned() })?;
        Ok(Self(SecretBox::new(Box::new(key))))
    }

    /// The hash of a whole API key.
    #[must_use]
    pub fn hash(&self, key: &SecretString) -> KeyHash {
        KeyHash(self.mac(key.expose_secret().as_bytes()))
    }

    /// What proves that this installation has said `text`, for one use of it.
    #[must_use]
    pub fn tag(&self, use_of_it: &'static str, text: &str) -> [u8; LEN] {
        // A use has no NUL in it, so no two uses have a message in common, and no credential either.
        self.mac(format!("{use_of_it}\0{text}").as_bytes())
    }

    /// The keyed hash of what is no secret.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; LEN] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .expect("HMAC takes a key of any length");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

impl KeyHash {
    pub(crate) fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        bytes.try_into().map(Self).map_err(|error: std::array::TryFromSliceError| {
            StoreError::Corrupt { what: "api_keys.hash".to_owned(), source: error.into() }
        })
    }
}

/// Takes the same time wherever the two differ.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// Puts the whole file in place at once; where another process was faster, its file stays.
fn create(path: &Utf8Path, key: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Utf8Path::new("."));
    fs::create_dir_all(dir)?;
    // Two threads or processes at once must not write into the same file.
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("new-{:016x}", u64::from_ne_bytes(random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::File::open(dir)?.sync_all()
}
