//! Handlers of apps: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::{Page, apps::AppRow};
use rigbox_types::{
    AppId, Principal, Right,
    api::{
        apps::{
            CreateAppRequest, GetAppResponse, ListAppsResponse, UpdateAppRequest,
            UpdateAppVisibilityRequest,
        },
        change::Change,
        workspaces::MessageResponse,
    },
    authz::authorise,
};

use super::{
    app,
    view::{self, Warned},
};
use crate::{
    access_control::of_app,
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{Asked, ForApp, ForOwner},
        body::Document,
        idempotency::Once,
        made::Made,
        page::page_request,
    },
};

type Answer = ApiResult<Warned<Json<GetAppResponse>>>;

/// Lists.
pub(crate) async fn app_list(
    State(control): State<Arc<Control>>,
    about: ForOwner,
) -> ApiResult<Json<ListAppsResponse>> {
    let (account, asked) = (*about.account.target(), page_request(&about.params));
    let page = if about.params.flag("shared") {
        if about.params.text("owner").is_some() {
            return Err(ApiError::field("shared", "does not go with owner"));
        }
        let page = control.store.apps().list_shared(account, &asked).await?;
        seen(&control, &about.principal, page).await?
    } else {
        control.store.apps().list(account, &asked).await?
    };
    let apps = page.items.iter().map(|row| view::app(&control, row)).collect();
    Ok(Json(ListAppsResponse { apps, next_cursor: page.next_cursor }))
}

/// Where roles count only under conditions each one is asked about, and a page may have fewer than
/// asked for.
async fn seen(control: &Control, who: &Principal, page: Page<AppRow>) -> ApiResult<Page<AppRow>> {
    if !control.store.bindings().has_conditions().await? {
        return Ok(page);
    }
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        let facts = of_app(&control.store, who, &row).await?;
        if authorise(who, Right::AppRead, &facts, ()).is_ok() {
            items.push(row);
        }
    }
    Ok(Page { items, next_cursor: page.next_cursor })
}

/// Creates.
pub(crate) async fn app_create(
    State(control): State<Arc<Control>>,
    Asked(access): Asked,
    once: Once,
    Document(request): Document<CreateAppRequest>,
) -> ApiResult<Warned<Made<GetAppResponse>>> {
    let row = match once.made::<AppId>() {
        // An attempt that was cut off had made it already.
        Some(id) => control.app(&id).await?,
        None => app::create(&control, access.principal()?, request, once.claim.as_ref()).await?,
    };
    let warning = control.edges.effective(row.revision).await;
    tracing::info!(app = %row.id, workspace = %row.workspace, "app created");
    let answer = GetAppResponse { app: view::app(&control, &row), warning: warning.clone() };
    Ok(Warned(Made::at("/apps", row.id, answer), warning))
}

/// Shows.
pub(crate) async fn app_show(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> Json<GetAppResponse> {
    Json(GetAppResponse { app: view::app(&control, &about.row), warning: None })
}

/// Changes.
pub(crate) async fn app_update(
    State(control): State<Arc<Control>>,
    about: ForApp,
    Document(request): Document<UpdateAppRequest>,
) -> Answer {
    answer(&control, &app::update(&control, &about.id, request).await?).await
}

/// Says who may visit.
pub(crate) async fn app_visibility_update(
    State(control): State<Arc<Control>>,
    about: ForApp,
    Document(request): Document<UpdateAppVisibilityRequest>,
) -> Answer {
    let request = UpdateAppRequest {
        visibility: Some(request.visibility),
        allowed_emails: request.allowed_emails.map_or(Change::Keep, Change::Set),
        ..UpdateAppRequest::default()
    };
    answer(&control, &app::update(&control, &about.id, request).await?).await
}

/// Deletes.
pub(crate) async fn app_delete(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Warned<Json<MessageResponse>>> {
    let revision = control.store.apps().delete(about.id.target()).await?;
    let warning = control.edges.effective(revision).await;
    let message = format!("app {} is deleted", about.row.published.name);
    Ok(Warned(Json(MessageResponse { message }), warning))
}

/// The app after a change, once edges have put it into effect.
async fn answer(control: &Control, row: &AppRow) -> Answer {
    let warning = control.edges.effective(row.revision).await;
    let app = view::app(control, row);
    Ok(Warned::document(warning, |warning| GetAppResponse { app, warning }))
}
