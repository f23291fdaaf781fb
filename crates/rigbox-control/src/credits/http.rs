//! Handlers of credits: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, future, stream};
use http::{HeaderMap, HeaderValue, header};
use rigbox_store::{
    PageRequest,
    ledger::{Change, LedgerError},
};
use rigbox_types::{
    AccountId, Principal,
    api::credits::{
        AiCredits, ChangeCreditsRequest, ChangeCreditsResponse, CreditStatementResponse,
    },
    limits::PAGE_MAX,
};

use super::{app, csv};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{Access, ForAccount, ForPlatform, Id},
        body::Document,
        idempotency,
        page::page_request,
        params::Params,
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
) -> ApiResult<Response> {
    statement(control, *about.account.target(), &about.params).await
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
) -> ApiResult<Response> {
    statement(control, id, &about.params).await
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
    let credits = app::view(&control, id, &balance).await?;
    Ok(Json(ChangeCreditsResponse { entry: app::entry(entry), credits }))
}

/// A key that nobody repeats.
fn once() -> ApiResult<String> {
    let bytes = random::<16>().map_err(ApiError::internal)?;
    Ok(format!("once-{}", crate::authn::hex(&bytes)))
}

async fn statement(
    control: Arc<Control>,
    account: AccountId,
    params: &Params,
) -> ApiResult<Response> {
    let page = page_request(params);
    if params.text("format") == Some("csv") {
        return table(control, account, page).await;
    }
    let page = control.store.ledger().statement(account, &page).await?;
    let entries = page.items.into_iter().map(app::entry).collect();
    let answer = CreditStatementResponse { entries, next_cursor: page.next_cursor };
    Ok(Json(answer).into_response())
}

/// All entries from a page on. They are read as they are sent, because an account may have millions: an
/// answer that was cut off has failed, and is not to be taken for a short one.
async fn table(
    control: Arc<Control>,
    account: AccountId,
    page: PageRequest,
) -> ApiResult<Response> {
    let page = PageRequest { limit: PAGE_MAX, ..page };
    let first = control.store.ledger().statement(account, &page).await?;
    let rest = stream::try_unfold(first.next_cursor, move |cursor| {
        let control = Arc::clone(&control);
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let page = PageRequest { limit: PAGE_MAX, cursor: Some(cursor) };
            let next = control.store.ledger().statement(account, &page).await?;
            Ok(Some((csv::rows(&next.items), next.next_cursor)))
        }
    });
    let begin = [csv::HEAD.to_owned(), csv::rows(&first.items)].concat();
    let begin = stream::once(future::ready(Ok::<_, LedgerError>(begin)));
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))];
    Ok((kind, Body::from_stream(begin.chain(rest))).into_response())
}
