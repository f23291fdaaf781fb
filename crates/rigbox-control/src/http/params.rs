//! Query parameters, checked against the endpoint's row: an unknown one, a second one and one out
//! of bounds are refused. Pure.

use std::collections::BTreeMap;

use axum::extract::Query;
use http::Uri;
use rigbox_types::{
    access::ResourceRef,
    endpoint::{COUNT_MAX, Endpoint, ParameterKind},
    nearest::nearest,
};
use serde_json::json;

use crate::error::ApiError;

/// The query of a request that was checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    values: BTreeMap<&'static str, String>,
    endpoint: Option<&'static Endpoint>,
}

impl Params {
    /// Checks the query of `uri`.
    pub(crate) fn read(endpoint: &'static Endpoint, uri: &Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| ApiError::request("the query cannot be read"))?;
        let mut values = BTreeMap::new();
        for (name, value) in pairs {
            let known = endpoint.query.iter().find(|parameter| parameter.name == name);
            let Some(parameter) = known else { return Err(unknown(endpoint, &name)) };
            check(parameter.name, &parameter.kind, &value)?;
            if values.insert(parameter.name, value).is_some() {
                return Err(ApiError::field(parameter.name, "may be given once"));
            }
        }
        let given = |name| values.get(name).is_some_and(|value: &String| !value.is_empty());
        let missing = endpoint.query.iter().find(|row| row.required && !given(row.name));
        if let Some(parameter) = missing {
            return Err(ApiError::field(parameter.name, "is required"));
        }
        Ok(Self { values, endpoint: Some(endpoint) })
    }

    /// A text, if given and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A flag.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A number: the given one, or the row's default.
    pub(crate) fn number(&self, name: &str) -> u32 {
        let given = self.text(name).and_then(|value| value.parse().ok());
        given.or_else(|| self.default_number(name)).unwrap_or_default()
    }

    fn default_number(&self, name: &str) -> Option<u32> {
        let parameter = self.endpoint?.query.iter().find(|parameter| parameter.name == name)?;
        match parameter.kind {
            ParameterKind::Number { default, .. } => Some(default),
            ParameterKind::Text { .. }
            | ParameterKind::Word { .. }
            | ParameterKind::Resource
            | ParameterKind::Count
            | ParameterKind::Octal
            | ParameterKind::Flag
            | ParameterKind::OneOf(_) => None,
        }
    }
}

fn check(name: &str, kind: &ParameterKind, value: &str) -> Result<(), ApiError> {
    let rule = match kind {
        ParameterKind::Text { max_len } => {
            if value.contains('\0') {
                "may not contain NUL".to_owned()
            } else if value.len() > *max_len {
                format!("may have at most {max_len} bytes")
            } else {
                return Ok(());
            }
        }
        ParameterKind::Word { max_len } => {
            if value.len() <= *max_len && value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Ok(());
            }
            format!("may have at most {max_len} visible ASCII characters")
        }
        ParameterKind::Resource => match value.parse::<ResourceRef>() {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
        ParameterKind::Number { min, max, .. } => {
            // `+5` parses as a number in Rust, but `+` is a space in a query anyway.
            match value.parse::<u32>() {
                Ok(number) if is_digits(value) && (*min..=*max).contains(&number) => return Ok(()),
                _ => format!("must be a whole number from {min} to {max}"),
            }
        }
        ParameterKind::Count => match value.parse::<u64>() {
            Ok(number) if is_digits(value) && number <= COUNT_MAX => return Ok(()),
            _ => "must be a number of bytes".to_owned(),
        },
        ParameterKind::Octal if value.is_empty() || is_octal(value) => return Ok(()),
        ParameterKind::Octal => "must be permissions in octal, such as 0644".to_owned(),
        ParameterKind::Flag if matches!(value, "true" | "false") => return Ok(()),
        ParameterKind::Flag => "must be true or false".to_owned(),
        ParameterKind::OneOf(words) if words.contains(&value) => return Ok(()),
        ParameterKind::OneOf(words) => format!("must be one of {}", words.join(", ")),
    };
    Err(ApiError::field(name, rule))
}

fn is_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_octal(value: &str) -> bool {
    (3..=5).contains(&value.len()) && value.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
}

fn unknown(endpoint: &Endpoint, name: &str) -> ApiError {
    let known: Vec<&str> = endpoint.query.iter().map(|parameter| parameter.name).collect();
    let nearest = nearest(name, known.iter().copied());
    let hint = nearest.map_or_else(
        || "this endpoint takes none".to_owned(),
        |nearest| format!("the nearest known one is {nearest}"),
    );
    // Cut, so that a long name is not sent back whole.
    let name: String = name.chars().take(64).collect();
    ApiError::request(format!("unknown query parameter {name}, {hint}"))
        .with(json!({ "field": name, "nearest": nearest, "known": known }))
}

#[cfg(test)]
mod tests {
    use rigbox_types::endpoint::Operation;

    use super::*;

    fn read(operation: Operation, query: &str) -> Result<Params, ApiError> {
        let uri = format!("/x?{query}").parse().unwrap();
        Params::read(operation.endpoint(), &uri)
    }

    #[test]
    fn a_missing_number_has_the_default_of_the_row() {
        let params = read(Operation::WorkspaceLogs, "").unwrap();
        assert_eq!(params.number("lines"), 200);
        assert_eq!(read(Operation::WorkspaceLogs, "lines=5000").unwrap().number("lines"), 5000);
    }

    #[test]
    fn what_the_row_does_not_allow_is_refused() {
        for (query, expected) in [
            ("lines=0", "lines: must be a whole number from 1 to 5000"),
            ("lines=5001", "lines: must be a whole number from 1 to 5000"),
            ("lines=-1", "lines: must be a whole number from 1 to 5000"),
            ("lines=", "lines: must be a whole number from 1 to 5000"),
            ("direction=up", "direction: must be one of newest, oldest"),
            ("line=5", "unknown query parameter line, the nearest known one is lines"),
            ("lines=1&lines=2", "lines: may be given once"),
            ("cursor=%00", "cursor: may not contain NUL"),
        ] {
            let error = read(Operation::WorkspaceLogs, query).unwrap_err();
            assert_eq!(error.message(), expected, "{query}");
        }
        assert_eq!(
            read(Operation::WorkspaceFileRead, "").unwrap_err().message(),
            "path: is required"
        );
        assert_eq!(
            read(Operation::WorkspaceShow, "a=1").unwrap_err().message(),
            "unknown query parameter a, this endpoint takes none"
        );
        assert!(read(Operation::WorkspaceDelete, "force=yes").is_err());
        assert!(read(Operation::WorkspaceDelete, "force=true").unwrap().flag("force"));
    }
}
