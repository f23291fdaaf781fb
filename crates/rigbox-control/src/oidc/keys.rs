//! A provider's public keys (RFC 7517), as it publishes them.
//! Owns what is remembered of them. Invariants: however many tokens name keys that are not in the set,
//! it is asked for again at most once a [`LOOK_EVERY`]; keys that are not known to be for signatures
//! by one of our algorithms are passed over.
//! Does not fetch keys from anywhere but the provider's `jwks_uri`.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    fetch::{FetchError, Fetcher},
    jws::{Algorithm, InvalidJws, PublicKey, Unverified, decode},
    kept::Kept,
    url::ProviderUrl,
};

/// How long keys are believed without another look: so long a key that was withdrawn may go on.
const AGE_MAX: Duration = Duration::from_secs(3_600);
/// Between two looks for a key that is not known: tokens must not make us ask at will.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Most keys of a set.
const KEYS_MAX: usize = 64;
/// Longest number of a key, in bytes: RSA of 8,192 bits.
const NUMBER_MAX_LEN: usize = 1_024;

/// Why a token is not known to be the provider's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The key set cannot be had.
    #[error("fetch the provider's keys")]
    Fetch(#[from] FetchError),
    /// It is not signed with any of the keys.
    #[error(transparent)]
    Token(#[from] InvalidJws),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    key: PublicKey,
}

/// A key set as it was published.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct KeySet {
    known: Kept<Keys>,
    /// When the last look for a key that is not known was made.
    looked: Mutex<Option<Instant>>,
}

impl KeySet {
    pub(super) fn new() -> Self {
        Self { known: Kept::new(), looked: Mutex::new(None) }
    }

    /// The payload of a token, if the provider has signed it, and by which algorithm.
    pub(super) async fn verify(
        &self,
        token: &str,
        allowed: &[Algorithm],
        (fetcher, url): (&Fetcher, &ProviderUrl),
    ) -> Result<(Vec<u8>, Algorithm), KeyError> {
        let token = Unverified::read(token, allowed)?;
        let algorithm = token.algorithm;
        let mut keys = self.known.younger(AGE_MAX, fetch(fetcher, url)).await?;
        if fitting(&keys, &token).is_empty() {
            // The provider may have a new key.
            let may = || self.may_look();
            keys = self.known.other_than(&keys, may, fetch(fetcher, url)).await?;
        }
        let keys = fitting(&keys, &token);
        if token.kid.is_none() && keys.len() > 1 {
            // OpenID Connect Core 10.1: with several keys the token must say which.
            return Err(InvalidJws::Key.into());
        }
        Ok((token.verify(keys.into_iter())?, algorithm))
    }

    fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return false;
        }
        *looked = Some(Instant::now());
        true
    }
}

async fn fetch(fetcher: &Fetcher, url: &ProviderUrl) -> Result<Keys, FetchError> {
    let answer = fetcher.get(url, None).await?;
    if !answer.status.is_success() {
        return Err(FetchError::Status(answer.status));
    }
    let set: Document = answer.document()?;
    Ok(Keys(set.keys.into_iter().take(KEYS_MAX).filter_map(read).collect()))
}

/// The keys that may have signed a token: of its algorithm, and with its name where it has one.
fn fitting<'k>(keys: &'k Keys, token: &Unverified<'_>) -> Vec<&'k PublicKey> {
    let named = |key: &&Key| token.kid.is_none() || token.kid == key.kid;
    let named = keys.0.iter().filter(named).map(|key| &key.key);
    named.filter(|key| key.algorithm() == token.algorithm).collect()
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

/// A key that we can use; others of the set are none of our business.
fn read(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            PublicKey::Rsa { n: integer(jwk.n.as_deref())?, e: integer(jwk.e.as_deref())? }
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (number(jwk.x.as_deref())?, number(jwk.y.as_deref())?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            // 4: the point is not compressed (SEC 1).
            PublicKey::P256([vec![4], x, y].concat())
        }
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(number(jwk.x.as_deref())?),
        _ => return None,
    };
    let is_for_it =
        jwk.alg.as_deref().is_none_or(|alg| Algorithm::named(alg) == Some(key.algorithm()));
    is_for_it.then_some(Key { kid: jwk.kid, key })
}

fn number(text: Option<&str>) -> Option<Vec<u8>> {
    let bytes = decode(text?).ok()?;
    (!bytes.is_empty() && bytes.len() <= NUMBER_MAX_LEN).then_some(bytes)
}

/// A number without the zeroes in front that some providers write, and ring does not take.
fn integer(text: Option<&str>) -> Option<Vec<u8>> {
    Some(number(text)?.into_iter().skip_while(|byte| *byte == 0).collect())
}
