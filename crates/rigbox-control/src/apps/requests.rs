//! The last requests to an app. Since control's last start: what was before is not known.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_types::api::app_requests::ListAppRequestsResponse;

use crate::{control::Control, error::ApiResult, http::access::ForApp};

/// Lists them.
pub(crate) async fn app_request_list(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<ListAppRequestsResponse>> {
    let after = about.params.text("after").and_then(|text| text.parse().ok()).unwrap_or_default();
    let limit = usize::try_from(about.params.number("limit")).unwrap_or_default();
    let (requests, cursor) = control.app_requests.of(about.id.target(), after, limit);
    Ok(Json(ListAppRequestsResponse { requests, cursor }))
}
