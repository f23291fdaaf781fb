//! Signing in by a provider of OpenID Connect, and connecting one with an account.
//!
//! ```text
//! GET /auth/oidc/{name} -> provider -> GET /auth/oidc/{name}/callback -> a session, as by password
//!                                       └ or GET /auth/connect -> POST /auth/connect
//! ```
//!
//! Invariants: a sign-in begins only from our own page or an address that was typed, never from
//! another site's; nothing is connected or taken back but by a form of a page that names it, in a
//! session that has just begun or with the password; a provider's word stands for the password alone.
//! Beginning is a GET, because browsers hold a form's answer to `form-action` on all of its way.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use maud::{Markup, html};
use rigbox_store::{
    identities::{Found, Identity, IdentityRow},
    workspaces::ChangeError,
};
use rigbox_types::{
    AccountId, Credential,
    api::{audit::AuditStage, error::ErrorCode},
};
use serde::Deserialize;

use super::{
    PageResult,
    answer::{page, see_other, with_cookies},
    entry::SignedIn,
    form::{Form, Wishes},
    layout::{Field, hidden},
    next,
    security::moment,
    sign_in,
};
use crate::{
    control::Control,
    error::{ApiError, ApiResult, chain},
    identity::{change::shows_password, visitor::Visitor},
    oidc::{Arrived, OidcError, Outcome},
};

/// Where a waiting identity is connected.
const CONNECT: &str = "/auth/connect";

/// What the record says where a second factor is still to be shown.
const PROVIDER_SHOWN: &str = "oidc_shown";

/// How long ago somebody may have signed in who connects a provider without more.
const FRESH: Duration = Duration::from_secs(600);

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The query of the beginning.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    next: Option<String>,
}

/// A way to each provider.
pub(super) fn buttons(control: &Control, next: &str) -> Markup {
    html! {
        @for (name, shown) in control.oidc.buttons() {
            p {
                a.button href=(format!("/auth/oidc/{name}?{}", next::encoded(next))) {
                    "Sign in with " (shown)
                }
            }
        }
    }
}

/// The providers of an account, and those that it could have besides.
pub(super) async fn list(control: &Control, signed_in: &SignedIn) -> ApiResult<Markup> {
    let rows = control.store.identities().list(signed_in.account).await?;
    let has = |name: &str| rows.iter().any(|row| row.identity.provider == name);
    let others: Vec<_> = control.oidc.buttons().filter(|(name, _)| !has(name)).collect();
    Ok(html! {
        ul.cards {
            @for IdentityRow { identity, last_used_at, .. } in &rows {
                li {
                    @let shown = control.oidc.display_name(&identity.provider);
                    strong { (shown) }
                    p.hint {
                        @if let Some(email) = &identity.email { "As " (email) ", l" } @else { "L" }
                        "ast used " (moment(*last_used_at))
                    }
                    form method="post" action="/auth/disconnect" {
                        (hidden("form_token", &signed_in.form_token))
                        (hidden("issuer", &identity.issuer))
                        button.quiet type="submit" {
                            "Disconnect"
                            span.unseen { " " (shown) }
                        }
                    }
                }
            }
        }
        @for (name, shown) in others {
            p { a href=(format!("/auth/oidc/{name}?{}", next::encoded(next::HOME))) {
                "Connect with " (shown)
            } }
        }
    })
}

/// Sends the browser to the provider.
pub(super) async fn begin(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Wishes(wish): Wishes<Wish>,
    headers: HeaderMap,
) -> Response {
    let next = next::checked(wish.next.as_deref());
    let site = headers.get(FETCH_SITE).and_then(|site| site.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        // Another site's page must not sign anybody in: they choose to on our own.
        return see_other(&format!("/sign-in?{}", next::encoded(next)));
    }
    match control.oidc.begin(&name, (next, control.store.now())).await {
        Ok(begun) => with_cookies(
            see_other(&begun.location),
            [control.authn.cookies.set_flow(&begun.ticket)],
        ),
        Err(error) => refused(&control, None, (&name, &error)),
    }
}

/// Takes the browser back.
pub(super) async fn finish(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    visitor: Visitor,
    old: Option<SignedIn>,
    (headers, uri): (HeaderMap, Uri),
) -> PageResult {
    let answer = (uri.query().unwrap_or_default(), control.authn.cookies.flow(&headers));
    let arrived = control.oidc.finish(&control.store, &name, answer).await;
    let outcome = match &arrived {
        // On record before an account is made or an identity linked.
        Ok(arrived) => {
            control.audit.received(entry(&visitor, AuditStage::Received, &name)).await?;
            control.oidc.account(&control.store, arrived, old.is_some()).await
        }
        Err(_) => Err(OidcError::Stale),
    };
    let (arrived, outcome) = match (arrived, outcome) {
        (Ok(arrived), Ok(outcome)) => (arrived, outcome),
        (Err(error), _) | (Ok(_), Err(error)) => {
            return Ok(refused(&control, Some(&visitor), (&name, &error)));
        }
    };
    match outcome {
        Outcome::Account(account, found) => {
            let who = (account.id, found);
            signed_in(&control, who, (&visitor, old), &arrived).await
        }
        Outcome::Connect { ticket, email } => {
            let cookies =
                [control.authn.cookies.clear_flow(), control.authn.cookies.set_connect(&ticket)];
            if old.is_some() {
                return Ok(with_cookies(see_other(CONNECT), cookies));
            }
            let provider = arrived.provider.display_name();
            let address = email.as_ref().map_or("", |email| email.as_str());
            let body = html! {
                h1 { "One more step" }
                p {
                    "There is an account with the address " strong { (address) } " already. Sign in \
                     to it as before, this once, and connect it with " (provider) "."
                }
                p { a.button href=(format!("/sign-in?{}", next::encoded(CONNECT))) { "Go on" } }
            };
            Ok(with_cookies(page(StatusCode::OK, "One more step", None, &body), cookies))
        }
    }
}

/// Opens a session, as signing in with a password does.
async fn signed_in(
    control: &Control,
    (account, found): (AccountId, Found),
    (visitor, old): (&Visitor, Option<SignedIn>),
    arrived: &Arrived<'_>,
) -> PageResult {
    let how = match found {
        Found::Known => "oidc_sign_in",
        Found::Linked => "oidc_sign_in_link",
        Found::Made => "oidc_sign_up",
    };
    let words = (how, PROVIDER_SHOWN);
    let epoch = control.store.sessions().epoch(account).await?;
    let response =
        sign_in::open(control, (account, epoch), (visitor, words), (old, &arrived.next)).await?;
    Ok(with_cookies(response, [control.authn.cookies.clear_flow()]))
}

/// Asks whether a waiting identity is to be connected with the account of this session.
pub(super) async fn connect(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    headers: HeaderMap,
) -> PageResult {
    let Some(identity) = waiting(&control, &headers) else { return Ok(see_other(next::HOME)) };
    let account = control.store.accounts().get(signed_in.account).await?;
    let mine = account.profile.email.as_ref().map_or("of yours", |email| email.as_str());
    let provider = control.oidc.display_name(&identity.provider);
    let theirs = identity.email.as_ref().map_or("without an address", |email| email.as_str());
    let needs = needs(&control, &signed_in).await?;
    let body = html! {
        h1 { "Connect with " (provider) "?" }
        p {
            "From then on, whoever signs in to " (provider) " as " strong { (theirs) }
            " is signed in here to the account " strong { (mine) } "."
        }
        p { "Do this only if you have just signed in to " (provider) " yourself." }
        @if needs == Needs::SignIn {
            p { "You signed in here some time ago. Sign out, sign in again, and connect then." }
        } @else {
            form method="post" action=(CONNECT) {
                (hidden("form_token", &signed_in.form_token))
                @if needs == Needs::Password {
                    (Field {
                        name: "password",
                        label: "Your password here",
                        kind: "password",
                        autocomplete: "current-password",
                        first: true,
                        ..Field::default()
                    }.render())
                }
                button type="submit" { "Connect" }
            }
        }
        p { a href=(next::HOME) { "Not now" } }
    };
    Ok(page(StatusCode::OK, "Connect", Some(&signed_in.form_token), &body))
}

/// Connects it.
pub(super) async fn connected(
    State(control): State<Arc<Control>>,
    visitor: Visitor,
    signed_in: SignedIn,
    headers: HeaderMap,
    form: Form,
) -> PageResult {
    form.check(&signed_in)?;
    let shown = match needs(&control, &signed_in).await? {
        Needs::Nothing => true,
        Needs::SignIn => false,
        Needs::Password => {
            let person = control.store.passwords().get(signed_in.account).await?;
            shows_password(&control, &person, form.secret("password")).await?
        }
    };
    if !shown {
        let text = "that is not your password: nothing was connected";
        return Err(ApiError::new(ErrorCode::Forbidden, text).into());
    }
    let gone = [control.authn.cookies.clear_connect()];
    let Some(identity) = waiting(&control, &headers) else {
        return Ok(with_cookies(see_other(next::HOME), gone));
    };
    record(&control, &visitor, (&signed_in, "identity_connect", &identity.provider)).await?;
    match control.oidc.link(&control.store, signed_in.account, &identity).await {
        Ok(()) => Ok(with_cookies(see_other(next::HOME), gone)),
        Err(error) => {
            let response = refused(&control, None, (&identity.provider, &error));
            Ok(with_cookies(response, gone))
        }
    }
}

/// Takes a provider from the account of this session, where another way to sign in remains.
pub(super) async fn disconnect(
    State(control): State<Arc<Control>>,
    visitor: Visitor,
    signed_in: SignedIn,
    form: Form,
) -> PageResult {
    form.check(&signed_in)?;
    let issuer = form.text("issuer").to_owned();
    record(&control, &visitor, (&signed_in, "identity_disconnect", "")).await?;
    let has_password = control.store.passwords().get(signed_in.account).await?.phc.is_some();
    let check = |rows: &[IdentityRow]| {
        if has_password || rows.len() > 1 {
            return Ok(());
        }
        let text = "this is the only way left to sign in to this account: set a password first, \
                    or connect another provider";
        Err(ApiError::new(ErrorCode::Conflict, text))
    };
    match control.store.identities().unlink(signed_in.account, &issuer, check).await {
        Ok(()) => Ok(see_other(next::HOME)),
        Err(ChangeError::Refused(error)) => Err(error.into()),
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

/// What it takes to connect a provider, besides a session: what is connected opens the account for
/// good, so that a session that was taken from its owner must not be enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Its owner has just signed in.
    Nothing,
    /// They have not, and show their password.
    Password,
    /// They have none, and must sign in again.
    SignIn,
}

async fn needs(control: &Control, signed_in: &SignedIn) -> ApiResult<Needs> {
    let session = control.store.sessions().find(signed_in.session).await?;
    let fresh = i64::try_from(FRESH.as_micros()).unwrap_or(i64::MAX);
    let since = control.store.now().as_micros().saturating_sub(fresh);
    if session.is_some_and(|session| session.created_at.as_micros() >= since) {
        return Ok(Needs::Nothing);
    }
    let person = control.store.passwords().get(signed_in.account).await?;
    Ok(if person.phc.is_some() { Needs::Password } else { Needs::SignIn })
}

fn waiting(control: &Control, headers: &HeaderMap) -> Option<Identity> {
    let ticket = control.authn.cookies.connect(headers)?;
    control.oidc.waiting(ticket, control.store.now())
}

async fn record(
    control: &Control,
    visitor: &Visitor,
    (signed_in, action, provider): (&SignedIn, &str, &str),
) -> ApiResult<()> {
    let actor = Credential::Session(signed_in.session).to_string();
    let mut entry = visitor.entry(action, Some(signed_in.account), &actor);
    entry.target = format!("oidc:{provider}");
    control.audit.received(entry).await
}

fn entry(visitor: &Visitor, stage: AuditStage, name: &str) -> rigbox_store::audit::NewEntry {
    let mut entry = visitor.entry("oidc_sign_in", None, "anonymous");
    entry.stage = stage;
    entry.status = entry.status.filter(|_| stage == AuditStage::Completed);
    entry.target = format!("oidc:{name}");
    entry
}

/// Says why somebody is not signed in: to them, to the log and, where somebody came back from a
/// provider, to the record.
fn refused(
    control: &Control,
    visitor: Option<&Visitor>,
    (name, error): (&str, &OidcError),
) -> Response {
    let told = error.told();
    let cause = chain(error);
    // A name that is not ours is whatever somebody typed.
    let name = control.oidc.known(name).unwrap_or("unknown");
    if told.status.is_server_error() {
        tracing::warn!(provider = name, cause, "sign-in by a provider failed");
    } else {
        tracing::info!(provider = name, cause, "sign-in by a provider refused");
    }
    if let Some(visitor) = visitor
        && control.rates.is_worth_an_entry()
    {
        let mut entry = entry(visitor, AuditStage::Completed, name);
        entry.status = Some(told.status.as_u16());
        entry.code = Some(error.code().to_owned());
        control.audit.completed(entry);
    }
    let body = html! {
        h1 { "You are not signed in" }
        p { (told.text) " " (told.hint) }
        p { a href="/sign-in" { "Go to the sign-in page" } }
    };
    let response = page(told.status, "You are not signed in", None, &body);
    // One that another page has brought back must not end the one that is under way.
    match error {
        OidcError::Stale | OidcError::Unknown | OidcError::Malformed => response,
        _ => with_cookies(response, [control.authn.cookies.clear_flow()]),
    }
}
