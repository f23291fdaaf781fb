//! Looking after one's own account: the password, and where one is signed in.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use maud::{Markup, html};
use rigbox_store::{
    StoreError,
    passwords::Person,
    sessions::{Carrier, SessionRow},
};
use rigbox_types::{Credential, Email, SessionId, Timestamp, api::error::ErrorCode};
use secrecy::ExposeSecret as _;

use super::{
    PageResult,
    answer::{page, see_other, sentence, with_cookies},
    entry::SignedIn,
    form::Form,
    layout::{Field, alert, hidden},
    oidc,
    password::refusal,
    second_factor,
};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    identity::{
        change::{Changed, password_change},
        password::PASSWORD_MIN_CHARS,
        sessions,
        visitor::Visitor,
    },
};

/// What was wrong with which field of the password's form.
#[derive(Default)]
struct Wrong {
    old: Option<String>,
    new: Option<String>,
    again: Option<String>,
}

/// Shows it all.
pub(super) async fn show(State(control): State<Arc<Control>>, signed_in: SignedIn) -> PageResult {
    let person = control.store.passwords().get(signed_in.account).await?;
    Ok(whole(&control, (&signed_in, &person), (StatusCode::OK, &Wrong::default())).await?)
}

/// Changes the password.
pub(super) async fn change(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    form.check(&signed_in)?;
    let person = control.store.passwords().get(signed_in.account).await?;
    let (new, again) = (form.secret("new"), form.secret("again"));
    let known = [person.email.as_ref().map(Email::as_str), person.display_name.as_deref()];
    let mut wrong = Wrong { new: refusal(new.expose_secret(), &known), ..Wrong::default() };
    if new.expose_secret() != again.expose_secret() {
        wrong.again = Some("The two are not the same.".to_owned());
    }
    if wrong.new.is_none() && wrong.again.is_none() {
        let (whose, texts) = ((&person, signed_in.session), (form.secret("old"), new));
        match password_change(&control, &visitor, whose, texts).await {
            Ok(Changed::Done(token)) => {
                let who = (person.account, control.store.sessions().epoch(person.account).await?);
                let cookies = sessions::cookies(&control, who, (&token, &visitor))?;
                return Ok(with_cookies(see_other("/security"), cookies));
            }
            Ok(Changed::WrongOld) => wrong.old = Some("This is not your password.".to_owned()),
            Err(error) if error.code() == ErrorCode::RateLimited => {
                wrong.old = Some(sentence(error.message()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let status = StatusCode::BAD_REQUEST;
    Ok(whole(&control, (&signed_in, &person), (status, &wrong)).await?)
}

/// Ends one session, or all others.
pub(super) async fn end(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    form.check(&signed_in)?;
    let account = signed_in.account;
    let actor = Credential::Session(signed_in.session).to_string();
    control.audit.received(visitor.entry("session_delete", Some(account), &actor)).await?;
    if form.text("session") == "others" {
        let ended = control.store.sessions().end_others(account, Some(signed_in.session)).await;
        control.ended_of(account).await;
        ended?;
        return Ok(see_other("/security"));
    }
    let id: SessionId = form.text("session").parse().map_err(|_| ApiError::not_found("session"))?;
    match control.store.sessions().end(account, id).await {
        // It has ended by itself meanwhile.
        Ok(()) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    control.ended(Credential::Session(id)).await;
    Ok(see_other("/security"))
}

async fn whole(
    control: &Control,
    (signed_in, person): (&SignedIn, &Person),
    (status, wrong): (StatusCode, &Wrong),
) -> ApiResult<Response> {
    let rows = control.store.sessions().list(person.account).await?;
    let providers = match control.oidc.buttons().next() {
        Some(_) => Some(oidc::list(control, signed_in).await?),
        None => None,
    };
    let token = signed_in.form_token.as_str();
    let factor = second_factor::section(control, signed_in, person.phc.is_some()).await?;
    let body = html! {
        h1 { "Security" }
        @if let Some(email) = &person.email { p { "Signed in as " strong { (email) } "." } }
        section aria-labelledby="password-title" {
            h2 id="password-title" { "Password" }
            (password_form(token, person, wrong))
        }
        section aria-labelledby="factor-title" {
            h2 id="factor-title" { "Second factor" }
            (factor)
        }
        @if let Some(providers) = providers {
            section aria-labelledby="providers-title" {
                h2 id="providers-title" { "Other ways to sign in" }
                (providers)
            }
        }
        section aria-labelledby="sessions-title" {
            h2 id="sessions-title" { "Where you are signed in" }
            (session_list(token, &rows, signed_in.session))
        }
    };
    Ok(page(status, "Security", Some(token), &body))
}

fn password_form(token: &str, person: &Person, wrong: &Wrong) -> Markup {
    if person.phc.is_none() {
        return html! { p { "You sign in another way, and have no password here." } };
    }
    let is_wrong = wrong.old.is_some() || wrong.new.is_some() || wrong.again.is_some();
    let hint = format!("At least {PASSWORD_MIN_CHARS} characters. All other sessions end.");
    let field = |name, label, autocomplete, error| Field {
        name,
        label,
        kind: "password",
        autocomplete,
        error,
        ..Field::default()
    };
    html! {
        (alert(is_wrong.then_some("The password was not changed: see below.")))
        form method="post" action="/security/password" {
            (hidden("form_token", token))
            (field("old", "Your password now", "current-password", wrong.old.as_deref()).render())
            (Field {
                hint: Some(&hint),
                ..field("new", "New password", "new-password", wrong.new.as_deref())
            }.render())
            (field("again", "The same again", "new-password", wrong.again.as_deref()).render())
            button type="submit" { "Change the password" }
        }
    }
}

fn session_list(token: &str, rows: &[SessionRow], own: SessionId) -> Markup {
    html! {
        ul.cards {
            @for row in rows {
                li {
                    @let with = row.user_agent.as_deref().unwrap_or("an unnamed program");
                    strong {
                        (if row.carrier == Carrier::Cookie { "Browser" } else { "Program" })
                        @if row.id == own { " (this one)" }
                    }
                    p.hint {
                        (with)
                        @if let Some(address) = &row.address { ", from " (address) }
                        ", since " (moment(row.created_at)) ", last used " (moment(row.used_at))
                    }
                    @if row.id != own {
                        form method="post" action="/security/sessions" {
                            (hidden("form_token", token))
                            (hidden("session", &row.id.to_string()))
                            button.quiet type="submit" {
                                "End this session"
                                // For who hears the buttons without what is around them.
                                span.unseen { " of " (moment(row.created_at)) }
                            }
                        }
                    }
                }
            }
        }
        @if rows.len() > 1 {
            form method="post" action="/security/sessions" {
                (hidden("form_token", token))
                (hidden("session", "others"))
                button.bad type="submit" { "End all other sessions" }
            }
        }
    }
}

/// A moment, to the minute.
pub(super) fn moment(at: Timestamp) -> Markup {
    let text = at.to_string();
    let shown = text.get(..16).unwrap_or(&text).replace('T', " ");
    html! { time datetime=(text) { (shown) " UTC" } }
}
