//! Handlers of the account and the installation.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use rigbox_store::{PageRequest, workspaces::Owner};
use rigbox_types::{
    api::{
        accounts::{
            CapacityResponse, FeatureFlagsResponse, GetDashboardResponse, GetUserLimitsResponse,
            ListRegionsResponse, RegionSsh,
        },
        templates::TemplatesResponse,
    },
    openapi,
};

use super::{app, templates};
use crate::{
    apps::view::app as app_view, control::Control, credits::credits_of, error::ApiResult,
    http::access::ForAccount, workspaces::view,
};

/// Parts of the product and whether this version has them.
const FLAGS: &[(&str, bool)] = &[
    ("workspaces", true),
    ("terminal", true),
    ("apps", true),
    ("ai", true),
    ("snapshots", false),
    ("suspend", false),
    ("volumes", false),
];

/// The templates.
pub(crate) async fn template_list() -> Json<TemplatesResponse> {
    Json(TemplatesResponse { templates: templates::all() })
}

/// What there is room for.
pub(crate) async fn capacity_show(
    State(control): State<Arc<Control>>,
) -> ApiResult<Json<CapacityResponse>> {
    app::capacity(&control).await.map(Json)
}

/// What the account may use and does use.
pub(crate) async fn account_limits_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<GetUserLimitsResponse>> {
    app::limits(&control, *about.account.target()).await.map(Json)
}

/// The regions.
pub(crate) async fn account_regions_list(
    State(control): State<Arc<Control>>,
    _: ForAccount,
) -> ApiResult<Json<ListRegionsResponse>> {
    let regions = app::regions(&control).await?;
    let gateway = &control.config.ssh;
    let ssh = regions
        .iter()
        .map(|region| RegionSsh {
            region: region.clone(),
            host: gateway.host_of(region),
            port: gateway.port,
            enabled: gateway.enabled,
            host_key: control.ssh.host_key(),
            fingerprint: control.ssh.host_fingerprint(),
        })
        .collect();
    Ok(Json(ListRegionsResponse { regions, ssh }))
}

/// Which parts of the product there are.
pub(crate) async fn feature_flags_show(_: ForAccount) -> Json<FeatureFlagsResponse> {
    let flags: BTreeMap<_, _> = FLAGS.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
    Json(FeatureFlagsResponse { flags })
}

/// The account at a glance.
pub(crate) async fn dashboard_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<GetDashboardResponse>> {
    let account = *about.account.target();
    let page =
        control.store.workspaces().list(Owner::Account(account), &PageRequest::default()).await?;
    let apps = control.store.apps().list(account, &PageRequest::default()).await?;
    let ssh = &control.config.ssh;
    Ok(Json(GetDashboardResponse {
        workspaces: page.items.iter().map(|row| view::vm(row, ssh)).collect(),
        apps: apps.items.iter().map(|row| app_view(&control, row)).collect(),
        limits: app::limits(&control, account).await?,
        ai_credits: credits_of(&control, account).await?.0,
    }))
}

/// The OpenAPI document.
pub(crate) async fn openapi_show(State(control): State<Arc<Control>>) -> Response {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let text = control.openapi.get_or_init(openapi::text).clone();
    (json, text).into_response()
}
