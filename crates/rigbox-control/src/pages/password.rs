//! Setting a password by a one-time link: `/setup` for whoever has no address yet, which is the
//! operator at the first start, and `/password` for everybody else.
//! Invariants: the link's secret leaves the address at once, for a cookie; only the form takes the
//! link, so that whoever merely looks at it (a mail program does) does not use it up.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use maud::html;
use rigbox_store::{
    StoreError,
    passwords::Person,
    sessions::{Carrier, Level},
};
use rigbox_types::{Email, api::error::ErrorCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{
    PageResult,
    answer::{page, see_other, sentence, with_cookies},
    form::{Form, Wishes},
    layout::{Field, alert, hidden},
    next,
};
use crate::{
    control::Control,
    error::{ApiError, ApiResult, Invalid},
    identity::{
        links::LinkSecret,
        password::{self, PASSWORD_MIN_CHARS},
        second_factor, sessions,
        visitor::Visitor,
    },
};

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    token: Option<String>,
}

/// What was wrong with which field.
#[derive(Default)]
struct Wrong {
    email: Option<String>,
    password: Option<String>,
    again: Option<String>,
}

/// `/setup`.
pub(super) async fn setup(
    state: State<Arc<Control>>,
    headers: HeaderMap,
    wish: Wishes<Wish>,
) -> PageResult {
    show(state, headers, wish, "/setup").await
}

/// `/password`.
pub(super) async fn password(
    state: State<Arc<Control>>,
    headers: HeaderMap,
    wish: Wishes<Wish>,
) -> PageResult {
    show(state, headers, wish, "/password").await
}

async fn show(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    Wishes(wish): Wishes<Wish>,
    path: &str,
) -> PageResult {
    if let Some(token) = wish.token {
        let secret: LinkSecret = token.parse().map_err(|_| gone())?;
        whose(&control, &secret).await?;
        let cookie = control.authn.cookies.set_link(secret.expose());
        return Ok(with_cookies(see_other(path), [cookie]));
    }
    let person = whose(&control, &secret(&control, &headers)?).await?;
    Ok(form(StatusCode::OK, (&person, ""), &Wrong::default()))
}

/// Sets the password, and signs in.
pub(super) async fn submit(
    State(control): State<Arc<Control>>,
    headers: HeaderMap,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    let secret = secret(&control, &headers)?;
    let person = whose(&control, &secret).await?;
    let shown = form.text("whose");
    if !shown.is_empty() && shown != person.account.to_string() {
        // The form names somebody: a link that was opened meanwhile does not make it another's.
        let text = "another link was opened in this browser meanwhile: open yours again";
        return Err(ApiError::conflict(text).into());
    }
    let typed = form.text("email");
    let email = match check(&person, &form) {
        Ok(email) => email,
        Err(wrong) => return Ok(self::form(StatusCode::BAD_REQUEST, (&person, typed), &wrong)),
    };
    let phc = control.passwords.hash(form.secret("password")).await?;
    let entry = visitor.entry("password_set", Some(person.account), "link");
    control.audit.received(entry).await?;
    let link = secret.hash(&control.authn);
    let redeemed = control.store.passwords().redeem(&link, &phc, email.as_ref()).await;
    control.ended_of(person.account).await;
    let account = match redeemed {
        Ok(account) => account,
        Err(StoreError::Conflict { .. }) => {
            let email = Some("Another account has this address.".to_owned());
            let wrong = Wrong { email, ..Wrong::default() };
            return Ok(self::form(StatusCode::CONFLICT, (&person, typed), &wrong));
        }
        Err(StoreError::NotFound { .. }) => return Err(gone().into()),
        Err(error) => return Err(error.into()),
    };
    tracing::info!(%account, "password set");
    let cookies = &control.authn.cookies;
    let epoch = control.store.sessions().epoch(account).await?;
    if second_factor::is_asked_for(&control, account).await? {
        // A link stands for the password, and for nothing else.
        return Ok(with_cookies(see_other("/sign-in"), [cookies.clear_link()]));
    }
    let how = (Carrier::Cookie, Level::Full);
    let token = sessions::open(&control, (account, epoch), how, (&visitor, "sign_in")).await?;
    let set = sessions::cookies(&control, (account, epoch), (&token, &visitor))?;
    Ok(with_cookies(see_other(next::HOME), set.into_iter().chain([cookies.clear_link()])))
}

/// What is wrong with the form, or the address that was typed where one is needed.
fn check(person: &Person, form: &Form) -> Result<Option<Email>, Wrong> {
    let mut wrong = Wrong::default();
    let email = match &person.email {
        Some(_) => None,
        None => match form.text("email").parse::<Email>() {
            Ok(email) => Some(email),
            Err(error) => {
                wrong.email = Some(sentence(&error.to_string()));
                None
            }
        },
    };
    let (new, again) = (form.secret("password"), form.secret("again"));
    let (new, again) = (new.expose_secret(), again.expose_secret());
    let address = person.email.as_ref().or(email.as_ref()).map(Email::as_str);
    wrong.password = refusal(new, &[address, person.display_name.as_deref()]);
    if new != again {
        wrong.again = Some("The two are not the same.".to_owned());
    }
    let fine = wrong.email.is_none() && wrong.password.is_none() && wrong.again.is_none();
    if fine { Ok(email) } else { Err(wrong) }
}

/// Why a password is refused, for people.
pub(super) fn refusal(password: &str, known: &[Option<&str>]) -> Option<String> {
    let known: Vec<&str> = known.iter().copied().flatten().collect();
    let Err(Invalid { rule, .. }) = password::check("password", password, &known) else {
        return None;
    };
    Some(format!("The password {rule}."))
}

fn secret(control: &Control, headers: &HeaderMap) -> ApiResult<LinkSecret> {
    let text = control.authn.cookies.link(headers).ok_or_else(gone)?;
    text.parse().map_err(|_| gone())
}

async fn whose(control: &Control, secret: &LinkSecret) -> ApiResult<Person> {
    let hash = secret.hash(&control.authn);
    control.store.passwords().find_by_link(&hash).await?.ok_or_else(gone)
}

fn gone() -> ApiError {
    let text = "this link does not work any more: it works once, for a day, and only the newest; \
                ask whoever runs this installation for another";
    ApiError::new(ErrorCode::NotFound, text)
}

fn form(status: StatusCode, (person, typed): (&Person, &str), wrong: &Wrong) -> Response {
    let title =
        if person.email.is_some() { "Choose a password" } else { "Set up this installation" };
    let is_wrong = wrong.email.is_some() || wrong.password.is_some() || wrong.again.is_some();
    let hint = format!(
        "At least {PASSWORD_MIN_CHARS} characters. A few words that only you would put together are \
         good; nothing else is asked of it."
    );
    let body = html! {
        h1 { (title) }
        (alert(is_wrong.then_some("That was not taken: see below.")))
        form method="post" {
            (hidden("whose", &person.account.to_string()))
            @match &person.email {
                Some(email) => {
                    p { "For the account of " strong { (email) } "." }
                    // For password managers, which want to know whose it is.
                    input type="hidden" name="username" autocomplete="username" value=(email);
                }
                None => (Field {
                    name: "email",
                    label: "Your e-mail address",
                    kind: "email",
                    value: typed,
                    autocomplete: "username",
                    error: wrong.email.as_deref(),
                    first: true,
                    ..Field::default()
                }.render())
            }
            (Field {
                name: "password",
                label: "New password",
                kind: "password",
                autocomplete: "new-password",
                hint: Some(&hint),
                error: wrong.password.as_deref(),
                first: person.email.is_some(),
                ..Field::default()
            }.render())
            (Field {
                name: "again",
                label: "The same again",
                kind: "password",
                autocomplete: "new-password",
                error: wrong.again.as_deref(),
                ..Field::default()
            }.render())
            button type="submit" { "Set the password" }
        }
    };
    page(status, title, None, &body)
}
