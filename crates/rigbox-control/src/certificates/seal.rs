//! Encrypts what the database keeps of certificates and of keys of SSH: AES-256-GCM, with a key of a file beside it.
//! Invariants: what was encrypted for one use and name is not decrypted for another; a nonce is
//! random and used once.

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_store::api_keys::{HasherError, KeyHasher};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::source::{NoRandom, random};

/// The key's file, in the directory of the installation's own secrets.
const FILE: &str = "certificates.key";

/// Encrypts and decrypts.
pub(crate) struct Sealer {
    key: LessSafeKey,
    path: Utf8PathBuf,
}

/// What is encrypted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Ca,
    Certificate,
    Account,
    Ticket,
    Ssh,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    File(#[from] HasherError),
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("encrypt")]
    Seal,
    #[error(
        "{what} cannot be decrypted with {path}: put back the file that was there when it was made; \
         a backup has it"
    )]
    Open { what: String, path: Utf8PathBuf },
}

impl Sealer {
    /// Reads the key, or makes it at the first start.
    pub(crate) fn open(secrets: &Utf8Path) -> Result<Self, SealError> {
        let path = secrets.join(FILE);
        // One key for each use of a file: this one is of this use alone.
        let bytes = KeyHasher::load_or_create(&path)?.tag("seal", "certificates");
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Seal)?;
        Ok(Self { key: LessSafeKey::new(key), path })
    }

    pub(crate) fn seal(&self, of: Use, name: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = secret.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(about(of, name)),
                &mut sealed,
            )
            .map_err(|_| SealError::Seal)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn unseal(&self, of: Use, name: &str, sealed: &[u8]) -> Result<String, SealError> {
        let broken = || SealError::Open { what: about(of, name), path: self.path.clone() };
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(about(of, name)), &mut rest);
        let opened = opened.map_err(|_| broken())?;
        String::from_utf8(opened.to_vec()).map_err(|_| broken())
    }
}

fn about(of: Use, name: &str) -> String {
    let of = match of {
        Use::Ca => "the key of the local CA of",
        Use::Certificate => "the key of certificate",
        Use::Account => "the account with",
        Use::Ticket => "the key of session tickets",
        Use::Ssh => "the key of SSH",
    };
    format!("{of} {name}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_encrypted_is_read_back_for_the_same_use_with_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let sealed = Sealer::open(path).unwrap().seal(Use::Ca, "a.example", b"secret").unwrap();
        let sealer = Sealer::open(path).unwrap();
        assert_eq!(sealer.unseal(Use::Ca, "a.example", &sealed).unwrap(), "secret");
        assert!(sealer.unseal(Use::Account, "a.example", &sealed).is_err());
        assert!(sealer.unseal(Use::Ca, "b.example", &sealed).is_err());
        assert!(sealer.unseal(Use::Ca, "a.example", &sealed[..5]).is_err());
        let mode = path.join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(path.join(FILE)).unwrap();
        let other = Sealer::open(path).unwrap().unseal(Use::Ca, "a.example", &sealed).unwrap_err();
        assert!(other.to_string().contains("the local CA of a.example cannot be decrypted"));
    }
}
