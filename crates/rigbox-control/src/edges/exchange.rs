//! What a browser that comes back from the sign-in page, or that opened a share link, gets instead: a
//! cookie of the app.
//! Invariants: a token serves once, for the app, the host name and the browser that it was made for; a
//! cookie is random, kept only as a keyed hash, and ends with what it rests on.

use std::time::Duration;

use rigbox_store::{
    StoreError,
    app_visits::{CookieRow, RestsOn},
    apps::AppRow,
    sessions::LIFE,
};
use rigbox_types::{
    AccountId, Timestamp,
    api::error::ErrorCode,
    edge::{Exchange, Exchanged},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    admission::{goes_on, hash, link},
    route::names,
};
use crate::{
    authn::{check_enabled, hex},
    control::Control,
    error::{ApiError, ApiResult},
    source::{NoRandom, random},
};

/// How long a transfer token is good, in seconds: as long as a browser takes for two redirects.
pub(crate) const TRANSFER_LIFE_S: u64 = 30;

/// How long a cookie of an app is good, if its session goes on as long.
const COOKIE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longest value of the cookie that an edge has set before.
const STATE_MAX_LEN: usize = 256;

/// A new secret of 256 bits: a transfer token, a cookie, a share link.
pub(crate) fn new_secret() -> Result<String, NoRandom> {
    random::<32>().map(|bytes| hex(&bytes))
}

/// Answers.
pub(super) async fn exchange(control: &Control, request: Exchange) -> ApiResult<Exchanged> {
    let row = match control.app(&request.app).await {
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(Exchanged::Refused),
        other => other?,
    };
    let found = match &request.state {
        Some(state) => of_transfer(control, &row, (&request, state)).await?,
        None => of_link(control, &row, &request).await?,
    };
    let Some(cookie) = found else { return Ok(Exchanged::Refused) };
    let value = new_secret().map_err(ApiError::internal)?;
    let kept = hash(control, &value).ok_or_else(|| ApiError::internal("no hash of a secret"))?;
    match control.store.app_visits().cookie_insert(&kept, &row.id, cookie).await {
        Ok(()) => Ok(Exchanged::Cookie { value, expires_at: cookie.expires_at }),
        // What it rests on has ended in this moment.
        Err(StoreError::NotFound { .. }) => Ok(Exchanged::Refused),
        Err(error) => Err(error.into()),
    }
}

async fn of_transfer(
    control: &Control,
    row: &AppRow,
    (request, state): (&Exchange, &str),
) -> ApiResult<Option<CookieRow>> {
    let Some(token) = hash(control, &request.token) else { return Ok(None) };
    // Whoever shows it has used it up, whatever else is wrong.
    let Some(transfer) = control.store.app_visits().transfer_take(&token).await? else {
        return Ok(None);
    };
    let shown = match state.len() <= STATE_MAX_LEN {
        true => hex(&Sha256::digest(state.as_bytes())),
        false => return Ok(None),
    };
    let same = bool::from(shown.as_bytes().ct_eq(transfer.state.as_bytes()));
    let fits = transfer.app == row.id && transfer.name == request.name;
    if !same || !fits || !leads_here(control, row, &request.name) {
        return Ok(None);
    }
    let found = control.store.sessions().find(transfer.session).await?;
    let Some(session) = found.filter(|session| goes_on(control, session)) else {
        return Ok(None);
    };
    if !is_enabled(control, session.account).await? {
        return Ok(None);
    }
    let end = later(control.store.now(), COOKIE_LIFE).min(later(session.created_at, LIFE));
    Ok(Some(CookieRow { rests_on: RestsOn::Session(session.id), expires_at: end }))
}

async fn of_link(
    control: &Control,
    row: &AppRow,
    request: &Exchange,
) -> ApiResult<Option<CookieRow>> {
    if !leads_here(control, row, &request.name) {
        return Ok(None);
    }
    let found = link(control, row, &request.token).await?;
    let cookie = |link: rigbox_store::share_links::ShareLinkRow| CookieRow {
        rests_on: RestsOn::Link(link.id),
        expires_at: link.expires_at,
    };
    Ok(found.map(cookie))
}

fn leads_here(control: &Control, row: &AppRow, name: &str) -> bool {
    names(row, &control.config.edge).iter().any(|own| own == name)
}

async fn is_enabled(control: &Control, account: AccountId) -> ApiResult<bool> {
    match check_enabled(&control.store, account).await {
        Err(error) if error.code() == ErrorCode::Unauthenticated => Ok(false),
        other => other.map(|()| true),
    }
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(moment.as_micros().saturating_add(by))
}
