//! The endpoint table: every operation of the HTTP API, once, with its method, path, right, rate
//! class, request and answers. The router, the authorisation of every request, the checks of query
//! parameters and the OpenAPI document all read it.
//! Invariant: one row for each [`Operation`], and no two rows with the same method and path.
//! Does not know HTTP servers and handles nothing.

mod operation;
mod query;
mod table;

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{Right, api::error::ErrorCode};

pub use operation::Operation;
pub use table::ENDPOINTS;

impl Operation {
    /// The operation's row.
    ///
    /// # Panics
    /// Never: a test proves a row for each operation.
    #[must_use]
    pub fn endpoint(self) -> &'static Endpoint {
        ENDPOINTS
            .iter()
            .find(|endpoint| endpoint.operation == self)
            .expect("the test every_operation_has_one_row holds")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// What it does.
    pub operation: Operation,
    /// The HTTP method.
    pub method: Method,
    /// The whole path; what is in braces stands for one segment.
    pub path: &'static str,
    /// What the caller must be allowed.
    pub right: Right,
    /// Which bucket of the account it draws from.
    pub rate: RateClass,
    /// Query parameters; any other is refused.
    pub query: &'static [Parameter],
    /// The request's body.
    pub request: Payload,
    /// Status of success.
    pub status: u16,
    /// The answer's body.
    pub answer: Payload,
    /// Refusals beyond those that every endpoint has.
    pub errors: &'static [ErrorCode],
    /// Whether the first answer is kept for an `Idempotency-Key`.
    pub replay: Replay,
}

/// HTTP methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or asks for something.
    Post,
    /// Changes; a missing field keeps its value.
    Put,
    /// Changes; a missing field keeps its value, and `null` clears it.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// The method as HTTP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Buckets of requests per account and minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateClass {
    /// Sign-in and keys.
    Authentication,
    /// Everything about workspaces.
    Workspaces,
    /// Everything about apps.
    Apps,
    /// What needs no account.
    Open,
}

/// Whether a repeat with the same `Idempotency-Key` gets the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// The answer is kept.
    Kept,
    /// Nothing is kept: the request changes nothing, its answer is a stream, or a secret that is
    /// of no use twice.
    Never,
}

/// One query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: ParameterKind,
    /// Whether the request is refused without it.
    pub required: bool,
    /// For people.
    pub about: &'static str,
}

/// Largest [`ParameterKind::Count`]: what every reader of JSON has whole.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// What a query parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text of at most so many bytes.
    Text {
        /// Longest value.
        max_len: usize,
    },
    /// A whole number between the two.
    Number {
        /// Least.
        min: u32,
        /// Most.
        max: u32,
        /// When missing.
        default: u32,
    },
    /// At most so many visible ASCII characters.
    Word {
        /// Longest value.
        max_len: usize,
    },
    /// A reference to a thing that roles are given on (see [`ResourceRef`](crate::access::ResourceRef)).
    Resource,
    /// A position in bytes, from 0 to [`COUNT_MAX`].
    Count,
    /// Permissions in octal, such as `0644`; empty is like missing.
    Octal,
    /// `true` or `false`; `false` when missing.
    Flag,
    /// One of these words; the first one when missing.
    OneOf(&'static [&'static str]),
}

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// There is none.
    Empty,
    /// A JSON document.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON documents, one a line; the schema is that of one line.
    Lines(fn(&mut SchemaGenerator) -> Schema),
    /// A JSON document, or, when asked for, documents one a line.
    JsonOrLines(fn(&mut SchemaGenerator) -> Schema, fn(&mut SchemaGenerator) -> Schema),
    /// A JSON document, or, when asked for, the same as a table (RFC 4180).
    JsonOrCsv(fn(&mut SchemaGenerator) -> Schema),
    /// Server-sent events; the schema is that of one event's data.
    Events(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes.
    Bytes,
    /// A certificate in PEM.
    Pem,
    /// The connection becomes a WebSocket.
    WebSocket,
    /// A JSON document without a schema.
    AnyJson,
}

impl Endpoint {
    /// Whether the answer is a stream that may last as long as its reader wants.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(
            self.answer,
            Payload::Lines(_)
                | Payload::JsonOrLines(..)
                | Payload::Events(_)
                | Payload::Bytes
                | Payload::WebSocket
        )
    }

    const fn row(operation: Operation, method: Method, path: &'static str, right: Right) -> Self {
        Self {
            operation,
            method,
            path,
            right,
            rate: RateClass::Workspaces,
            query: &[],
            request: Payload::Empty,
            status: 200,
            answer: Payload::Empty,
            errors: &[],
            replay: match method {
                Method::Post => Replay::Kept,
                Method::Get | Method::Put | Method::Patch | Method::Delete => Replay::Never,
            },
        }
    }

    const fn get(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Get, path, right)
    }

    const fn post(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Post, path, right)
    }

    const fn put(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Put, path, right)
    }

    const fn patch(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Patch, path, right)
    }

    const fn delete(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Delete, path, right)
    }

    const fn rate(mut self, rate: RateClass) -> Self {
        self.rate = rate;
        self
    }

    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    const fn takes<T: JsonSchema>(mut self) -> Self {
        self.request = Payload::Json(schema_of::<T>);
        self
    }

    const fn takes_bytes(mut self) -> Self {
        self.request = Payload::Bytes;
        self
    }

    const fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.status = status;
        self.answer = Payload::Json(schema_of::<T>);
        self
    }

    const fn streams(mut self, answer: Payload) -> Self {
        self.answer = answer;
        self
    }

    const fn errors(mut self, errors: &'static [ErrorCode]) -> Self {
        self.errors = errors;
        self
    }

    const fn never_replayed(mut self) -> Self {
        self.replay = Replay::Never;
        self
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

#[cfg(test)]
mod tests;
