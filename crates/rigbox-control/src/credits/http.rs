//! Handlers of credits: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, header};
use rigbox_store::{
    PageRequest,
    ledger::{Change, Entry},
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

/// Most entries of a table, as the document of the query says.
const CSV_MAX_COUNT: usize = 10_000;

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
    statement(&control, *about.account.target(), &about.params).await
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
    statement(&control, id, &about.params).await
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

async fn statement(control: &Control, account: AccountId, params: &Params) -> ApiResult<Response> {
    let page = page_request(params);
    if params.text("format") == Some("csv") {
        let csv = [(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))];
        return Ok((csv, csv::table(&all(control, account, page).await?)).into_response());
    }
    let page = control.store.ledger().statement(account, &page).await?;
    let entries = page.items.into_iter().map(app::entry).collect();
    let answer = CreditStatementResponse { entries, next_cursor: page.next_cursor };
    Ok(Json(answer).into_response())
}

/// The entries from a page on, up to [`CSV_MAX_COUNT`].
async fn all(control: &Control, account: AccountId, page: PageRequest) -> ApiResult<Vec<Entry>> {
    let (mut entries, mut page) = (Vec::new(), PageRequest { limit: PAGE_MAX, ..page });
    while entries.len() < CSV_MAX_COUNT {
        let next = control.store.ledger().statement(account, &page).await?;
        entries.extend(next.items);
        match next.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    Ok(entries)
}
