//! Keys: the ones that people and servers show, and the gateway's own.
//! Invariant: a signature is verified under the algorithm that the key's owner named for it, and
//! SHA-1 is never one of them.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::{
    error::SshError,
    wire::{Put as _, Reader},
};

/// Longest key that is looked at: RSA with 16,384 bits has 2 KiB.
const BLOB_MAX: usize = 4 * 1024;

/// Signature algorithms that people's keys may use, the strongest first.
pub(crate) const SIGNATURES: &str = "ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,\
    ecdsa-sha2-nistp384,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";

/// Somebody's public key, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Vec<u8>,
}

impl PublicKey {
    /// Of its bytes (what is between the type and the comment in a `.pub` file, in base64).
    ///
    /// # Errors
    /// Where it is longer than a key may be, or has no type.
    pub fn new(blob: &[u8]) -> Result<Self, SshError> {
        if blob.len() > BLOB_MAX {
            return Err(SshError::Malformed("a key is too long"));
        }
        Reader::new(blob).text()?;
        Ok(Self { blob: blob.to_vec() })
    }

    /// Its bytes.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What it is called by: `SHA256:` and the digest of its bytes.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest(&SHA256, &self.blob)))
    }

    /// That `signature`, made with `algorithm`, is this key's for `signed`.
    pub(crate) fn verify(
        &self,
        algorithm: &str,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), SshError> {
        let mut reader = Reader::new(signature);
        if reader.text()? != algorithm {
            return Err(SshError::Tampered);
        }
        let value = reader.string()?;
        let mut key = Reader::new(&self.blob);
        match (algorithm, key.text()?) {
            ("ssh-ed25519", "ssh-ed25519") => {
                let point = key.string()?;
                key.end()?;
                check(&ED25519, point, signed, value)?;
            }
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let point = curve_point(&mut key, "nistp256")?;
                key.end()?;
                check(&ECDSA_P256_SHA256_FIXED, point, signed, &fixed::<32>(value)?)?;
            }
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
                let point = curve_point(&mut key, "nistp384")?;
                key.end()?;
                check(&ECDSA_P384_SHA384_FIXED, point, signed, &fixed::<48>(value)?)?;
            }
            ("rsa-sha2-256" | "rsa-sha2-512", "ssh-rsa") => {
                let (e, n) = (key.string()?, key.string()?);
                key.end()?;
                let parameters = if algorithm == "rsa-sha2-256" {
                    &RSA_PKCS1_2048_8192_SHA256
                } else {
                    &RSA_PKCS1_2048_8192_SHA512
                };
                let public = rsa::PublicKeyComponents { n: positive(n), e: positive(e) };
                // Some clients leave out the zeros that a signature begins with.
                let mut padded = vec![0; public.n.len().saturating_sub(value.len())];
                padded.extend_from_slice(value);
                public.verify(parameters, signed, &padded).map_err(|_| SshError::Tampered)?;
            }
            ("sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com") => {
                let (point, application) = (key.string()?, key.string()?);
                key.end()?;
                let signed = of_token(application, signed, &mut reader)?;
                check(&ED25519, point, &signed, value)?;
            }
            ("sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com") => {
                let point = curve_point(&mut key, "nistp256")?;
                let application = key.string()?;
                key.end()?;
                let signed = of_token(application, signed, &mut reader)?;
                check(&ECDSA_P256_SHA256_FIXED, point, &signed, &fixed::<32>(value)?)?;
            }
            _ => return Err(SshError::Tampered),
        }
        reader.end()
    }
}

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> Result<(), SshError> {
    UnparsedPublicKey::new(algorithm, key).verify(signed, signature).map_err(|_| SshError::Tampered)
}

fn curve_point<'a>(key: &mut Reader<'a>, curve: &str) -> Result<&'a [u8], SshError> {
    if key.text()? == curve { key.string() } else { Err(SshError::Tampered) }
}

/// The two numbers of an ECDSA signature, each in as many bytes as the curve has.
fn fixed<const SIZE: usize>(value: &[u8]) -> Result<Vec<u8>, SshError> {
    let mut reader = Reader::new(value);
    let numbers = [reader.string()?, reader.string()?];
    reader.end()?;
    let mut out = Vec::with_capacity(2 * SIZE);
    for number in numbers {
        let number = positive(number);
        let zeros = SIZE.checked_sub(number.len()).ok_or(SshError::Tampered)?;
        out.resize(out.len() + zeros, 0);
        out.extend_from_slice(number);
    }
    Ok(out)
}

/// A number without the zero that says it is not negative.
fn positive(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

/// What a hardware token signs (OpenSSH, PROTOCOL.u2f). That somebody touched it is asked for.
fn of_token(
    application: &[u8],
    signed: &[u8],
    signature: &mut Reader<'_>,
) -> Result<Vec<u8>, SshError> {
    const TOUCHED: u8 = 1;
    let (flags, counter) = (signature.u8()?, signature.u32()?);
    if flags & TOUCHED == 0 {
        return Err(SshError::Tampered);
    }
    let mut out = digest(&SHA256, application).as_ref().to_vec();
    out.push(flags);
    out.put_u32(counter);
    out.extend_from_slice(digest(&SHA256, signed).as_ref());
    Ok(out)
}

/// The gateway's own key: the same for all gateways of a region, or one of a session.
pub struct HostKey {
    pair: Ed25519KeyPair,
    blob: Vec<u8>,
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostKey").finish_non_exhaustive()
    }
}

impl HostKey {
    /// Of the 32 bytes of its secret.
    ///
    /// # Errors
    /// Where the secret has another length.
    pub fn from_seed(seed: &SecretSlice<u8>) -> Result<Self, SshError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose_secret())
            .map_err(|_| SshError::KeyExchange("a secret is no secret of a key"))?;
        Ok(Self::of(pair))
    }

    /// A new one, for one session.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn generate() -> Result<Self, SshError> {
        let failed = || SshError::KeyExchange("no randomness");
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| failed())?;
        Ok(Self::of(Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| failed())?))
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let mut blob = Vec::new();
        blob.put_string(b"ssh-ed25519");
        blob.put_string(pair.public_key().as_ref());
        Self { pair, blob }
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.blob
    }

    /// Its signature of `bytes`.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_string(b"ssh-ed25519");
        out.put_string(self.pair.sign(bytes).as_ref());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_what_was_signed_alone() {
        let key = HostKey::generate().unwrap();
        let public = PublicKey::new(key.public()).unwrap();
        let signature = key.sign(b"this");
        public.verify("ssh-ed25519", b"this", &signature).unwrap();
        assert!(public.verify("ssh-ed25519", b"that", &signature).is_err());
        assert!(public.verify("rsa-sha2-256", b"this", &signature).is_err());
        let other = HostKey::generate().unwrap();
        let other = PublicKey::new(other.public()).unwrap();
        assert!(other.verify("ssh-ed25519", b"this", &signature).is_err());
    }

    #[test]
    fn a_hardware_token_has_to_be_touched() {
        let pair = HostKey::generate().unwrap().pair;
        let mut blob = Vec::new();
        blob.put_string(b"sk-ssh-ed25519@openssh.com");
        blob.put_string(pair.public_key().as_ref());
        blob.put_string(b"ssh:");
        let key = PublicKey::new(&blob).unwrap();
        // OpenSSH, PROTOCOL.u2f: the application, flags, a counter and the message.
        let signature = |flags: u8, message: &[u8]| {
            let mut signed = digest(&SHA256, b"ssh:").as_ref().to_vec();
            signed.push(flags);
            signed.put_u32(7);
            signed.extend_from_slice(digest(&SHA256, message).as_ref());
            let mut out = Vec::new();
            out.put_string(b"sk-ssh-ed25519@openssh.com");
            out.put_string(pair.sign(&signed).as_ref());
            out.push(flags);
            out.put_u32(7);
            out
        };
        let verify =
            |signature: &[u8]| key.verify("sk-ssh-ed25519@openssh.com", b"this", signature);
        verify(&signature(1, b"this")).unwrap();
        verify(&signature(5, b"this")).unwrap();
        assert!(verify(&signature(0, b"this")).is_err(), "nobody touched it");
        assert!(verify(&signature(1, b"that")).is_err());
        let mut changed = signature(1, b"this");
        *changed.last_mut().unwrap() ^= 1;
        assert!(verify(&changed).is_err(), "another counter");
    }

    #[test]
    fn an_rsa_signature_of_sha_1_is_none() {
        let mut blob = Vec::new();
        blob.put_string(b"ssh-rsa");
        blob.put_string(&[1, 0, 1]);
        blob.put_string(&[0x7f; 256]);
        let mut signature = Vec::new();
        signature.put_string(b"ssh-rsa");
        signature.put_string(&[1; 256]);
        let key = PublicKey::new(&blob).unwrap();
        assert!(key.verify("ssh-rsa", b"this", &signature).is_err());
    }
}
