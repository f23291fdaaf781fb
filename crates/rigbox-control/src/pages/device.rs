//! Letting a command line in: shows who asks, and takes a yes or a no.
//! Invariant: nothing is let in by a link alone: somebody who is signed in reads what asks, and says
//! yes to it by a form of their own session.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use maud::{Markup, html};
use rigbox_store::{
    StoreError,
    device_codes::{Decision, DeviceCodeRow},
};
use rigbox_types::Credential;
use serde::Deserialize;

use super::{
    PageResult,
    answer::page,
    entry::SignedIn,
    form::{Form, Wishes},
    layout::{Field, alert, hidden},
    security::moment,
};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    identity::{device_flow::UserCode, throttle, visitor::Visitor},
};

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    code: Option<String>,
}

const UNKNOWN: &str = "No command line waits with this code. Codes work for ten minutes; compare it \
     with your terminal, or start again there.";

/// Asks for the code, or shows what asks.
pub(super) async fn show(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    Wishes(wish): Wishes<Wish>,
) -> PageResult {
    let Some(typed) = wish.code else {
        return Ok(ask(&signed_in, (StatusCode::OK, ""), None));
    };
    let Some((code, row)) = look_up(&control, &signed_in, &typed).await? else {
        return Ok(ask(&signed_in, (StatusCode::NOT_FOUND, &typed), Some(UNKNOWN)));
    };
    Ok(confirm(&signed_in, (&code, &row), &visitor))
}

/// Takes the answer.
pub(super) async fn decide(
    State(control): State<Arc<Control>>,
    signed_in: SignedIn,
    visitor: Visitor,
    form: Form,
) -> PageResult {
    form.check(&signed_in)?;
    let typed = form.text("code");
    let (decision, action) = match form.text("decision") {
        "approve" => (Decision::Approved, "device_approve"),
        "deny" => (Decision::Denied, "device_deny"),
        _ => return Err(ApiError::request("this form cannot be read").into()),
    };
    let Some((code, _)) = look_up(&control, &signed_in, typed).await? else {
        return Ok(ask(&signed_in, (StatusCode::NOT_FOUND, typed), Some(UNKNOWN)));
    };
    let actor = Credential::Session(signed_in.session).to_string();
    control.audit.received(visitor.entry(action, Some(signed_in.account), &actor)).await?;
    let hash = code.hash(&control);
    let who = (signed_in.account, signed_in.session);
    match control.store.device_codes().decide(&hash, who, decision).await {
        Ok(()) => {}
        Err(StoreError::NotFound { .. }) => {
            return Ok(ask(&signed_in, (StatusCode::NOT_FOUND, typed), Some(UNKNOWN)));
        }
        Err(error) => return Err(error.into()),
    }
    tracing::info!(account = %signed_in.account, action, "a command line was answered");
    let (title, text) = match decision {
        Decision::Approved => {
            ("Approved", "Your terminal goes on in a moment. You can close this page.")
        }
        Decision::Denied | Decision::Pending => {
            ("Denied", "Nothing was let in. If you did not ask for it, somebody else did.")
        }
    };
    let body = html! { h1 { (title) } p { (text) } };
    Ok(page(StatusCode::OK, title, Some(&signed_in.form_token), &body))
}

/// What waits with a code. Codes that are not there are counted: they would be guesses.
async fn look_up(
    control: &Control,
    signed_in: &SignedIn,
    typed: &str,
) -> ApiResult<Option<(UserCode, DeviceCodeRow)>> {
    let hasher = &control.authn.hasher;
    let buckets = throttle::of_device_code(hasher, signed_in.account);
    throttle::attempt(control, &buckets).await?;
    let Ok(code) = typed.parse::<UserCode>() else { return Ok(None) };
    let found = control.store.device_codes().find(&code.hash(control)).await?;
    let Some(row) = found else { return Ok(None) };
    control.store.throttles().succeeded(&buckets).await?;
    Ok(Some((code, row)))
}

fn ask(signed_in: &SignedIn, (status, typed): (StatusCode, &str), error: Option<&str>) -> Response {
    let body = html! {
        h1 { "Let a command line in" }
        (alert(error))
        // Looking changes nothing, so this is no POST.
        form method="get" action="/device" {
            (Field {
                name: "code",
                label: "Code",
                value: typed,
                autocomplete: "off",
                hint: Some("The eight letters that your terminal shows, such as BCDF-GHJK."),
                first: true,
                ..Field::default()
            }.render())
            button type="submit" { "Go on" }
        }
    };
    page(status, "Let a command line in", Some(&signed_in.form_token), &body)
}

fn confirm(
    signed_in: &SignedIn,
    (code, row): (&UserCode, &DeviceCodeRow),
    visitor: &Visitor,
) -> Response {
    let own = visitor.address.map(|address| address.to_string());
    let elsewhere = row.address.is_some() && row.address != own;
    let body = html! {
        h1 { "Let this command line in?" }
        p { "It asks for an API key that may do everything that you may." }
        (facts(code, row))
        p.alert role="note" {
            "Say yes only if you have just typed " code { "rig login" } " yourself, and your terminal \
             shows the same code. If somebody sent you here, by mail, chat or telephone, say no: they \
             would get into your account."
            @if elsewhere { strong { " It asks from another address than yours." } }
        }
        form method="post" action="/device" {
            (hidden("form_token", &signed_in.form_token))
            (hidden("code", &code.shown()))
            div.row {
                button type="submit" name="decision" value="approve" { "Yes, it is mine" }
                button.bad type="submit" name="decision" value="deny" { "No" }
            }
        }
    };
    page(StatusCode::OK, "Let this command line in?", Some(&signed_in.form_token), &body)
}

fn facts(code: &UserCode, row: &DeviceCodeRow) -> Markup {
    html! {
        dl {
            dt { "Code" }
            dd { strong { code { (code.shown()) } } }
            dt { "Program" }
            dd { (row.user_agent.as_deref().unwrap_or("does not say")) }
            dt { "From" }
            dd { (row.address.as_deref().unwrap_or("unknown")) }
            dt { "Asked at" }
            dd { (moment(row.created_at)) }
        }
    }
}
