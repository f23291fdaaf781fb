//! The second factor: showing it at sign-in, and setting it up.
//! Invariants: before it is shown, a session opens nothing but this page; setting it up, taking it
//! away and making other recovery codes take the password; recovery codes are shown once.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use maud::{Markup, PreEscaped, html};
use qrcode::{QrCode, render::svg};
use rigbox_store::sessions::{Carrier, Level, SessionRow};
use rigbox_types::{Credential, Email, api::error::ErrorCode};
use serde::Deserialize;

use super::{
    PageResult,
    answer::{onward, page, see_other, sentence, with_cookies},
    entry::SignedIn,
    form::{Form, Wishes},
    layout::{Field, hidden},
    next,
};
use crate::{
    authn::SessionToken,
    control::Control,
    error::{ApiError, ApiResult},
    identity::{
        change::shows_password,
        second_factor::{self, Offer},
        sessions,
        sign_in::{SIGN_IN, refused},
        visitor::Visitor,
    },
};

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    next: Option<String>,
}

/// Asks for the code of whoever has shown the password.
pub(super) async fn ask(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    Wishes(wish): Wishes<Wish>,
) -> PageResult {
    let next = next::checked(wish.next.as_deref());
    Ok(match pending(&control, &headers).await? {
        Some(_) => code_form(StatusCode::OK, next, None),
        None => see_other(&format!("/sign-in?{}", next::encoded(next))),
    })
}

/// Takes the code, and opens a full session.
pub(super) async fn show(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    visitor: Visitor,
    old: Option<SignedIn>,
    form: Form,
) -> PageResult {
    let next = next::checked(Some(form.text("next")));
    let Some(row) = pending(&control, &headers).await? else {
        return Ok(see_other(&format!("/sign-in?{}", next::encoded(next))));
    };
    let who = (row.account, control.store.sessions().epoch(row.account).await?);
    match second_factor::check(&control, who, (&visitor, Some(form.text("code")))).await {
        Ok(()) => {}
        Err(error) if error.code() == ErrorCode::Unauthenticated => {
            let error = refused(&control, &visitor, (Some(row.account), error));
            let text = sentence(error.message());
            return Ok(code_form(error.http_status(), next, Some(&text)));
        }
        Err(error) if error.code() == ErrorCode::RateLimited => {
            let text = sentence(error.message());
            return Ok(code_form(error.http_status(), next, Some(&text)));
        }
        Err(error) => return Err(error.into()),
    }
    // It has done its work, and of two with one code at once only one goes on.
    sessions::end(&control, row.account, row.id).await?;
    let how = (Carrier::Cookie, Level::Full);
    let token = sessions::open(&control, who, how, (&visitor, SIGN_IN)).await?;
    if let Some(old) = old {
        // Nobody misses it, and nobody else goes on with it.
        sessions::end(&control, old.account, old.session).await?;
    }
    let cookies = sessions::cookies(&control, who, (&token, &visitor))?;
    Ok(with_cookies(onward(next), cookies))
}

/// The session that waits for its second factor.
async fn pending(control: &Control, headers: &HeaderMap) -> ApiResult<Option<SessionRow>> {
    let Some(token) = control.authn.cookies.pending(headers) else { return Ok(None) };
    let Ok(token) = token.parse::<SessionToken>() else { return Ok(None) };
    let kind = (Carrier::Cookie, Level::Pending);
    control.authn.find_session(&control.store, &token, kind).await
}

/// Begins: offers a secret to whoever shows the password.
pub(super) async fn start(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    form: Form,
) -> PageResult {
    if let Some(refusal) = password_refused(&control, &signed_in, &form).await? {
        return Ok(refusal);
    }
    second_factor::offer(&control, signed_in.account).await?;
    Ok(see_other("/security/second-factor"))
}

/// Shows what was offered.
pub(super) async fn offered(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
) -> PageResult {
    Ok(match second_factor::offered(&control, signed_in.account).await? {
        Some(offer) => offer_form(&control, &signed_in, (&offer, None)).await?,
        None => see_other("/security"),
    })
}

/// Takes the first code. Every other session ends, because it has shown only the password.
pub(super) async fn confirm(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    form.check(&signed_in)?;
    let account = signed_in.account;
    let Some(offer) = second_factor::offered(&control, account).await? else {
        return Ok(see_other("/security"));
    };
    note(&control, &signed_in, (&visitor, "second_factor_create")).await?;
    let confirmed = second_factor::confirm(&control, account, (&offer, form.text("code"))).await?;
    let Some(codes) = confirmed else {
        let text = "This code is wrong. Is the clock of your device right?";
        return Ok(offer_form(&control, &signed_in, (&offer, Some(text))).await?);
    };
    tracing::info!(%account, "second factor set up");
    let ended = control.store.sessions().end_others(account, None).await;
    control.ended_of(account).await;
    ended?;
    let how = (Carrier::Cookie, Level::Full);
    let who = (account, control.store.sessions().epoch(account).await?);
    let token = sessions::open(&control, who, how, (&visitor, SIGN_IN)).await?;
    let cookies = sessions::cookies(&control, who, (&token, &visitor))?;
    Ok(with_cookies(codes_page(&codes), cookies))
}

/// Takes it away.
pub(super) async fn remove(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    if let Some(refusal) = password_refused(&control, &signed_in, &form).await? {
        return Ok(refusal);
    }
    note(&control, &signed_in, (&visitor, "second_factor_delete")).await?;
    control.store.second_factors().delete(signed_in.account).await?;
    tracing::info!(account = %signed_in.account, "second factor taken away");
    Ok(see_other("/security"))
}

/// Makes other recovery codes.
pub(super) async fn renew_codes(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    if let Some(refusal) = password_refused(&control, &signed_in, &form).await? {
        return Ok(refusal);
    }
    if !second_factor::is_asked_for(&control, signed_in.account).await? {
        return Ok(see_other("/security"));
    }
    note(&control, &signed_in, (&visitor, "recovery_codes_create")).await?;
    Ok(codes_page(&second_factor::renew_codes(&control, signed_in.account).await?))
}

async fn note(
    control: &Control,
    signed_in: &SignedIn,
    (visitor, action): (&Visitor, &str),
) -> ApiResult<()> {
    let actor = Credential::Session(signed_in.session).to_string();
    control.audit.received(visitor.entry(action, Some(signed_in.account), &actor)).await
}

/// The answer to a form without the right password; none where it is right.
async fn password_refused(
    control: &Control,
    signed_in: &SignedIn,
    form: &Form,
) -> ApiResult<Option<Response>> {
    form.check(signed_in)?;
    let person = control.store.passwords().get(signed_in.account).await?;
    if shows_password(control, &person, form.secret("password")).await? {
        return Ok(None);
    }
    let body = html! {
        h1 { "That is not your password" }
        p { a href="/security" { "Back" } }
    };
    let title = "That is not your password";
    Ok(Some(page(StatusCode::BAD_REQUEST, title, Some(&signed_in.form_token), &body)))
}

/// The part of the page about security.
pub(super) async fn section(
    control: &Control,
    signed_in: &SignedIn,
    has_password: bool,
) -> ApiResult<Markup> {
    let account = signed_in.account;
    let left = match second_factor::is_asked_for(control, account).await? {
        true => Some(control.store.second_factors().codes_left(account).await?),
        false => None,
    };
    let form = |action: &str, id: &str, label: &str| {
        html! {
            form method="post" action=(action) {
                (hidden("form_token", &signed_in.form_token))
                label for=(id) { "Your password" }
                input id=(id) name="password" type="password" autocomplete="current-password" required;
                button type="submit" { (label) }
            }
        }
    };
    Ok(html! {
        @match left {
            _ if !has_password => p { "Whoever you sign in with looks after it." }
            None => {
                p { "A code from your telephone, asked for after your password." }
                (form("/security/second-factor/start", "start-password", "Set it up"))
            }
            Some(left) => {
                p { "It is asked for when you sign in. " (left) " recovery codes are left." }
                (form("/security/recovery-codes", "codes-password", "Make other recovery codes"))
                (form("/security/second-factor/remove", "remove-password", "Take it away"))
            }
        }
    })
}

fn code_form(status: StatusCode, next: &str, error: Option<&str>) -> Response {
    let body = html! {
        h1 { "One more code" }
        form method="post" action="/sign-in/code" {
            (hidden("next", next))
            (Field {
                name: "code",
                label: "Code",
                autocomplete: "one-time-code",
                hint: Some("The six digits that your device shows now, or a recovery code."),
                error,
                first: true,
                ..Field::default()
            }.render())
            button type="submit" { "Sign in" }
        }
    };
    page(status, "One more code", None, &body)
}

async fn offer_form(
    control: &Control,
    signed_in: &SignedIn,
    (offer, error): (&Offer, Option<&str>),
) -> ApiResult<Response> {
    let person = control.store.passwords().get(signed_in.account).await?;
    let uri = offer.secret.uri(person.email.as_ref().map_or("account", Email::as_str));
    let body = html! {
        h1 { "Set up a second factor" }
        ol {
            li { "Scan this with a program for one-time codes, or type its text there." }
            li { "Type the code that it shows." }
        }
        figure {
            (picture(&uri)?)
            figcaption { "Text: " code { (offer.secret.text()) } }
        }
        form method="post" action="/security/second-factor/confirm" {
            (hidden("form_token", &signed_in.form_token))
            (Field {
                name: "code",
                label: "Code",
                autocomplete: "one-time-code",
                error,
                first: true,
                ..Field::default()
            }.render())
            button type="submit" { "Use it from now on" }
        }
    };
    let status = if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(page(status, "Set up a second factor", Some(&signed_in.form_token), &body))
}

/// A text as a picture that a camera reads.
fn picture(text: &str) -> ApiResult<Markup> {
    let code = QrCode::new(text).map_err(ApiError::internal)?;
    let image = code.render::<svg::Color<'_>>().min_dimensions(220, 220).build();
    // Without the head of a document of its own.
    let image = image.find("<svg").and_then(|at| image.get(at..)).unwrap_or_default().to_owned();
    let image = image.replacen("<svg", "<svg role=\"img\" aria-label=\"QR code\"", 1);
    Ok(PreEscaped(image))
}

fn codes_page(codes: &[String]) -> Response {
    let body = html! {
        h1 { "Your recovery codes" }
        p {
            "Each of them works once in place of a code from your device. They are shown this once: \
             write them down, and keep them where your device is not."
        }
        ul.codes { @for code in codes { li { (code) } } }
        p { a href="/security" { "I have written them down" } }
    };
    page(StatusCode::OK, "Your recovery codes", None, &body)
}
