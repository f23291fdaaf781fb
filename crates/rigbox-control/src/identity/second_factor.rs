//! The second factor of an account: offering, confirming and showing it, and its recovery codes.
//! Invariants: it is asked for from the moment at which a first code of it was shown; a code works
//! once; codes are guessed at slowly; recovery codes are shown once, when they are made.

use rigbox_store::sessions::Epoch;
use rigbox_types::{AccountId, api::error::ErrorCode};
use serde_json::json;

use super::{throttle, totp::Secret, visitor::Visitor};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    source::random,
};

/// How many recovery codes an account has.
const RECOVERY_CODES: usize = 10;
/// Characters of one: 50 bits.
const RECOVERY_CHARS: usize = 10;
/// Letters and digits that are not taken for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What is not yet confirmed, to be shown to its owner.
pub(crate) struct Offer {
    pub(crate) secret: Secret,
    sealed: Vec<u8>,
}

/// Whether an account is asked for a second factor.
pub(crate) async fn is_asked_for(control: &Control, account: AccountId) -> ApiResult<bool> {
    let row = control.store.second_factors().get(account).await?;
    Ok(row.is_some_and(|row| row.confirmed))
}

/// Offers a new secret.
pub(crate) async fn offer(control: &Control, account: AccountId) -> ApiResult<()> {
    let sealed = Secret::new()?.seal(&control.authn.hasher, account)?;
    Ok(control.store.second_factors().offer(account, &sealed).await?)
}

/// What was offered and not yet confirmed.
pub(crate) async fn offered(control: &Control, account: AccountId) -> ApiResult<Option<Offer>> {
    let row = control.store.second_factors().get(account).await?;
    let Some(row) = row.filter(|row| !row.confirmed) else { return Ok(None) };
    let secret = Secret::open(&row.sealed, &control.authn.hasher, account)?;
    Ok(Some(Offer { secret, sealed: row.sealed }))
}

/// Confirms what was offered by its first code, and gives the recovery codes.
pub(crate) async fn confirm(
    control: &Control,
    account: AccountId,
    (offer, code): (&Offer, &str),
) -> ApiResult<Option<Vec<String>>> {
    let Some(step) = offer.secret.step_of(code, control.store.now()) else { return Ok(None) };
    let codes = recovery_codes()?;
    let hashes: Vec<_> = codes.iter().map(|code| hash(control, account, code)).collect();
    let factors = control.store.second_factors();
    let confirmed = factors.confirm(account, (&offer.sealed, step), &hashes).await?;
    Ok(confirmed.then_some(codes))
}

/// Makes other recovery codes.
pub(crate) async fn renew_codes(control: &Control, account: AccountId) -> ApiResult<Vec<String>> {
    let codes = recovery_codes()?;
    let hashes: Vec<_> = codes.iter().map(|code| hash(control, account, code)).collect();
    control.store.second_factors().renew_codes(account, &hashes).await?;
    Ok(codes)
}

/// Refuses who does not show the second factor of an account that has one.
pub(crate) async fn check(
    control: &Control,
    (account, epoch): (AccountId, Epoch),
    (visitor, code): (&Visitor, Option<&str>),
) -> ApiResult<()> {
    let row = control.store.second_factors().get(account).await?;
    let Some(row) = row.filter(|row| row.confirmed) else { return Ok(()) };
    let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
        return Err(wrong("the code of your second factor is missing"));
    };
    let device = visitor.device_of(account, epoch);
    // However it is spelled: spaces do not make a guess at one a guess at the other.
    let is_recovery = code.chars().filter(|c| !c.is_whitespace()).count() >= RECOVERY_CHARS;
    let whose = (account, device, visitor);
    let buckets = throttle::of_second_factor(&control.authn.hasher, is_recovery, whose);
    throttle::attempt(control, &buckets).await?;
    let secret = Secret::open(&row.sealed, &control.authn.hasher, account)?;
    let factors = control.store.second_factors();
    let shown = match secret.step_of(code, control.store.now()) {
        Some(step) => factors.use_step(account, step).await?,
        None => factors.use_code(account, &hash(control, account, code)).await?,
    };
    if !shown {
        return Err(wrong("this code is wrong, or was used before"));
    }
    control.store.throttles().succeeded(&buckets).await?;
    Ok(())
}

fn wrong(text: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, text).with(json!({ "field": "code" }))
}

/// What is kept of a recovery code, however it is spelled.
fn hash(control: &Control, account: AccountId, code: &str) -> rigbox_store::api_keys::KeyHash {
    let plain = |c: &char| c.is_ascii_alphanumeric();
    let code: String = code.to_ascii_lowercase().chars().filter(plain).collect();
    control.authn.hasher.hash(&format!("recovery {account} {code}").into())
}

fn recovery_codes() -> ApiResult<Vec<String>> {
    let one = || {
        let bytes = random::<RECOVERY_CHARS>().map_err(ApiError::internal)?;
        // 32 divides 256: every character is as likely.
        let character = |byte: &u8| {
            ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied().map_or('0', char::from)
        };
        let mut code: String = bytes.iter().map(character).collect();
        code.insert(RECOVERY_CHARS / 2, '-');
        Ok(code)
    };
    (0..RECOVERY_CODES).map(|_| one()).collect()
}
