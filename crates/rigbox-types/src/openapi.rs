//! The OpenAPI 3.1 document, generated from the endpoint table and the documents' own types, so
//! that it cannot say anything else than the code.
//! Does no I/O: who commits or serves the document writes it.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use crate::{
    AccountId, ApiKeyId, Right, ServiceSpecId, SetupScriptId, SshKeyId, WorkspaceId, WorkspaceName,
    access::RESOURCE_PATTERN,
    api::error::{ApiErrorBody, ErrorCode},
    endpoint::{COUNT_MAX, ENDPOINTS, Endpoint, Method, Parameter, ParameterKind, Payload, Replay},
    limits,
    text::NO_NUL,
};

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ApiErrorBody>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for endpoint in ENDPOINTS {
        let method = endpoint.method.as_str().to_lowercase();
        let operation = operation(endpoint, &mut generator, &error);
        paths.entry(endpoint.path).or_default().insert(method, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rigbox",
            "version": "1",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "An API key: `rb_…`." },
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

/// The document as it is committed and served: members by name, two spaces, a line end.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", sorted(document()))
}

/// The same value with its members by name, also where a dependency has switched `serde_json` to
/// keeping the order in which they were inserted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, member)| (name, sorted(member))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator, error: &Schema) -> Value {
    let mut object = json!({
        "operationId": endpoint.operation.as_str(),
        "summary": endpoint.operation.about(),
        "tags": [tag(endpoint)],
        "x-rigbox-right": endpoint.right,
        "x-rigbox-rate-class": endpoint.rate,
        "parameters": parameters(endpoint, generator),
        "responses": responses(endpoint, generator, error),
    });
    if let Some(members) = object.as_object_mut() {
        if let Some(content) = content(&endpoint.request, generator) {
            members.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
        if endpoint.right == Right::Public {
            members.insert("security".into(), json!([]));
        }
    }
    object
}

/// The path's first noun: `workspaces`, `setup-scripts`, …
fn tag(endpoint: &Endpoint) -> &'static str {
    let path = endpoint.path;
    path.strip_prefix("/api/v1/")
        .or_else(|| path.strip_prefix("/api/ws/"))
        .and_then(|rest| rest.split(['/', '.']).next())
        .unwrap_or(path)
}

fn parameters(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        let schema = path_schema(endpoint, name, generator);
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    });
    let in_query = endpoint.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.about,
            "schema": parameter_schema(parameter),
        })
    });
    let key = (endpoint.replay == Replay::Kept).then(|| {
        json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "The same key and body give the first answer again.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": limits::IDEMPOTENCY_KEY_MAX_LEN,
                // Blanks around a value are not part of it.
                "pattern": "^[!-~]([ -~]*[!-~])?$",
            },
        })
    });
    in_path.chain(in_query).chain(key).collect()
}

/// What a segment of the path must be to name anything.
fn path_schema(endpoint: &Endpoint, name: &str, generator: &mut SchemaGenerator) -> Schema {
    match (name, tag(endpoint)) {
        ("job_id", _) => generator.subschema_for::<SetupScriptId>(),
        ("name", "workspaces") => generator.subschema_for::<WorkspaceName>(),
        ("id", "workspaces" | "terminal") => generator.subschema_for::<WorkspaceId>(),
        ("id", "setup-scripts") => generator.subschema_for::<SetupScriptId>(),
        ("id", "service-specs") => generator.subschema_for::<ServiceSpecId>(),
        ("id", "ssh-keys") => generator.subschema_for::<SshKeyId>(),
        ("id", "api-keys") => generator.subschema_for::<ApiKeyId>(),
        ("id", "users") => generator.subschema_for::<AccountId>(),
        _ => json_schema!({ "type": "string" }),
    }
}

fn parameter_schema(parameter: &Parameter) -> Value {
    match parameter.kind {
        ParameterKind::Text { max_len } if parameter.required => {
            json!({ "type": "string", "minLength": 1, "maxLength": max_len, "description": NO_NUL })
        }
        ParameterKind::Text { max_len } => {
            json!({ "type": "string", "maxLength": max_len, "description": NO_NUL })
        }
        ParameterKind::Word { max_len } => {
            json!({ "type": "string", "maxLength": max_len, "pattern": "^[!-~]*$" })
        }
        ParameterKind::Resource => json!({ "type": "string", "pattern": RESOURCE_PATTERN }),
        ParameterKind::Octal => json!({ "type": "string", "pattern": "^([0-7]{3,5})?$" }),
        ParameterKind::Count => json!({ "type": "integer", "minimum": 0, "maximum": COUNT_MAX }),
        ParameterKind::Number { min, max, default } => {
            json!({ "type": "integer", "minimum": min, "maximum": max, "default": default })
        }
        ParameterKind::Flag => json!({ "type": "boolean", "default": false }),
        ParameterKind::OneOf(words) => {
            json!({ "type": "string", "enum": words, "default": words.first() })
        }
    }
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator, error: &Schema) -> Value {
    let mut by_status: BTreeMap<String, Value> = BTreeMap::new();
    for (status, codes) in refusals(endpoint) {
        by_status.insert(
            status.to_string(),
            json!({
                "description": codes.join(", "),
                "content": { "application/json": { "schema": error } },
            }),
        );
    }
    if !endpoint.query.is_empty() {
        // Said by the HTTP server itself, without a document.
        let head = "the path with its query, or a field, is longer than any that is taken";
        by_status.insert("431".to_owned(), json!({ "description": head }));
    }
    let success = match &endpoint.answer {
        Payload::WebSocket => json!({ "description": "the connection is a WebSocket now" }),
        body => {
            let mut answer = json!({ "description": "done" });
            if let (Some(content), Some(members)) =
                (content(body, generator), answer.as_object_mut())
            {
                members.insert("content".into(), content);
            }
            answer
        }
    };
    let status = match endpoint.answer {
        Payload::WebSocket => 101,
        _ => endpoint.status,
    };
    by_status.insert(status.to_string(), success);
    json!(by_status)
}

/// Every refusal of an endpoint, by status: its own, and those that come with what it takes.
fn refusals(endpoint: &Endpoint) -> BTreeMap<u16, Vec<&'static str>> {
    let takes_document = matches!(endpoint.request, Payload::Json(_));
    let common = [
        Some(ErrorCode::Internal),
        Some(ErrorCode::RateLimited),
        (endpoint.right != Right::Public).then_some(ErrorCode::Unauthenticated),
        // What the key is narrowed to may rule any of them out.
        (endpoint.right != Right::Public).then_some(ErrorCode::Forbidden),
        (takes_document || !endpoint.query.is_empty() || endpoint.method == Method::Post)
            .then_some(ErrorCode::InvalidRequest),
        takes_document.then_some(ErrorCode::TooLarge),
        (endpoint.method == Method::Post).then_some(ErrorCode::Conflict),
    ];
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in endpoint.errors.iter().copied().chain(common.into_iter().flatten()) {
        let codes = by_status.entry(code.http_status()).or_default();
        if !codes.contains(&code.as_str()) {
            codes.push(code.as_str());
        }
    }
    by_status
}

fn content(body: &Payload, generator: &mut SchemaGenerator) -> Option<Value> {
    Some(match body {
        Payload::Empty | Payload::WebSocket => return None,
        Payload::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Payload::Lines(schema) => {
            json!({ "application/x-ndjson": { "schema": schema(generator) } })
        }
        Payload::JsonOrLines(document, line) => json!({
            "application/json": { "schema": document(generator) },
            "application/x-ndjson": { "schema": line(generator) },
        }),
        Payload::JsonOrCsv(document) => json!({
            "application/json": { "schema": document(generator) },
            "text/csv": { "schema": { "type": "string" } },
        }),
        Payload::Events(schema) => {
            json!({ "text/event-stream": { "schema": event(&schema(generator)) } })
        }
        Payload::Pem => json!({ "application/x-pem-file": { "schema": { "type": "string" } } }),
        Payload::Bytes => json!({ "application/octet-stream": { "schema": {} } }),
        Payload::AnyJson => json!({ "application/json": { "schema": { "type": "object" } } }),
    })
}

/// One server-sent event whose data is a document.
fn event(document: &Schema) -> Value {
    json!({
        "type": "object",
        "properties": {
            "event": { "type": "string" },
            "id": { "type": "string" },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": document,
            },
        },
        "required": ["event", "data"],
    })
}

const ABOUT: &str = "Workspaces of your own: micro-VMs that you create, enter and delete. Every \
    refusal is an `ApiErrorBody`; unknown fields and parameters are refused; every answer carries \
    `X-Request-Id`. In updates a missing field keeps its value.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the document is committed, from this crate's directory.
    const COMMITTED: &str = "../../docs/reference/openapi.json";

    #[test]
    fn the_committed_document_is_what_the_code_says() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
        let wanted = text();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == wanted,
            "docs/reference/openapi.json is out of date: run \
             `UPDATE_OPENAPI=1 cargo nextest run -p rigbox-types openapi` and commit it"
        );
    }

    #[test]
    fn every_reference_points_to_a_schema_that_is_there() {
        let document = document();
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_is_in_the_document_once() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let count: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(count, ENDPOINTS.len());
    }

    #[test]
    fn both_kinds_of_events_of_a_workspace_are_described() {
        let text = text();
        for schema in ["WorkspaceStatusEvent", "WorkspaceDeletedEvent"] {
            assert!(text.contains(&format!("#/components/schemas/{schema}")), "{schema}");
        }
    }

    fn collect_references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.push(reference.clone());
                }
                members.values().for_each(|member| collect_references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
            _ => {}
        }
    }
}
