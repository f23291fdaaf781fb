//! Codes that change with time (RFC 6238: SHA-1, six digits, 30 s), and how their secret is kept.
//! Invariants: a code is good for its own time step and for the one before and after; the secret is
//! encrypted (AES-256-GCM) with a key that is made of the installation's hashing key, which is not in
//! the database, and for one account.
//! Does not remember which codes were shown (see the store).

use rigbox_store::api_keys::KeyHasher;
use rigbox_types::{AccountId, Timestamp};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use subtle::ConstantTimeEq as _;

use crate::{
    error::{ApiError, ApiResult},
    source::random,
};

/// Bytes of a secret, as RFC 4226 has it.
const SECRET_BYTES: usize = 20;
/// Seconds of a time step.
const STEP_S: i64 = 30;
const DIGITS: usize = 6;
/// One more than the largest code.
const MODULUS: u32 = 1_000_000;
/// Steps that a clock may be wrong by.
const SKEW: u64 = 1;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret that somebody's program makes codes of.
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A new one.
    pub(crate) fn new() -> ApiResult<Self> {
        random().map(Self).map_err(ApiError::internal)
    }

    /// As people type it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(SECRET_BYTES * 8 / 5);
        let (mut bits, mut held) = (0_u32, 0_u32);
        for byte in self.0 {
            bits = (bits << 8) | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                let index = usize::try_from((bits >> held) & 31).unwrap_or_default();
                text.push(BASE32.get(index).copied().map_or('A', char::from));
            }
            bits &= (1 << held) - 1;
        }
        text
    }

    /// As programs read it.
    pub(crate) fn uri(&self, whose: &str) -> String {
        let secret = self.text();
        let query =
            serde_urlencoded::to_string([("secret", secret.as_str()), ("issuer", "Rigbox")]);
        let query = query.unwrap_or_default();
        // An address has no sign that a path could not have but these.
        let whose = whose.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        let whose = whose.replace('/', "%2F").replace('@', "%40");
        format!("otpauth://totp/Rigbox:{whose}?{query}")
    }

    /// The time step of which this is the code, if it is one of now.
    pub(crate) fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let step = u64::try_from(now.as_micros() / 1_000_000 / STEP_S).ok()?;
        let steps = step.saturating_sub(SKEW)..=step.saturating_add(SKEW);
        let mut found = None;
        for step in steps {
            // All of them are looked at, whichever it is.
            let expected = format!("{:0DIGITS$}", self.code(step));
            if bool::from(expected.as_bytes().ct_eq(digits.as_bytes())) {
                found = Some(step);
            }
        }
        found
    }

    fn code(&self, step: u64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = tag.last().map_or(0, |byte| usize::from(byte & 15));
        let four = tag.get(offset..).and_then(|rest| rest.first_chunk::<4>());
        (u32::from_be_bytes(four.copied().unwrap_or_default()) & 0x7fff_ffff) % MODULUS
    }

    /// Encrypts it for keeping.
    pub(crate) fn seal(&self, hasher: &KeyHasher, account: AccountId) -> ApiResult<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random().map_err(ApiError::internal)?;
        let mut sealed = self.0.to_vec();
        let about = Aad::from(account.to_string());
        let done = key(hasher)?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            about,
            &mut sealed,
        );
        done.map_err(|_| ApiError::internal("a secret was not encrypted"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Reads one that was kept.
    pub(crate) fn open(sealed: &[u8], hasher: &KeyHasher, account: AccountId) -> ApiResult<Self> {
        let broken = || ApiError::internal("the secret of a second factor cannot be decrypted");
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
        let mut rest = rest.to_vec();
        let about = Aad::from(account.to_string());
        let opened = key(hasher)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), about, &mut rest)
            .map_err(|_| broken())?;
        Ok(Self((&*opened).try_into().map_err(|_| broken())?))
    }
}

/// The key of all secrets: of the hashing key, for this use alone.
fn key(hasher: &KeyHasher) -> ApiResult<LessSafeKey> {
    let bytes = hasher.tag("seal", "second factors");
    let key = UnboundKey::new(&AES_256_GCM, &bytes);
    key.map(LessSafeKey::new).map_err(|_| ApiError::internal("a key has the wrong length"))
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// The test vectors of RFC 6238, with six digits instead of eight.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = Secret(*b"12345678901234567890");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            let step = u64::try_from(seconds / 30).unwrap();
            assert_eq!(secret.step_of(code, at(seconds)), Some(step), "{seconds}");
        }
        assert_eq!(secret.text(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            secret.uri("a/b@example.com"),
            "otpauth://totp/Rigbox:a%2Fb%40example.com?\
             secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Rigbox"
        );
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after_and_no_further() {
        let secret = Secret(*b"12345678901234567890");
        let good = |seconds| secret.step_of("081 804", at(seconds)).is_some();
        // Its step begins at 1111111080.
        assert!(good(1_111_111_080) && good(1_111_111_139) && good(1_111_111_050));
        assert!(!good(1_111_111_140) && !good(1_111_111_049));
        for code in ["", "81804", "0818040", "08180a", "٠٨١٨٠٤"] {
            assert_eq!(secret.step_of(code, at(1_111_111_109)), None, "{code}");
        }
    }

    #[test]
    fn a_secret_is_opened_only_for_its_account_and_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let hasher = |name: &str| KeyHasher::load_or_create(&path.join(name)).unwrap();
        let (own, other) = (hasher("a"), hasher("b"));
        let account = |n: u8| AccountId::from_random([n; 16]);
        let secret = Secret::new().unwrap();
        let sealed = secret.seal(&own, account(1)).unwrap();
        assert!(!sealed.windows(20).any(|part| part == secret.0));
        assert_eq!(Secret::open(&sealed, &own, account(1)).unwrap().0, secret.0);
        assert!(Secret::open(&sealed, &own, account(2)).is_err());
        assert!(Secret::open(&sealed, &other, account(1)).is_err());
        assert!(Secret::open(&sealed[..20], &own, account(1)).is_err());
    }
}
