//! The contract, as `docs/reference/contract.toml` has it, beside the OpenAPI document: which
//! operations differ, and how. Shapes are compared by [`shapes`](crate::shapes).
#![expect(clippy::indexing_slicing, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::shapes::{Shapes, Way};

/// Statuses that the contract's conventions speak of: any operation may answer with them.
const CONVENTIONAL: [u16; 12] = [400, 401, 402, 403, 404, 409, 413, 429, 500, 501, 503, 431];

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contract {
    operations: Vec<Operation>,
    pub(crate) schemas: BTreeMap<String, Schema>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    on: String,
    /// `name`, with `*` where it is required.
    #[serde(default)]
    query: Vec<String>,
    body: Option<String>,
    /// Success first.
    answers: Vec<u16>,
    answer: Option<String>,
}

/// One shape: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    /// The words of an enumeration.
    pub(crate) words: Option<Vec<String>>,
    /// Another name of the same shape.
    pub(crate) same_as: Option<String>,
    /// One of several; not compared, but always on the list, so that somebody looks.
    pub(crate) other: Option<String>,
    /// Name and type.
    pub(crate) fields: Option<BTreeMap<String, String>>,
}

impl Contract {
    /// Reads it.
    pub(crate) fn read(text: &str) -> Self {
        toml::from_str(text).unwrap()
    }

    /// Every difference between it and the document.
    pub(crate) fn differences(&self, document: &Value) -> BTreeSet<String> {
        let mut shapes = Shapes::new(self, document);
        let ours = operations(document);
        let mut found: BTreeSet<String> = BTreeSet::new();
        for operation in &self.operations {
            let Some(our) = ours.get(&operation.on) else {
                found.insert(format!("{}: is not there", operation.on));
                continue;
            };
            found.extend(operation.compare(our).map(|said| format!("{}: {said}", operation.on)));
            if let Some(body) = &operation.body {
                shapes.compare(body, schema(&our["requestBody"]), Way::In);
            }
            if let Some(answer) = &operation.answer {
                let success = operation.answers.first().unwrap().to_string();
                shapes.compare(answer, schema(&our["responses"][success]), Way::Out);
            }
        }
        let theirs: BTreeSet<&String> = self.operations.iter().map(|row| &row.on).collect();
        let more = ours.keys().filter(|on| !theirs.contains(on));
        found.extend(more.map(|on| format!("{on}: is not in the contract")));
        found.extend(shapes.into_found());
        found
    }
}

impl Operation {
    fn compare<'a>(&'a self, our: &'a Value) -> impl Iterator<Item = String> + use<'a> {
        let statuses: Vec<u16> = our["responses"]
            .as_object()
            .unwrap()
            .keys()
            .map(|status| status.parse().unwrap())
            .collect();
        let missing: Vec<_> = self.answers.iter().filter(|one| !statuses.contains(one)).collect();
        let more = statuses
            .iter()
            .filter(|status| !self.answers.contains(status) && !CONVENTIONAL.contains(status));
        let answers = missing
            .into_iter()
            .map(|status| format!("never answers {status}"))
            .chain(more.map(|status| format!("answers {status}, too")));
        let bodies = match (&self.body, our.get("requestBody")) {
            (Some(_), None) => Some("takes no body".to_owned()),
            (None, Some(_)) => Some("takes a body".to_owned()),
            _ => None,
        };
        answers.collect::<Vec<_>>().into_iter().chain(bodies).chain(self.compare_query(our))
    }

    fn compare_query(&self, our: &Value) -> Vec<String> {
        let empty = Vec::new();
        let parameters = our["parameters"].as_array().unwrap_or(&empty);
        let ours: BTreeMap<&str, bool> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .map(|one| (one["name"].as_str().unwrap(), one["required"] == true))
            .collect();
        let mut said = Vec::new();
        for theirs in &self.query {
            let name = theirs.trim_end_matches('*');
            match ours.get(name) {
                None => said.push(format!("has no query parameter {name}")),
                Some(required) if *required != theirs.ends_with('*') => {
                    said.push(format!("query parameter {name} is required: {required}"));
                }
                Some(_) => {}
            }
        }
        let known: Vec<_> = self.query.iter().map(|name| name.trim_end_matches('*')).collect();
        let more = ours.keys().filter(|name| !known.contains(name));
        said.extend(more.map(|name| format!("has a query parameter {name}, too")));
        said
    }
}

/// The operations of the document by `METHOD path`, as the contract writes paths.
fn operations(document: &Value) -> BTreeMap<String, &Value> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, methods)| {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, one)| (format!("{} {path}", method.to_uppercase()), one))
    });
    each.collect()
}

/// The schema of a JSON body; null where there is none.
fn schema(body: &Value) -> &Value {
    &body["content"]["application/json"]["schema"]
}
