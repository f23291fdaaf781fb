//! An app as the API shows it, and the answers about one.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue};
use rigbox_store::apps::AppRow;
use rigbox_types::api::apps::{App, AppKind, AppStatus};
use serde::Serialize;

use crate::{
    control::Control,
    edges::route::{host_name, origin},
};

/// Says in a header what an answer's `warning` says.
const WARNING: HeaderName = HeaderName::from_static("x-rigbox-warning");

/// The app.
pub(crate) fn app(control: &Control, row: &AppRow) -> App {
    let (is, edge) = (&row.published, &control.config.edge);
    let url = (row.kind == AppKind::Service)
        .then(|| format!("{}/", origin(&host_name(&is.name, edge), edge)));
    App {
        id: row.id.clone(),
        name: is.name.clone(),
        subdomain: is.name.clone(),
        url,
        workspace_id: row.workspace.clone(),
        user_id: row.account,
        node_id: row.host.clone(),
        app_kind: row.kind,
        port: is.port,
        protocol: row.protocol,
        status: if is.active { AppStatus::Active } else { AppStatus::Inactive },
        visibility: is.visibility,
        allowed_emails: is.allowed_emails.clone(),
        custom_domain: is.custom_domain.clone(),
        custom_domain_verified: is.domain_verified,
        description: is.description.clone(),
        metadata: is.metadata.clone(),
        managed: false,
        depends_on: Vec::new(),
        system_tags: Vec::new(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// An answer that may say that edges are late.
pub(crate) struct Warned<T>(pub(crate) T, pub(crate) Option<String>);

impl<T: IntoResponse> IntoResponse for Warned<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if let Some(warning) = self.1.and_then(|text| HeaderValue::try_from(text).ok()) {
            response.headers_mut().insert(WARNING, warning);
        }
        response
    }
}

impl<T: Serialize> Warned<Json<T>> {
    /// A document that says it, too.
    pub(crate) fn document(
        warning: Option<String>,
        document: impl FnOnce(Option<String>) -> T,
    ) -> Self {
        Self(Json(document(warning.clone())), warning)
    }
}
