//! Changing one's own password, and setting somebody's.
//! Invariants: it takes the old one, which is guessed at as slowly as at sign-in; every session of
//! the account ends, and whoever changed it goes on in a new one.

use rigbox_store::{
    StoreError,
    passwords::Person,
    sessions::{Carrier, Level},
};
use rigbox_types::{AccountId, Credential, SessionId, api::error::ErrorCode};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    password::{self, Verdict},
    sessions, throttle,
    visitor::Visitor,
};
use crate::{
    authn::SessionToken,
    control::Control,
    error::{ApiError, ApiResult},
};

/// What came of it.
pub(crate) enum Changed {
    /// The old one is another one.
    WrongOld,
    /// The new session of whoever changed it.
    Done(SessionToken),
}

/// Changes the password of somebody who is signed in to one that was checked.
pub(crate) async fn password_change(
    control: &Control,
    visitor: &Visitor,
    (person, session): (&Person, SessionId),
    (old, new): (SecretString, SecretString),
) -> ApiResult<Changed> {
    let account = person.account;
    if !shows_password(control, person, old).await? {
        return Ok(Changed::WrongOld);
    }
    let phc = control.passwords.hash(new).await?;
    let actor = Credential::Session(session).to_string();
    control.audit.received(visitor.entry("password_change", Some(account), &actor)).await?;
    let changed = control.store.passwords().change(account, (person.phc.as_deref(), &phc)).await;
    // Also where it is not known whether it came to be.
    control.ended_of(account).await;
    match changed {
        // Somebody else has changed it meanwhile, so that the old one is another one.
        Err(StoreError::NotFound { what: "password", .. }) => return Ok(Changed::WrongOld),
        other => other?,
    }
    tracing::info!(%account, "password changed");
    let how = (Carrier::Cookie, Level::Full);
    let epoch = control.store.sessions().epoch(account).await?;
    let token = sessions::open(control, (account, epoch), how, (visitor, "sign_in")).await?;
    Ok(Changed::Done(token))
}

/// Sets an account's password in the place of whatever it has. Ends its sessions and links.
pub(crate) async fn password_set(
    control: &Control,
    account: AccountId,
    new: SecretString,
) -> ApiResult<()> {
    let person = control.store.passwords().get(account).await?;
    let Some(email) = &person.email else {
        let text = "the account has no e-mail address to sign in with: give it a link instead, which \
                    asks for one";
        return Err(ApiError::new(ErrorCode::InvalidState, text));
    };
    let known = [Some(email.as_str()), person.display_name.as_deref()];
    let known: Vec<&str> = known.into_iter().flatten().collect();
    password::check("password", new.expose_secret(), &known)?;
    let phc = control.passwords.hash(new).await?;
    let changed = control.store.passwords().change(account, (person.phc.as_deref(), &phc)).await;
    // Also where it is not known whether it came to be.
    control.ended_of(account).await;
    match changed {
        Err(StoreError::NotFound { what: "password", .. }) => {
            Err(ApiError::conflict("the password was changed by somebody else meanwhile"))
        }
        other => Ok(other?),
    }
}

/// Whether somebody who is signed in knows the account's password.
pub(crate) async fn shows_password(
    control: &Control,
    person: &Person,
    password: SecretString,
) -> ApiResult<bool> {
    let account: AccountId = person.account;
    let buckets = throttle::of_account(&control.authn.hasher, "own-password", account);
    throttle::attempt(control, &buckets).await?;
    let verdict = control.passwords.verify(password, person.phc.as_deref()).await?;
    if verdict == Verdict::Wrong {
        return Ok(false);
    }
    control.store.throttles().succeeded(&buckets).await?;
    Ok(true)
}
