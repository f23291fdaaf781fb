//! What a caller reads who is not served: in the shape of the API that was called, so that the vendor's SDK
//! raises the right exception.
//! Invariant: nothing of a key, an address of a provider or an inner error is in it.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use rigbox_ai::{
    estimate::{EstimateError, Request},
    prices::UnknownModel,
    route::{NoRoute, rewrite::CallsField},
};
use rigbox_types::guest::refusal::Shape;
use serde_json::{Value, json};

use crate::purse::{HoldError, Short};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<Value>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, retry_after: None }
    }

    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    pub(crate) fn after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// In one word, for what is counted.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .after(Duration::from_secs(1))
    }

    /// Something of ours failed: what is in the log.
    pub(crate) fn internal(what: &str, error: &dyn std::error::Error) -> Self {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push_str(": ");
            causes.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = causes, "{what}");
        Self::unavailable("the AI proxy cannot do its work at the moment; try again")
    }

    /// As the caller's SDK expects it.
    pub(crate) fn answer(&self, shape: Shape) -> Response<Body> {
        let Self { status, code, message, details, retry_after } = self;
        let document = shape.document(status.as_u16(), code, message, details.as_ref());
        let mut answer = Response::new(Body::from(document.to_string()));
        *answer.status_mut() = *status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = retry_after {
            // Whole seconds, and never too few.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        answer
    }
}

impl From<NoRoute> for Refusal {
    fn from(error: NoRoute) -> Self {
        match error {
            NoRoute::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
            NoRoute::Method(_) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", error.to_string())
            }
            NoRoute::Query | NoRoute::Form(_) => Self::invalid(error.to_string()),
        }
    }
}

impl From<UnknownModel> for Refusal {
    fn from(error: UnknownModel) -> Self {
        let message = format!("{error}; {}", error.hint());
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message)
    }
}

impl From<EstimateError> for Refusal {
    fn from(error: EstimateError) -> Self {
        let message = format!("{error}; {}", error.hint());
        Self::invalid(message).with(json!({ "field": error.field() }))
    }
}

/// Why a call is not paid for, and what would be.
pub(crate) fn unpaid(error: HoldError, request: &Request, tokens: Option<u64>) -> Refusal {
    match error {
        HoldError::Exhausted(short) => exhausted(&short, request, tokens),
        HoldError::Behind => Refusal::internal("calls wait to be written down", &error),
        HoldError::Ledger(_) => Refusal::internal("hold credits", &error),
    }
}

fn exhausted(short: &Short, request: &Request, tokens: Option<u64>) -> Refusal {
    let Short { balance, held, needed } = short;
    let fits = short.fits();
    // Where the request says nothing of it, fewer were tried before.
    let said = request.tool_calls_max.unwrap_or(0).max(request.tools.uses_max);
    let tools = CallsField::of(request.operation).filter(|_| said > 1);
    let way_out = match (request.operation.output_field(), tokens, tools) {
        (Some(field), Some(tokens), _) => format!("; with {field} at most {tokens} it fits"),
        (Some(_), None, Some(calls)) => {
            let field = calls.name();
            format!("; with a smaller {field}, a shorter request or another model it may fit")
        }
        (Some(_), None, None) => "; a shorter request or another model may fit".to_owned(),
        (None, _, _) => String::new(),
    };
    let message = format!(
        "this call may cost {needed} credits; the balance is {balance}, of which {held} are held for \
         calls under way: {fits} would have fitted{way_out}"
    );
    Refusal::new(StatusCode::PAYMENT_REQUIRED, "credits_exhausted", message).with(json!({
        "balance_micro": balance.micro(),
        "held_micro": held.micro(),
        "needed_micro": needed.micro(),
        "fits_micro": fits.micro(),
        "fits_output_tokens": tokens,
    }))
}
