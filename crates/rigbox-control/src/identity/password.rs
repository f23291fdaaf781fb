//! Passwords: which are good, and hashing them.
//! Invariants: argon2id with at least the parameters that OWASP names (19 MiB, 2 passes), which are
//! kept with each hash; hashing runs beside the requests and only a few at once, so that guesses
//! cannot use up memory; an account that has no password, or does not exist, costs the same work.
//! Does not know accounts.

mod common;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::{
    error::{ApiError, ApiResult, Invalid},
    source::random,
};

/// Shortest password, in characters.
pub(crate) const PASSWORD_MIN_CHARS: usize = 12;
/// Longest password, in bytes.
pub(crate) const PASSWORD_MAX_BYTES: usize = 256;

/// Most that are hashed at once: 19 MiB each.
const AT_ONCE: usize = 2;
/// Most that wait for their turn: some seconds of work.
const WAITING_MAX: usize = 64;
/// When to come again where too many wait.
const BUSY_RETRY_S: u32 = 2;

/// Hashes and verifies.
pub(crate) struct Passwords {
    turns: Semaphore,
    waiting: Semaphore,
    /// Of nobody's password: verified where there is no other.
    nobody: String,
}

/// What came of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another one.
    Wrong,
    /// It is this one; with a better hash of it, where the old one is not as costly as it should be.
    Right(Option<String>),
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, crate::NoRandom> {
        let (salt, hash) = (random::<16>()?, random::<32>()?);
        let params = Params::DEFAULT;
        let nobody = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(hash)
        );
        Ok(Self { turns: Semaphore::new(AT_ONCE), waiting: Semaphore::new(WAITING_MAX), nobody })
    }

    /// Hashes a password for keeping.
    pub(crate) async fn hash(&self, password: SecretString) -> ApiResult<String> {
        self.beside(move || hash(&password)).await?
    }

    /// Compares a password with a hash that is kept, or does as much work where there is none.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        kept: Option<&str>,
    ) -> ApiResult<Verdict> {
        let there_is_one = kept.is_some();
        let phc = kept.unwrap_or(&self.nobody).to_owned();
        self.beside(move || {
            // No hash is of such a password; whoever tries one learns no more than with another.
            let text = password.expose_secret();
            let fits = text.len() <= PASSWORD_MAX_BYTES;
            let known = PasswordHash::new(&phc).map_err(ApiError::internal)?;
            let right = argon2().verify_password(text.as_bytes(), &known).is_ok();
            if !(right && fits && there_is_one) {
                return Ok(Verdict::Wrong);
            }
            let better = if is_current(&known) { None } else { Some(hash(&password)?) };
            Ok(Verdict::Right(better))
        })
        .await?
    }

    /// Runs costly work on another thread, when it is its turn.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> ApiResult<T> {
        let busy = || ApiError::unavailable("too many people sign in just now", BUSY_RETRY_S);
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let _turn = self.turns.acquire().await.map_err(ApiError::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
    }
}

/// Refuses what is too short, too long, or among the first that anybody would try. `known` is what
/// everybody knows of the account: its address and name.
pub(crate) fn check(field: &str, password: &str, known: &[&str]) -> Result<(), Invalid> {
    let refuse = |rule: String| Err(Invalid::new(field, rule));
    if password.chars().count() < PASSWORD_MIN_CHARS {
        return refuse(format!("must have at least {PASSWORD_MIN_CHARS} characters"));
    }
    if password.len() > PASSWORD_MAX_BYTES {
        return refuse(format!("must have at most {PASSWORD_MAX_BYTES} bytes"));
    }
    if password.chars().any(char::is_control) {
        return refuse("must have no control characters".to_owned());
    }
    if is_of(password, known) {
        return refuse("must be something else than your address or name".to_owned());
    }
    if common::is_common(password) {
        return refuse("is one of the first that anybody would try: take another".to_owned());
    }
    Ok(())
}

/// Whether a password says no more than what is known of its account.
fn is_of(password: &str, known: &[&str]) -> bool {
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let (whole, stem) = (plain(&password.to_lowercase()), common::stem(password));
    let words = known.iter().flat_map(|known| {
        let known = known.to_lowercase();
        let local = known.split('@').next().map(plain);
        std::iter::once(plain(&known)).chain(local)
    });
    words.filter(|word| !word.is_empty()).any(|word| {
        let letters = common::stem(&word);
        whole == word || (!letters.is_empty() && stem == letters)
    })
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash(password: &SecretString) -> ApiResult<String> {
    let salt = random::<16>().map_err(ApiError::internal)?;
    let bytes = password.expose_secret().as_bytes();
    let hash = argon2().hash_password_with_salt(bytes, &salt).map_err(ApiError::internal)?;
    Ok(hash.to_string())
}

/// Whether a hash costs what one that is made now would.
fn is_current(known: &PasswordHash) -> bool {
    let params = Params::try_from(known);
    known.algorithm.as_str() == "argon2id"
        && params.is_ok_and(|params| {
            params.m_cost() == Params::DEFAULT_M_COST
                && params.t_cost() == Params::DEFAULT_T_COST
                && params.p_cost() == Params::DEFAULT_P_COST
        })
}

#[cfg(test)]
mod tests;
