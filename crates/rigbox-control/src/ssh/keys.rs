//! The region's host key, which all its gateways have, and the authority by whose certificates the
//! workspaces let them in.
//! Invariants: both are made once for an installation and kept encrypted in its database; their private
//! halves go to nobody but a gateway, and that of the authority to nobody at all.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use camino::Utf8Path;
use rigbox_store::{Store, StoreError};
use rigbox_types::{RegionName, Timestamp};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::certificate::{self, Certificate};
use crate::{
    authn::hex,
    certificates::{SealError, Sealer, Use},
    source::{NoRandom, random},
};

/// Where the database keeps them.
const HOST_KEY: &str = "ssh_host_key";
const AUTHORITY: &str = "ssh_user_authority";

/// Length of what an Ed25519 key is made from.
const SEED_LEN: usize = 32;

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("{0} in the database is no key")]
    Malformed(&'static str),
}

/// See the module.
pub(crate) struct SshAuthority {
    pair: Ed25519KeyPair,
    /// The host key's seed, in hexadecimal.
    host_seed: SecretString,
    host: Ed25519KeyPair,
}

impl SshAuthority {
    /// Reads both keys, or makes them at the first start.
    pub(crate) async fn open(
        store: &Store,
        secrets: &Utf8Path,
        region: &RegionName,
    ) -> Result<Self, OpenError> {
        let sealer = Sealer::open(secrets)?;
        let authority = kept(store, &sealer, (AUTHORITY, "")).await?;
        let host_seed = kept(store, &sealer, (HOST_KEY, region.as_str())).await?;
        let pair = pair(&authority, AUTHORITY)?;
        let host = self::pair(&host_seed, HOST_KEY)?;
        Ok(Self { pair, host_seed, host })
    }

    /// The authority's public key, as `authorized_keys` has keys.
    pub(crate) fn public(&self) -> String {
        certificate::line(self.pair.public_key().as_ref())
    }

    /// The gateways' public host key, as `authorized_keys` has keys.
    pub(crate) fn host_key(&self) -> String {
        certificate::line(self.host.public_key().as_ref())
    }

    /// Its fingerprint, as people compare it.
    pub(crate) fn host_fingerprint(&self) -> String {
        let digest = Sha256::digest(certificate::key_blob(self.host.public_key().as_ref()));
        format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest))
    }

    /// The private half of the host key, for a gateway.
    pub(super) fn host_seed(&self) -> &SecretString {
        &self.host_seed
    }

    /// A certificate for a session's key, in base64; none where that is no Ed25519 key.
    pub(super) fn certify(
        &self,
        session_key: &str,
        (id, principal): (&str, &str),
        now: Timestamp,
    ) -> Result<Option<String>, NoRandom> {
        let Some(key) = certificate::point(session_key) else { return Ok(None) };
        let certificate = Certificate { key, id, principal, now, nonce: random()? };
        Ok(Some(STANDARD.encode(certificate.sign(&self.pair))))
    }
}

/// The seed of a key, in hexadecimal; of several controls that start at once all get the same.
async fn kept(
    store: &Store,
    sealer: &Sealer,
    (what, of): (&'static str, &str),
) -> Result<SecretString, OpenError> {
    let name = if of.is_empty() { what.to_owned() } else { format!("{what}.{of}") };
    let found: Option<String> = store.settings().get(&name).await?;
    let sealed = match found {
        Some(sealed) => sealed,
        None => {
            let seed = SecretString::from(hex(&random::<SEED_LEN>()?));
            let sealed = sealer.seal(Use::Ssh, &name, seed.expose_secret().as_bytes())?;
            store.settings().get_or_put(&name, &STANDARD.encode(sealed)).await?
        }
    };
    let sealed = STANDARD.decode(sealed).map_err(|_| OpenError::Malformed(what))?;
    Ok(SecretString::from(sealer.unseal(Use::Ssh, &name, &sealed)?))
}

fn pair(seed: &SecretString, what: &'static str) -> Result<Ed25519KeyPair, OpenError> {
    let seed = bytes(seed.expose_secret()).ok_or(OpenError::Malformed(what))?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| OpenError::Malformed(what))
}

fn bytes(hex: &str) -> Option<[u8; SEED_LEN]> {
    let digits = hex.as_bytes().chunks(2);
    let bytes: Vec<u8> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}
