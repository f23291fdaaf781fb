//! The answer to a request that made something: 201, where the thing is, and what it is.
//! The place is what the audit record says was made.

use std::fmt::Display;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// See the module.
pub(crate) struct Made<T> {
    location: String,
    document: T,
}

impl<T> Made<T> {
    /// `document` is about a new thing, which is at `list`/`id` below the API's base.
    pub(crate) fn at(list: &str, id: impl Display, document: T) -> Self {
        Self { location: format!("/api/v1{list}/{id}"), document }
    }
}

impl<T: Serialize> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.document)).into_response();
        // Ids and names are visible ASCII, so that this is always a value.
        if let Ok(location) = HeaderValue::try_from(self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
