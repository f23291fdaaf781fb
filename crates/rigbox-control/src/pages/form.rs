//! Reading a form: bounded, each field once, and only from a page of ours.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::{header, request::Parts};
use rigbox_types::api::error::ErrorCode;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;

use super::{PageError, entry::SignedIn};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::body,
};

/// Most fields of a form.
const FIELDS_MAX: usize = 16;
/// Longest value of a field, in bytes.
const VALUE_MAX_LEN: usize = 2048;

/// The fields of a form that our own page sent.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// What was typed into a field; nothing where it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The same, where it must not be shown.
    pub(super) fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.text(name).to_owned())
    }

    /// Refuses a form that was not made for this session.
    pub(super) fn check(&self, signed_in: &SignedIn) -> ApiResult<()> {
        let token = self.text("form_token").as_bytes();
        if bool::from(token.ct_eq(signed_in.form_token.as_bytes())) {
            return Ok(());
        }
        let text = "this form is from another session: go back, load the page again, and retry";
        Err(ApiError::new(ErrorCode::Forbidden, text))
    }
}

impl FromRequest<Arc<Control>> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &Arc<Control>) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.unwrap_or_default().starts_with("application/x-www-form-urlencoded") {
            return Err(ApiError::request("this is not a form").into());
        }
        let bytes = body::collect(request.headers().clone(), request.into_body()).await?;
        read(&bytes).map_err(PageError::from)
    }
}

/// The query of a page, as far as it is known.
pub(super) struct Wishes<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Control>> for Wishes<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> Result<Self, PageError> {
        let query = parts.uri.query().unwrap_or_default();
        let read = serde_urlencoded::from_str(query);
        let broken = |_| ApiError::request("this address cannot be read");
        read.map(Self).map_err(broken).map_err(PageError::from)
    }
}

fn read(bytes: &[u8]) -> ApiResult<Form> {
    let broken = || ApiError::request("this form cannot be read");
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes).map_err(|_| broken())?;
    if pairs.len() > FIELDS_MAX || pairs.iter().any(|(_, value)| value.len() > VALUE_MAX_LEN) {
        return Err(ApiError::request("this form has more in it than fits"));
    }
    let mut fields = BTreeMap::new();
    for (name, value) in pairs {
        if fields.insert(name, value).is_some() {
            return Err(broken());
        }
    }
    Ok(Form(fields))
}
