//! Signing in with e-mail and password.
//! Invariants: an unknown address, one without a password and a wrong password take the same work
//! and get the same answer; only who knows the password learns that an account is disabled.

use rigbox_store::passwords::Person;
use rigbox_types::{AccountId, Email, api::error::ErrorCode};
use secrecy::SecretString;

use super::{password::Verdict, throttle, visitor::Visitor};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// The action of sign-ins in the record.
pub(crate) const SIGN_IN: &str = "sign_in";

/// Longest text that is looked at as an address.
const TYPED_MAX_LEN: usize = 320;

/// Whoever has this address and password.
pub(crate) async fn sign_in(
    control: &Control,
    visitor: &Visitor,
    (typed, password): (&str, SecretString),
) -> ApiResult<Person> {
    let email: Option<Email> = typed.parse().ok();
    let person = match &email {
        Some(email) => control.store.passwords().find(email).await?,
        None => None,
    };
    let typed = match &email {
        Some(email) => email.as_str(),
        // Nobody has it. As much of it as is needed to tell it from others.
        None => typed
            .char_indices()
            .nth(TYPED_MAX_LEN)
            .map_or(typed, |(end, _)| typed.get(..end).unwrap_or_default()),
    };
    let account = person.as_ref().map(|person| person.account);
    let device = person.as_ref().and_then(|p| visitor.device_of(p.account, p.epoch));
    let hasher = &control.authn.hasher;
    let buckets = throttle::of_password(hasher, typed, (device, visitor));
    throttle::attempt(control, &buckets).await?;
    let kept = person.as_ref().and_then(|person| person.phc.as_deref());
    let verdict = control.passwords.verify(password, kept).await?;
    let (Some(person), Verdict::Right(better)) = (person, verdict) else {
        let error = "e-mail address or password is wrong";
        let error = ApiError::new(ErrorCode::Unauthenticated, error);
        return Err(refused(control, visitor, (account, error)));
    };
    control.store.throttles().succeeded(&buckets).await?;
    if let (Some(better), Some(old)) = (better, &person.phc) {
        control.store.passwords().rehash(person.account, (old, &better)).await?;
    }
    if person.disabled_at.is_some() {
        let text = "this account is disabled: ask whoever runs this installation";
        let error = ApiError::new(ErrorCode::Unauthenticated, text);
        return Err(refused(control, visitor, (account, error)));
    }
    Ok(person)
}

/// Refuses a sign-in, and records it: for an account as often as the throttle lets it come to that.
pub(crate) fn refused(
    control: &Control,
    visitor: &Visitor,
    (account, error): (Option<AccountId>, ApiError),
) -> ApiError {
    if account.is_some() || control.rates.is_worth_an_entry() {
        let mut entry = visitor.entry(SIGN_IN, account, "anonymous");
        entry.status = Some(ErrorCode::Unauthenticated.http_status());
        entry.code = Some(ErrorCode::Unauthenticated.as_str().to_owned());
        control.audit.completed(entry);
    }
    error
}
