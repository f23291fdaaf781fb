//! Signatures of tokens (RFC 7515), by ring.
//! Invariants: the algorithm is one of ours and of those that the caller allows, never the token's
//! choice alone; each key serves the one algorithm that its type has, so that no key is taken for
//! one of another kind; nothing that a token names is fetched.
//! Does not read claims.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, de::IgnoredAny};

/// Longest token. One with a person's claims has 1 to 2 KiB.
pub(super) const TOKEN_MAX_LEN: usize = 32 * 1024;

/// How a token is signed. No symmetric algorithm, which would take a public key for a secret, and
/// not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256: what every provider must have.
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// All of ours.
pub(super) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

impl Algorithm {
    /// The algorithm of this name; none for any other, whatever its case.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 names the curve.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key, of the one algorithm that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point, uncompressed.
    P256(Vec<u8>),
    /// A point.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// The only algorithm that it checks.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            // RSA of less than 2,048 bits is refused by ring.
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Self::P256(point) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature),
            Self::Ed25519(point) => {
                UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature)
            }
        };
        checked.is_ok()
    }
}

/// A token whose signature has not been looked at.
pub(super) struct Unverified<'t> {
    message: &'t str,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// What it says it is signed by.
    pub(super) algorithm: Algorithm,
    /// The key that it names.
    pub(super) kid: Option<String>,
}

/// Why a token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidJws {
    /// Not three parts of base64url, a header and a document.
    #[error("the token is malformed")]
    Form,
    /// Not one of the algorithms that are allowed.
    #[error("the token is signed by an algorithm that is not allowed")]
    Algorithm,
    /// It demands that something be understood that is not.
    #[error("the token has a critical header")]
    Critical,
    /// No key that it can be signed with.
    #[error("the token is signed with a key that the provider does not publish")]
    Key,
    /// Somebody else has signed it, or nobody.
    #[error("the signature is wrong")]
    Signature,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart. `allowed` are the provider's algorithms that are ours too.
    pub(super) fn read(token: &'t str, allowed: &[Algorithm]) -> Result<Self, InvalidJws> {
        if token.len() > TOKEN_MAX_LEN {
            return Err(InvalidJws::Form);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidJws::Form)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidJws::Form)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| InvalidJws::Form)?;
        let algorithm = Algorithm::named(&header.alg)
            .filter(|named| allowed.contains(named))
            .ok_or(InvalidJws::Algorithm)?;
        if header.crit.is_some() {
            return Err(InvalidJws::Critical);
        }
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        Ok(Self { message, payload, signature, algorithm, kid: header.kid })
    }

    /// The payload, if one of these keys has signed it. Keys of other kinds are passed over.
    pub(super) fn verify<'k>(
        self,
        keys: impl Iterator<Item = &'k PublicKey>,
    ) -> Result<Vec<u8>, InvalidJws> {
        let mut fitting = keys.filter(|key| key.algorithm() == self.algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(InvalidJws::Key);
        }
        if fitting.any(|key| key.has_signed(self.message.as_bytes(), &self.signature)) {
            Ok(self.payload)
        } else {
            Err(InvalidJws::Signature)
        }
    }
}

/// Base64url without padding; nothing else.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, InvalidJws> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidJws::Form)
}

#[cfg(test)]
mod tests;
