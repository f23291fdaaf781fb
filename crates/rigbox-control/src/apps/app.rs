//! Making and changing apps.

use rigbox_store::{
    StoreError,
    apps::{AppRow, NewApp, Published},
    idempotency::Claim,
    workspaces::ChangeError,
};
use rigbox_types::{
    AppId, AppName, Authorised, Email, Principal, Right,
    api::{
        apps::{AppKind, AppStatus, CreateAppRequest, UpdateAppRequest},
        change::Change,
    },
    authz::{Denied, Resource, authorise, role},
    edge::Visibility,
    limits::{APP_EMAILS_MAX_COUNT, APP_METADATA_MAX_BYTES, APP_PORT_DEFAULT},
    text::{Description, DomainName},
};
use serde_json::{Value, json};

use crate::{
    access_control::of_workspace,
    account::regions,
    control::Control,
    error::{ApiError, ApiResult},
    source::random,
};

/// How often another id is tried where one is taken.
const ID_ATTEMPTS: usize = 3;

/// Makes an app in a workspace that the caller may make apps in.
pub(super) async fn create(
    control: &Control,
    who: &Principal,
    request: CreateAppRequest,
    claim: Option<&Claim>,
) -> ApiResult<AppRow> {
    let workspace = control.workspace(&request.workspace_id).await?;
    let facts = of_workspace(&control.store, who, &workspace).await?;
    for _ in 0..ID_ATTEMPTS {
        let id = AppId::from_random(random().map_err(ApiError::internal)?);
        // The right is to the app as it will be.
        let will_be = Resource::App {
            id: id.clone(),
            workspace: workspace.id.clone(),
            owner: workspace.account,
            granted: role(who, &facts),
            visibility: Visibility::default(),
            listed: false,
        };
        authorise(who, Right::AppWrite, &will_be, ()).map_err(|denied| match denied {
            Denied::Unknown => ApiError::not_found("workspace"),
            Denied::Forbidden => denied.into(),
        })?;
        let new = new_app(control, id, &request).await?;
        match control.store.apps().insert(&new, claim).await {
            Err(StoreError::Conflict { what: "app id", .. }) => {}
            other => return other.map_err(|error| name_taken(error, "name")),
        }
    }
    Err(ApiError::internal("no id is free"))
}

async fn new_app(control: &Control, id: AppId, request: &CreateAppRequest) -> ApiResult<NewApp> {
    check_name(control, &request.name).await?;
    check_description(request.description.as_deref())?;
    check_metadata(&request.metadata)?;
    let port = match (request.app_kind, request.port) {
        (AppKind::Service, Some(0)) => return Err(port_rule()),
        (AppKind::Service, port) => port.unwrap_or(APP_PORT_DEFAULT),
        (AppKind::Cli, None) => 0,
        (AppKind::Cli, Some(_)) => return Err(ApiError::field("port", "a cli has none")),
    };
    Ok(NewApp {
        id,
        workspace: request.workspace_id.clone(),
        name: request.name.clone(),
        kind: request.app_kind,
        port,
        protocol: request.protocol.unwrap_or_default(),
        description: request.description.clone().filter(|text| !text.is_empty()),
        metadata: request.metadata.clone(),
    })
}

/// Changes an app.
pub(super) async fn update(
    control: &Control,
    id: &Authorised<AppId>,
    request: UpdateAppRequest,
) -> ApiResult<AppRow> {
    if let Some(name) = &request.name {
        check_name(control, name).await?;
    }
    check_description(request.description.value().map(String::as_str))?;
    if let Some(metadata) = request.metadata.value() {
        check_metadata(metadata)?;
    }
    if let Some(emails) = request.allowed_emails.value() {
        check_emails(emails)?;
    }
    let domain = match request.custom_domain {
        Change::Set(text) if text.is_empty() => Change::Clear,
        Change::Set(text) => Change::Set(domain(control, &text)?),
        other => other,
    };
    let request = UpdateAppRequest { custom_domain: domain, ..request };
    change(control, id, move |row, is| edit(row, is, request)).await
}

fn edit(row: &AppRow, is: &mut Published, request: UpdateAppRequest) -> ApiResult<()> {
    if row.kind == AppKind::Cli && request.port.is_some() {
        return Err(ApiError::field("port", "a cli has none"));
    }
    if request.port == Some(0) {
        return Err(port_rule());
    }
    if row.kind == AppKind::Cli && request.custom_domain.value().is_some() {
        return Err(ApiError::field("custom_domain", "a cli is not visited"));
    }
    is.name = request.name.unwrap_or_else(|| is.name.clone());
    is.port = request.port.unwrap_or(is.port);
    is.description = request.description.or_keep_optional(is.description.take());
    is.description = is.description.take().filter(|text| !text.is_empty());
    is.metadata = request.metadata.or_keep(is.metadata.take());
    is.active = match request.status {
        None => is.active,
        Some(AppStatus::Active) => true,
        Some(AppStatus::Inactive) => false,
        Some(AppStatus::Installing | AppStatus::Error) => {
            return Err(ApiError::field("status", "may be set to active or inactive"));
        }
    };
    is.visibility = request.visibility.unwrap_or(is.visibility);
    is.allowed_emails = request.allowed_emails.or_keep(std::mem::take(&mut is.allowed_emails));
    is.allowed_emails.sort();
    is.allowed_emails.dedup();
    is.custom_domain = request.custom_domain.or_keep_optional(is.custom_domain.take());
    Ok(())
}

/// Changes what is published of an app.
pub(super) async fn change(
    control: &Control,
    id: &Authorised<AppId>,
    edit: impl FnOnce(&AppRow, &mut Published) -> ApiResult<()> + Send,
) -> ApiResult<AppRow> {
    let changed = control.store.apps().change(id.target(), edit).await;
    changed.map_err(|error| match error {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Store(error) => name_taken(error, "name"),
    })
}

/// Says in which field it is, and why the name of an app that is gone may not be had.
fn name_taken(error: StoreError, field: &str) -> ApiError {
    match &error {
        StoreError::Conflict { what: what @ ("app name" | "custom domain"), id } => {
            let message = format!(
                "{what} {id} is taken; one that was given up is free for others a day later"
            );
            let field = if *what == "app name" { field } else { "custom_domain" };
            ApiError::conflict(message).with(json!({ "taken": what, "field": field }))
        }
        StoreError::NotFound { what, .. } => ApiError::not_found(what),
        _ => error.into(),
    }
}

async fn check_name(control: &Control, name: &AppName) -> ApiResult<()> {
    let regions = regions(control).await?;
    name.usable(&regions).map_err(|why| {
        ApiError::conflict(format!("no app may have the name {name}: {why}"))
            .with(json!({ "field": "name", "reason": why.to_string() }))
    })
}

fn check_description(text: Option<&str>) -> ApiResult<()> {
    let checked = Description::check(text.unwrap_or_default());
    checked.map_err(|rule| ApiError::field("description", rule))
}

fn check_metadata(value: &Value) -> ApiResult<()> {
    if value.to_string().len() > APP_METADATA_MAX_BYTES {
        let rule = format!("may have at most {APP_METADATA_MAX_BYTES} bytes");
        return Err(ApiError::field("metadata", rule));
    }
    Ok(())
}

/// Checks whom an app is shown to.
pub(super) fn check_emails(emails: &[Email]) -> ApiResult<()> {
    if emails.len() > APP_EMAILS_MAX_COUNT {
        let rule = format!("may have at most {APP_EMAILS_MAX_COUNT} entries");
        return Err(ApiError::field("allowed_emails", rule));
    }
    Ok(())
}

/// A custom domain. The platform's own names are not for it.
fn domain(control: &Control, text: &str) -> ApiResult<String> {
    let name = DomainName::check(text).map_err(|rule| ApiError::field("custom_domain", rule))?;
    let own = control.config.edge.domain.as_str();
    let is_own = name == own || name.strip_suffix(own).is_some_and(|rest| rest.ends_with('.'));
    let is_dashboard = control.config.edge.dashboard_host.as_deref() == Some(name.as_str());
    if is_own || is_dashboard {
        let rule = format!("must not be below {own}, whose names belong to the platform");
        return Err(ApiError::field("custom_domain", rule));
    }
    Ok(name)
}

fn port_rule() -> ApiError {
    ApiError::field("port", "must be from 1 to 65535")
}
