//! The way from the dashboard to an app: a browser that an app's edge has sent here, and in which
//! somebody is signed in, goes back with a single-use token.
//! Invariants: it goes back only to a host name that leads to an app, as the store knows it, never to
//! what the request says; the token is for that app, that name, and the browser that the edge has given
//! the state to; only who may visit the app gets one.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use rigbox_store::{StoreError, app_visits::Transfer, apps::AppRow};
use rigbox_types::{
    AccountId, Credential, KeyScopes, Principal, Timestamp,
    authz::{Visiting, authorise_visit},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{PageResult, answer::see_other, entry::SignedIn, form::Wishes, next};
use crate::{
    access_control::role_on_app,
    control::Control,
    edges::{TRANSFER_LIFE_S, new_secret, route},
    error::{ApiError, ApiResult},
};

/// Longest path that is gone back to.
const PATH_MAX_LEN: usize = 4_096;

/// The query of the page, as an edge writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    name: String,
    path: String,
    state: String,
}

/// Leads on.
pub(super) async fn show(
    State(control): State<Arc<Control>>,
    signed_in: Option<SignedIn>,
    Wishes(wish): Wishes<Wish>,
) -> PageResult {
    let is_hash = wish.state.len() == 64
        && wish.state.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_hash {
        return Err(
            ApiError::request("this link is not whole: open the app's address again").into()
        );
    }
    let Some(signed_in) = signed_in else { return Ok(sign_in_first(&wish)) };
    let row = find(&control, &wish.name).await?;
    check(&control, &row, &signed_in).await?;
    let token = new_secret().map_err(ApiError::internal)?;
    let transfer = Transfer {
        app: row.id.clone(),
        name: wish.name.clone(),
        state: wish.state.clone(),
        session: signed_in.session,
        expires_at: in_seconds(control.store.now(), TRANSFER_LIFE_S),
    };
    let hash = control.authn.hasher.hash(&SecretString::from(token.clone()));
    match control.store.app_visits().transfer_insert(&hash, &transfer).await {
        Err(StoreError::NotFound { .. }) => return Err(missing().into()),
        other => other?,
    }
    let query = [("token", token.as_str()), ("path", path(&wish.path))];
    let query = serde_urlencoded::to_string(query).map_err(ApiError::internal)?;
    let origin = route::origin(&wish.name, &control.config.edge);
    Ok(see_other(&format!("{origin}/.rigbox/enter?{query}")))
}

/// The sign-in page leads back here; a path that is too long for it is given up.
fn sign_in_first(wish: &Wish) -> Response {
    let back = |path: &str| {
        let query = [("name", wish.name.as_str()), ("path", path), ("state", wish.state.as_str())];
        format!("/visit?{}", serde_urlencoded::to_string(query).unwrap_or_default())
    };
    let whole = back(path(&wish.path));
    let wished = if next::checked(Some(&whole)) == whole { whole } else { back("/") };
    see_other(&format!("/sign-in?{}", next::encoded(&wished)))
}

/// The app that a host name leads to.
async fn find(control: &Control, name: &str) -> ApiResult<AppRow> {
    let apps = control.store.apps();
    let own = name.strip_suffix(control.config.edge.domain.as_str());
    let label = own.and_then(|rest| rest.strip_suffix('.')).and_then(|label| label.parse().ok());
    let found = match label {
        Some(label) => apps.by_name(&label).await?,
        None => apps.by_domain(name).await?,
    };
    // Also where it differs only in its spelling.
    let leads =
        |row: &AppRow| route::names(row, &control.config.edge).iter().any(|own| own == name);
    found.filter(leads).ok_or_else(missing)
}

/// Refuses who may not visit.
async fn check(control: &Control, row: &AppRow, who: &SignedIn) -> ApiResult<()> {
    let account = control.store.accounts().get(who.account).await?;
    let listed = account
        .profile
        .email
        .as_ref()
        .is_some_and(|email| row.published.allowed_emails.contains(email));
    let facts = crate::edges::facts(row, granted(control, row, who.account).await?, listed);
    let principal = Principal::Key {
        credential: Credential::Session(who.session),
        account: who.account,
        standing: account.standing,
        scopes: KeyScopes::full(),
    };
    let visit = authorise_visit(Visiting::Known(&principal), &facts, ());
    visit.map(drop).map_err(|denied| {
        let error = ApiError::from(denied);
        let text = "this app is not shown to the account that is signed in here: ask whoever runs \
                    it, or sign in with another account";
        ApiError::new(error.code(), text)
    })
}

async fn granted(
    control: &Control,
    row: &AppRow,
    account: AccountId,
) -> ApiResult<Option<rigbox_types::access::Role>> {
    if account == row.account {
        return Ok(None);
    }
    Ok(role_on_app(&control.store, account, row).await?)
}

/// A path of the app's own host, however it is written.
fn path(wish: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let is_own = wish.starts_with('/')
        && !wish.starts_with("//")
        && wish.len() <= PATH_MAX_LEN
        && wish.bytes().all(plain);
    if is_own { wish } else { "/" }
}

fn missing() -> ApiError {
    ApiError::not_found("app")
}

fn in_seconds(now: Timestamp, seconds: u64) -> Timestamp {
    let more = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_micros(now.as_micros().saturating_add(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away_from_the_app_s_host() {
        for good in ["/", "/a?b=c#d", "/%2f%2fevil.example"] {
            assert_eq!(path(good), good);
        }
        for bad in ["", "a", "//evil.example", "/\\evil.example", "https://evil.example", "/a b"] {
            assert_eq!(path(bad), "/");
        }
    }

    #[test]
    fn a_path_that_is_too_long_for_the_sign_in_page_is_given_up() {
        let wish = |path: String| Wish {
            name: "a.rigbox.localhost".to_owned(),
            path,
            state: "0".repeat(64),
        };
        let led = |path: String| {
            sign_in_first(&wish(path)).headers()["location"].to_str().unwrap().to_owned()
        };
        assert!(led("/short".to_owned()).contains("%252Fshort"));
        let long = led(format!("/{}", "a".repeat(2_000)));
        assert!(long.contains("path%3D%252F%26"), "{long}");
    }
}
