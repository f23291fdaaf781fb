//! Turns what serde says of a document into what its writer needs: which field, which rule, and the
//! nearest name where the name is unknown. Pure.
//! Invariant: no value of the document is repeated, because it may be a secret.

use rigbox_types::nearest::nearest;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::strict::{Documents, Strict, TWICE};
use crate::error::ApiError;

/// Most characters of an unknown name that are sent back.
const NAME_SHOWN_MAX_LEN: usize = 64;

/// Reads a document strictly.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::request("the body must be a JSON document, it is empty"));
    }
    let Strict(value) = serde_json::from_slice(bytes).map_err(|error| not_read(&error))?;
    serde_path_to_error::deserialize(Documents(value))
        .map_err(|error| explain(&error.path().to_string(), &error.inner().to_string()))
}

fn not_read(error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    if let Some(name) = text.strip_prefix(TWICE) {
        let name = name.rsplit_once(" at line ").map_or(name, |(name, _)| name);
        return ApiError::field(&cut(name), "is there more than once");
    }
    let what = if error.is_eof() { "ends too early" } else { "is not valid" };
    ApiError::request(format!("the body is not JSON: it {what} at line {line}, column {column}"))
}

/// `path` is serde's (`.` for the document itself), `said` is serde's own sentence.
fn explain(path: &str, said: &str) -> ApiError {
    let parent = if path == "." { "" } else { path };
    // Names of variables are made up too.
    let parent = &cut_members(parent);
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    let (first, known) = match quoted.split_first() {
        Some((first, known)) => (*first, known),
        None => ("", quoted.as_slice()),
    };
    if said.starts_with("unknown field") {
        return unknown_field(parent, first, known);
    }
    if said.starts_with("missing field") {
        return ApiError::field(&child(parent, first), "is required");
    }
    let field = if parent.is_empty() { "the document" } else { parent };
    if said.starts_with("unknown variant") {
        let error = ApiError::field(field, format!("must be one of {}", known.join(", ")));
        return error.with(json!({ "field": field, "allowed": known }));
    }
    if said.starts_with("invalid ") {
        let expected = said.rsplit_once("expected ").map_or(said, |(_, expected)| expected);
        return ApiError::field(field, format!("must be {}", in_words(expected)));
    }
    if said.starts_with("UUID parsing failed") {
        return ApiError::field(field, "must be a UUID");
    }
    // What our own types say when they parse: they never repeat the value.
    ApiError::field(field, said)
}

fn unknown_field(parent: &str, name: &str, known: &[&str]) -> ApiError {
    // Serde's path may already end with it.
    let parent = parent.strip_suffix(name).unwrap_or(parent).trim_end_matches('.');
    let name = cut(name);
    let path = &child(parent, &name);
    let name = name.as_str();
    let Some(nearest) = nearest(name, known.iter().copied()) else {
        return ApiError::request(format!("unknown field {path}"))
            .with(json!({ "field": path, "nearest": null, "known": [] }));
    };
    ApiError::request(format!("unknown field {path}, the nearest known one is {nearest}"))
        .with(json!({ "field": path, "nearest": nearest, "known": known }))
}

fn cut_members(path: &str) -> String {
    path.split('.').map(cut).collect::<Vec<_>>().join(".")
}

/// A name that somebody made up: so much of it that it is known again.
fn cut(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX_LEN).collect()
}

/// The path of a member. Serde's path of an unknown member may already end with its name.
fn child(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else if parent == name || parent.ends_with(&format!(".{name}")) {
        parent.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

/// The type names of serde in words of the contract.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" => "a string",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        text if text.starts_with("struct ") => "an object",
        text if text.contains("UUID") => "a UUID",
        text => return text.to_owned(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use rigbox_types::api::{
        service_specs::CreateServiceSpecRequest, workspaces::CreateWorkspaceRequest,
    };

    use serde_json::Value;

    use super::*;

    fn refused<T: DeserializeOwned>(text: &str) -> (String, Value) {
        let Err(error) = read::<T>(text.as_bytes()) else { panic!("{text} was read") };
        let message = error.message().to_owned();
        let response = axum::response::IntoResponse::into_response(error);
        assert_eq!(response.status(), 400);
        let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(
            response.into_body(),
        ));
        let bytes = body.unwrap().unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        (message, value["error"]["details"].clone())
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest_known_one() {
        let (message, details) = refused::<CreateWorkspaceRequest>(r#"{"name":"a","ramMb":1}"#);
        assert_eq!(message, "unknown field ramMb, the nearest known one is ram_mb");
        assert_eq!(details["field"], "ramMb");
        assert_eq!(details["nearest"], "ram_mb");
        let nested = r#"{"name":"a","egress":{"mod":"open"}}"#;
        let (_, details) = refused::<CreateWorkspaceRequest>(nested);
        assert_eq!(details["field"], "egress.mod");
        assert_eq!(details["nearest"], "mode");
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        let (message, details) = refused::<CreateWorkspaceRequest>(r#"{"name":"a","name":"b"}"#);
        assert_eq!(message, "name: is there more than once");
        assert_eq!(details["field"], "name");
        let text = r#"{"name":"a","env_vars":{" at line 7":"1"," at line 7":"2"}}"#;
        let (message, _) = refused::<CreateWorkspaceRequest>(text);
        assert_eq!(message, " at line 7: is there more than once");
        let (message, _) = refused::<CreateWorkspaceRequest>(r#"["a", null]"#);
        assert_eq!(message, "the document: must be an object");
        let text = r#"{"name":"a","egress":["open"]}"#;
        let (message, _) = refused::<CreateWorkspaceRequest>(text);
        assert_eq!(message, "egress: must be an object");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let (message, _) = refused::<CreateWorkspaceRequest>(&deep);
        assert!(message.starts_with("the body is not JSON"), "{message}");
    }

    #[test]
    fn a_long_name_is_cut() {
        let long = "x".repeat(100_000);
        let cut = "x".repeat(64);
        let (message, details) =
            refused::<CreateWorkspaceRequest>(&format!(r#"{{"name":"a","{long}":1}}"#));
        assert!(message.starts_with(&format!("unknown field {cut}, the nearest")), "{message}");
        assert_eq!(details["field"], cut);
        let text = format!(r#"{{"name":"a","egress":{{"{long}":1}}}}"#);
        let (_, details) = refused::<CreateWorkspaceRequest>(&text);
        assert_eq!(details["field"], format!("egress.{cut}"));
        let text = format!(r#"{{"name":"a","env_vars":{{"{long}":1}}}}"#);
        let (_, details) = refused::<CreateWorkspaceRequest>(&text);
        assert_eq!(details["field"], format!("env_vars.{cut}"));
    }

    #[test]
    fn a_wrong_type_names_its_field_and_not_its_value() {
        let cases = [
            (r#"{"name":"a","ram_mb":"lots"}"#, "ram_mb: must be a whole number from 0 to"),
            (r#"{"name":"a","ram_mb":-1}"#, "ram_mb: must be a whole number from 0 to"),
            (
                r#"{"name":"a","vcpu_count":300}"#,
                "vcpu_count: must be a whole number from 0 to 255",
            ),
            (r#"{"name":7}"#, "name: must be a string"),
            (r#"{"name":"A b"}"#, "name: may have only lower-case letters"),
            (r#"{"name":"a","env_vars":{"K":5}}"#, "env_vars.K: must be a string"),
            (r#"{"name":"a","env_vars":[]}"#, "env_vars: must be an object"),
            (r#"{"name":"a","setup_script_ids":["x"]}"#, "setup_script_ids[0]: must be a UUID"),
            (
                r#"{"name":"a","egress":{"mode":"closed"}}"#,
                "egress.mode: must be one of open, none",
            ),
            ("{}", "name: is required"),
            ("[]", "the document: must be an object"),
            ("{", "the body is not JSON: it ends too early at line 1, column 1"),
            ("{]", "the body is not JSON: it is not valid at line 1, column 2"),
            (" ", "the body must be a JSON document, it is empty"),
        ];
        for (text, expected) in cases {
            let (message, _) = refused::<CreateWorkspaceRequest>(text);
            assert!(message.starts_with(expected), "{text}: {message}");
        }
        let (message, _) = refused::<CreateServiceSpecRequest>(
            r#"{"name":"a","exec_start":"x","restart_policy":"maybe"}"#,
        );
        assert_eq!(message, "restart_policy: must be one of always, on-failure, no");
    }
}
