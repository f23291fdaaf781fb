//! Whom the credential of a visitor belongs to.
//! Invariants: a credential counts only for what it was made for: a key is no cookie and a cookie of one
//! app none of another; an account that is disabled is nobody; a link counts as long as whoever made it
//! may say who visits the app; a refusal leaves an entry in the record, of which strangers cannot make
//! more than a bounded number.
//! Does not decide whether the visitor may visit: the edge does, with the route that it has. What is
//! decided here is only for the record.

use std::net::IpAddr;

use rigbox_store::{
    app_visits::RestsOn,
    apps::AppRow,
    audit::NewEntry,
    sessions::{Level, SessionRow},
    share_links::ShareLinkRow,
};
use rigbox_types::{
    AccountId, Credential, KeyScopes, Principal, Right,
    api::{audit::AuditStage, error::ErrorCode},
    authz::{Resource, Standing, Visiting, authorise, authorise_visit},
    edge::{Admission, AdmissionRequest, Shown, Visitor},
};
use secrecy::SecretString;

use crate::{
    access_control::role_on_app,
    authn::{ApiKey, Presented, check_enabled},
    control::Control,
    error::{ApiError, ApiResult},
};

/// The word of the record.
const ACTION: &str = "app_visit";

/// Longest credential that is looked at.
const SECRET_MAX_LEN: usize = 256;

/// Answers, and records a refusal.
pub(super) async fn admit(control: &Control, request: AdmissionRequest) -> ApiResult<Admission> {
    let AdmissionRequest { app, shown, from } = request;
    let row = match control.app(&app).await {
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(Admission::Unknown),
        other => other?,
    };
    let admission = match &shown {
        Shown::Key(key) => of_key(control, &row, key).await?,
        Shown::Cookie(cookie) => of_cookie(control, &row, cookie).await?,
        Shown::Link(secret) => match link(control, &row, secret).await? {
            Some(link) => Admission::Link { expires_at: link.expires_at },
            None => Admission::Unknown,
        },
    };
    record(control, &row, (&admission, &from));
    Ok(admission)
}

async fn of_key(control: &Control, row: &AppRow, text: &str) -> ApiResult<Admission> {
    let Ok(key) = text.parse::<ApiKey>() else { return Ok(Admission::Unknown) };
    let caller = control.authn.caller(&control.store, &Presented::Key(key)).await;
    let Some(caller) = known(caller)? else { return Ok(Admission::Unknown) };
    let Principal::Key { credential: Credential::Key(key), account, standing, scopes } =
        caller.principal
    else {
        return Ok(Admission::Unknown);
    };
    // The key may have been known from before the account was disabled.
    if known(check_enabled(&control.store, account).await)?.is_none() {
        return Ok(Admission::Unknown);
    }
    let expires_at = control.store.api_keys().get(account, key).await?.expires_at;
    let visitor = visitor(control, row, (account, standing)).await?;
    Ok(Admission::Account(Box::new(Visitor { key: Some(key), scopes, expires_at, ..visitor })))
}

async fn of_cookie(control: &Control, row: &AppRow, text: &str) -> ApiResult<Admission> {
    let Some(hash) = hash(control, text) else { return Ok(Admission::Unknown) };
    let Some(cookie) = control.store.app_visits().cookie(&row.id, &hash).await? else {
        return Ok(Admission::Unknown);
    };
    match cookie.rests_on {
        RestsOn::Session(id) => {
            let found = control.store.sessions().find(id).await?;
            let Some(session) = found.filter(|session| goes_on(control, session)) else {
                return Ok(Admission::Unknown);
            };
            if known(check_enabled(&control.store, session.account).await)?.is_none() {
                return Ok(Admission::Unknown);
            }
            if let Err(error) = control.store.sessions().leaned_on(&session).await {
                // At worst it ends earlier than it would have to.
                tracing::warn!(%error, "the use of a session was not noted");
            }
            let visitor = visitor(control, row, (session.account, session.standing)).await?;
            let expires_at = Some(cookie.expires_at.min(session.ends_at()));
            let session = Some(session.id);
            Ok(Admission::Account(Box::new(Visitor { session, expires_at, ..visitor })))
        }
        RestsOn::Link(id) => {
            let links = control.store.share_links().list(&row.id).await?;
            let link = links.into_iter().find(|link| link.id == id);
            Ok(match link {
                Some(link) if counts(control, row, &link).await? => {
                    Admission::Link { expires_at: cookie.expires_at.min(link.expires_at) }
                }
                Some(_) | None => Admission::Unknown,
            })
        }
    }
}

/// The link of an app with this secret, if it counts.
pub(super) async fn link(
    control: &Control,
    row: &AppRow,
    secret: &str,
) -> ApiResult<Option<ShareLinkRow>> {
    let Some(hash) = hash(control, secret) else { return Ok(None) };
    let Some(link) = control.store.share_links().find(&row.id, &hash).await? else {
        return Ok(None);
    };
    Ok(counts(control, row, &link).await?.then_some(link))
}

/// Whether whoever made a link may still say who visits the app.
async fn counts(control: &Control, row: &AppRow, link: &ShareLinkRow) -> ApiResult<bool> {
    let account = link.created_by;
    let made_by = control.store.accounts().get(account).await?;
    if made_by.profile.disabled_at.is_some() {
        return Ok(false);
    }
    let who = Principal::whole(account, made_by.standing);
    let facts = facts(row, role_on_app(&control.store, account, row).await?, false);
    Ok(authorise(&who, Right::AppWrite, &facts, ()).is_ok())
}

/// Whether a session is whole and goes on.
pub(super) fn goes_on(control: &Control, session: &SessionRow) -> bool {
    session.level == Level::Full && session.ends_at() > control.store.now()
}

/// What is kept of a secret; none of what is none of ours.
pub(super) fn hash(control: &Control, secret: &str) -> Option<rigbox_store::api_keys::KeyHash> {
    let fits = !secret.is_empty() && secret.len() <= SECRET_MAX_LEN;
    fits.then(|| control.authn.hasher.hash(&SecretString::from(secret.to_owned())))
}

async fn visitor(
    control: &Control,
    row: &AppRow,
    (account, standing): (AccountId, Standing),
) -> ApiResult<Visitor> {
    let email = control.store.accounts().get(account).await?.profile.email;
    let granted = match account == row.account {
        true => None,
        false => role_on_app(&control.store, account, row).await?,
    };
    Ok(Visitor {
        account,
        email,
        standing,
        key: None,
        session: None,
        scopes: KeyScopes::full(),
        granted,
        expires_at: None,
    })
}

/// The facts of an app for one visitor.
pub(crate) fn facts(
    row: &AppRow,
    granted: Option<rigbox_types::access::Role>,
    listed: bool,
) -> Resource {
    Resource::App {
        id: row.id.clone(),
        workspace: row.workspace.clone(),
        owner: row.account,
        granted,
        visibility: row.published.visibility,
        listed,
    }
}

/// What was found; none where the credential is nobody's.
fn known<T>(found: ApiResult<T>) -> ApiResult<Option<T>> {
    match found {
        Err(error) if error.code() == ErrorCode::Unauthenticated => Ok(None),
        other => other.map(Some),
    }
}

/// Leaves an entry where the visitor is refused.
fn record(control: &Control, row: &AppRow, (admission, from): (&Admission, &str)) {
    let (account, actor, code) = match admission {
        Admission::Unknown => (None, "anonymous".to_owned(), ErrorCode::Unauthenticated),
        Admission::Link { .. } => return,
        Admission::Account(visitor) => {
            let listed = visitor
                .email
                .as_ref()
                .is_some_and(|email| row.published.allowed_emails.contains(email));
            let Some(principal) = principal(visitor) else { return };
            let facts = facts(row, visitor.granted, listed);
            if authorise_visit(Visiting::Known(&principal), &facts, ()).is_ok() {
                return;
            }
            let actor = match &principal {
                Principal::Key { credential, .. } => credential.to_string(),
                Principal::Guest { .. } => return,
            };
            (Some(visitor.account), actor, ErrorCode::Forbidden)
        }
    };
    if !control.rates.is_worth_an_entry() {
        return;
    }
    control.audit.completed(NewEntry {
        stage: AuditStage::Completed,
        request_id: String::new(),
        action: ACTION.to_owned(),
        account,
        actor,
        address: from.parse::<IpAddr>().ok().map(|address| address.to_string()),
        target: format!("/apps/{}", row.id),
        status: Some(ApiError::new(code, "").http_status().as_u16()),
        code: Some(code.as_str().to_owned()),
    });
}

/// The visitor as whoever decides knows them.
fn principal(visitor: &Visitor) -> Option<Principal> {
    let credential = match (visitor.key, visitor.session) {
        (Some(key), _) => Credential::Key(key),
        (None, Some(session)) => Credential::Session(session),
        (None, None) => return None,
    };
    let Visitor { account, standing, scopes, .. } = visitor;
    Some(Principal::Key {
        credential,
        account: *account,
        standing: *standing,
        scopes: scopes.clone(),
    })
}
