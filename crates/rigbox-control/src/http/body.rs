//! Reading a request's body, within a size and a time.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rigbox_types::{api::error::ErrorCode, limits::BODY_MAX_BYTES};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    error::{ApiError, ApiResult},
    http::explain,
};

/// How long a JSON body may take to arrive: 1 MiB at 35 kB/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON document of the request, read strictly. The media type is not looked at: what parses is
/// JSON, whatever a client calls it.
pub(crate) struct Document<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Document<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = collect(request.headers().clone(), request.into_body()).await?;
        explain::read(&bytes).map(Self)
    }
}

/// Reads a whole body of at most [`BODY_MAX_BYTES`].
pub(crate) async fn collect(headers: HeaderMap, body: Body) -> ApiResult<Bytes> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_MAX_BYTES) {
        return Err(too_large());
    }
    let read = timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX_BYTES).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(ApiError::request("the body ended before its announced length").because(error))
        }
        Err(_) => Err(ApiError::request("the body did not arrive in time")),
    }
}

fn too_large() -> ApiError {
    ApiError::new(ErrorCode::TooLarge, format!("the body is over {BODY_MAX_BYTES} bytes"))
        .with(json!({ "maximum": BODY_MAX_BYTES }))
}
