//! Opening and ending sessions. This is where every way to sign in ends: with a password, or with
//! another provider's word.
//! Invariants: a sign-in always gets a new session with a secret of its own, whatever cookie came
//! with it; a session opens something only once it is full; it is on record before it is made.

use ::http::HeaderValue;
use rigbox_store::{
    StoreError,
    sessions::{Carrier, Epoch, Level, NewSession},
};
use rigbox_types::{AccountId, Credential, SessionId, api::error::ErrorCode};

use super::visitor::{Device, Visitor};
use crate::{
    authn::SessionToken,
    control::Control,
    error::{ApiError, ApiResult},
    source::random,
};

/// Opens a session of somebody who has shown who they are, and gives its token. `how` is the word
/// for the record: `sign_in`. The epoch is the one from before they have.
pub(crate) async fn open(
    control: &Control,
    (account, epoch): (AccountId, Epoch),
    (carrier, level): (Carrier, Level),
    (visitor, how): (&Visitor, &str),
) -> ApiResult<SessionToken> {
    let id = SessionId::from_random(random().map_err(ApiError::internal)?);
    let token = SessionToken::new(id).map_err(ApiError::internal)?;
    let actor = Credential::Session(id).to_string();
    control.audit.received(visitor.entry(how, Some(account), &actor)).await?;
    let session = NewSession {
        id,
        account,
        epoch,
        level,
        carrier,
        hash: control.authn.hasher.hash(token.text()),
        address: visitor.address.map(|address| address.to_string()),
        user_agent: visitor.user_agent.clone(),
    };
    control.store.sessions().insert(&session).await.map_err(|error| match error {
        StoreError::NotFound { what: "sign-in", .. } => {
            let text = "all sessions of this account were ended meanwhile: sign in again";
            ApiError::new(ErrorCode::Unauthenticated, text)
        }
        other => other.into(),
    })?;
    tracing::info!(%account, session = %id, "signed in");
    Ok(token)
}

/// The cookies of a browser whose session was opened: the session's, and the one by which the browser
/// is known the next time.
pub(crate) fn cookies(
    control: &Control,
    (account, epoch): (AccountId, Epoch),
    (token, visitor): (&SessionToken, &Visitor),
) -> ApiResult<Vec<HeaderValue>> {
    let cookies = &control.authn.cookies;
    let mut set = vec![cookies.set_session(token), cookies.clear_pending()];
    if visitor.device_of(account, epoch).is_none() {
        let device =
            Device::cookie((account, epoch), &control.authn).map_err(ApiError::internal)?;
        set.push(cookies.set_device(&device));
    }
    Ok(set)
}

/// Ends a session of the account; from the answer on it is refused everywhere.
pub(crate) async fn end(control: &Control, account: AccountId, id: SessionId) -> ApiResult<()> {
    let ended = control.store.sessions().end(account, id).await;
    control.ended(Credential::Session(id)).await;
    Ok(ended?)
}
