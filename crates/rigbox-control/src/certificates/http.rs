//! The certificate of the local CA, for whoever is to trust it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// The certificate, in PEM.
pub(crate) async fn ca_show(State(control): State<Arc<Control>>) -> ApiResult<Response> {
    let pem = control.certificates.ca_pem().ok_or_else(|| ApiError::not_found("local CA"))?;
    let kind = HeaderValue::from_static("application/x-pem-file");
    Ok(([(header::CONTENT_TYPE, kind)], pem).into_response())
}
