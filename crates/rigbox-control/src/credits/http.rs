//! Handlers of credits: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use http::HeaderMap;
use rigbox_store::{PageRequest, ledger::Change};
use rigbox_types::{
    AccountId, Principal,
    api::credits::{
        AiCredits, ChangeCreditsRequest, ChangeCreditsResponse, CreditStatementResponse,
    },
};

use super::app;
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{Access, ForAccount, ForPlatform, Id},
        body::Document,
        idempotency,
        page::page_request,
    },
    source::random,
    validate::text::in_field,
};

/// Shows the caller's own.
pub(crate) async fn account_credits_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<AiCredits>> {
    let (credits, _) = app::credits_of(&control, *about.account.target()).await?;
    Ok(Json(credits))
}

/// Lists what became of the caller's own.
pub(crate) async fn account_statement_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<CreditStatementResponse>> {
    statement(&control, *about.account.target(), &page_request(&about.params)).await
}

/// Shows somebody's.
pub(crate) async fn user_credits_show(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
) -> ApiResult<Json<AiCredits>> {
    let (credits, _) = app::credits_of(&control, id).await?;
    Ok(Json(credits))
}

/// Lists what became of somebody's.
pub(crate) async fn user_statement_show(
    State(control): State<Arc<Control>>,
    about: ForPlatform,
    Id(id): Id<AccountId>,
) -> ApiResult<Json<CreditStatementResponse>> {
    statement(&control, id, &page_request(&about.params)).await
}

/// Gives somebody credits, or puts them right. The request's own key is the entry's, so that a repeat
/// adds nothing however late it comes.
pub(crate) async fn user_credits_change(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
    (Extension(access), headers): (Extension<Access>, HeaderMap),
    Document(request): Document<ChangeCreditsRequest>,
) -> ApiResult<Json<ChangeCreditsResponse>> {
    in_field("reason", rigbox_types::text::Reason::check(&request.reason))?;
    let key = match idempotency::key(&headers)? {
        Some(key) => key,
        None => once()?,
    };
    let actor = match access.principal()? {
        Principal::Key { credential, .. } => credential.to_string(),
        Principal::Guest { workspace, .. } => format!("workspace:{workspace}"),
    };
    let change = Change {
        account: id,
        kind: request.kind,
        amount: request.amount,
        reason: &request.reason,
        actor: &actor,
        key: &key,
    };
    let (entry, balance) = control.store.ledger().change(&change).await?;
    tracing::info!(account = %id, amount = %entry.amount, actor, "credits changed");
    Ok(Json(ChangeCreditsResponse { entry: app::entry(entry), credits: app::view(&balance) }))
}

/// A key that nobody repeats.
fn once() -> ApiResult<String> {
    let bytes = random::<16>().map_err(ApiError::internal)?;
    Ok(format!("once-{}", crate::authn::hex(&bytes)))
}

async fn statement(
    control: &Control,
    account: AccountId,
    page: &PageRequest,
) -> ApiResult<Json<CreditStatementResponse>> {
    let page = control.store.ledger().statement(account, page).await?;
    let entries = page.items.into_iter().map(app::entry).collect();
    Ok(Json(CreditStatementResponse { entries, next_cursor: page.next_cursor }))
}
