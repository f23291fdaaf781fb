//! How the agent says no: the API's own error document, so that control passes it on.

use std::io;

use rigbox_types::api::error::{ApiErrorBody, ApiErrorDetail, ErrorCode};
use serde_json::json;

/// A request that is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    message: String,
    field: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    pub(crate) fn field(field: &'static str, message: impl std::fmt::Display) -> Self {
        let message = format!("{field} {message}");
        Self { code: ErrorCode::InvalidRequest, message, field: Some(field) }
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} does not exist"))
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    pub(crate) fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::new(ErrorCode::Internal, format!("{what}: {error}"))
    }

    /// What the guest's kernel said about a path.
    pub(crate) fn of_path(path: &str, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let new = |code, text: &str| Self::new(code, format!("{path}: {text}"));
        match error.kind() {
            _ if error.raw_os_error() == Some(libc::ELOOP) => {
                Self::field("path", "has too many symbolic links")
            }
            Kind::NotFound => Self::not_found(path),
            Kind::PermissionDenied => new(ErrorCode::Forbidden, "permission denied"),
            Kind::IsADirectory => Self::field("path", format_args!("{path} is a directory")),
            Kind::NotADirectory => {
                Self::field("path", format_args!("{path} is not in a directory"))
            }
            Kind::DirectoryNotEmpty => {
                Self::field("path", format_args!("{path} is not empty; use recursive=true"))
            }
            Kind::InvalidFilename | Kind::InvalidInput => {
                Self::field("path", "is not a name that the file system takes")
            }
            Kind::ReadOnlyFilesystem => new(ErrorCode::Forbidden, "read-only file system"),
            Kind::StorageFull | Kind::QuotaExceeded => {
                new(ErrorCode::QuotaExceeded, "the workspace's disk is full")
            }
            Kind::FileTooLarge => new(ErrorCode::TooLarge, "the file is too large"),
            _ => new(ErrorCode::Internal, &error.to_string()),
        }
    }

    pub(crate) fn body(self) -> ApiErrorBody {
        let details = self.field.map_or(serde_json::Value::Null, |field| json!({ "field": field }));
        ApiErrorBody { error: ApiErrorDetail { code: self.code, message: self.message, details } }
    }
}
