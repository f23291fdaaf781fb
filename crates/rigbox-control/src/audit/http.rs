//! The record, as the API shows it.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_types::{api::audit::AuditResponse, authz::Standing};

use crate::{
    control::Control,
    error::ApiResult,
    http::{access::ForAccount, page::page_request},
};

/// Lists: an account's own entries, and to the operator everybody's.
pub(crate) async fn audit_list(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<AuditResponse>> {
    let of = match about.standing {
        Standing::Operator => None,
        Standing::User => Some(*about.account.target()),
    };
    let page = control.store.audit().list(of, &page_request(&about.params)).await?;
    Ok(Json(AuditResponse { entries: page.items, next_cursor: page.next_cursor }))
}
