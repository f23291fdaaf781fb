//! Signing in and out.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use maud::html;
use rigbox_store::sessions::{Carrier, Epoch, Level};
use rigbox_types::{AccountId, Credential, api::error::ErrorCode};
use serde::Deserialize;

use super::{
    PageResult,
    answer::{onward, page, see_other, sentence, with_cookies},
    entry::SignedIn,
    form::{Form, Wishes},
    layout::{Field, alert, hidden},
    next, oidc,
};
use crate::{
    control::Control,
    identity::{
        second_factor, sessions,
        sign_in::{SIGN_IN, sign_in as identify},
        visitor::Visitor,
    },
};

/// What is recorded where the second factor is still to come.
const PASSWORD_SHOWN: &str = "sign_in_password";

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    next: Option<String>,
}

/// The start page leads to where there is something to do.
pub(super) async fn home() -> Response {
    see_other(next::HOME)
}

/// Asks who it is, unless that is known.
pub(super) async fn show(
    State(control): State<Arc<Control>>,
    signed_in: Option<SignedIn>,
    Wishes(wish): Wishes<Wish>,
) -> Response {
    let next = next::checked(wish.next.as_deref());
    match signed_in {
        Some(_) => see_other(next),
        None => form(&control, StatusCode::OK, ("", next), None),
    }
}

/// Signs in: always into a session of its own, whatever cookie came along.
pub(super) async fn submit(
    State(control): State<Arc<Control>>,
    visitor: Visitor,
    old: Option<SignedIn>,
    form: Form,
) -> PageResult {
    let (email, next) = (form.text("email"), next::checked(Some(form.text("next"))));
    let person = match identify(&control, &visitor, (email, form.secret("password"))).await {
        Ok(person) => person,
        Err(error) if is_shown(error.code()) => {
            error.log();
            let text = sentence(error.message());
            return Ok(self::form(&control, error.http_status(), (email, next), Some(&text)));
        }
        Err(error) => return Err(error.into()),
    };
    let shown = (SIGN_IN, PASSWORD_SHOWN);
    open(&control, (person.account, person.epoch), (&visitor, shown), (old, next)).await
}

/// Opens a session of somebody who has shown who they are, in the place of the one that the browser
/// had, and goes on to where they wanted; where there is a second factor, to the page that asks for
/// it. The words are what the record says of the one and of the other.
pub(super) async fn open(
    control: &Control,
    (account, epoch): (AccountId, Epoch),
    (visitor, (signed_in, shown)): (&Visitor, (&str, &str)),
    (old, next): (Option<SignedIn>, &str),
) -> PageResult {
    if second_factor::is_asked_for(control, account).await? {
        let how = (Carrier::Cookie, Level::Pending);
        let token = sessions::open(control, (account, epoch), how, (visitor, shown)).await?;
        let cookie = control.authn.cookies.set_pending(&token);
        let code = format!("/sign-in/code?{}", next::encoded(next));
        return Ok(with_cookies(see_other(&code), [cookie]));
    }
    let how = (Carrier::Cookie, Level::Full);
    let token = sessions::open(control, (account, epoch), how, (visitor, signed_in)).await?;
    if let Some(old) = old {
        // Nobody misses it, and nobody else goes on with it.
        sessions::end(control, old.account, old.session).await?;
    }
    let cookies = sessions::cookies(control, (account, epoch), (&token, visitor))?;
    Ok(with_cookies(onward(next), cookies))
}

/// Ends the session of this browser.
pub(super) async fn sign_out(
    State(control): State<Arc<Control>>,
    visitor: Visitor,
    signed_in: Option<SignedIn>,
    form: Form,
) -> PageResult {
    if let Some(signed_in) = signed_in {
        form.check(&signed_in)?;
        let actor = Credential::Session(signed_in.session).to_string();
        let entry = visitor.entry("sign_out", Some(signed_in.account), &actor);
        control.audit.received(entry).await?;
        sessions::end(&control, signed_in.account, signed_in.session).await?;
    }
    let cookies = &control.authn.cookies;
    let gone = [cookies.clear_session(), cookies.clear_pending()];
    Ok(with_cookies(see_other("/sign-in"), gone))
}

/// Whether a refusal is shown beside what was typed.
fn is_shown(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Unauthenticated | ErrorCode::RateLimited)
}

fn form(
    control: &Control,
    status: StatusCode,
    (email, next): (&str, &str),
    error: Option<&str>,
) -> Response {
    let body = html! {
        h1 { "Sign in" }
        (alert(error))
        form method="post" action="/sign-in" {
            (hidden("next", next))
            (Field {
                name: "email",
                label: "E-mail address",
                kind: "email",
                value: email,
                autocomplete: "username",
                first: email.is_empty(),
                ..Field::default()
            }.render())
            (Field {
                name: "password",
                label: "Password",
                kind: "password",
                autocomplete: "current-password",
                first: !email.is_empty(),
                ..Field::default()
            }.render())
            button type="submit" { "Sign in" }
        }
        (oidc::buttons(control, next))
        p.hint {
            "No password, or forgotten? Whoever runs this installation can send you a link."
        }
    };
    page(status, "Sign in", None, &body)
}
