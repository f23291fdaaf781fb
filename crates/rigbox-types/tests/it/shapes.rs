//! Shapes of the contract beside schemas of the OpenAPI document, field by field and down to the
//! last one. A difference is told once, by the contract's name of the shape.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::contract::Contract;

/// In which direction a document goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// A client sends it.
    In,
    /// A client reads it.
    Out,
}

/// The comparison.
pub(crate) struct Shapes<'a> {
    contract: &'a Contract,
    document: &'a Value,
    /// What was compared already: shapes may hold themselves.
    done: BTreeSet<(String, Way)>,
    found: BTreeSet<String>,
}

impl<'a> Shapes<'a> {
    pub(crate) fn new(contract: &'a Contract, document: &'a Value) -> Self {
        Self { contract, document, done: BTreeSet::new(), found: BTreeSet::new() }
    }

    pub(crate) fn into_found(self) -> BTreeSet<String> {
        self.found
    }

    /// Compares the shape `name` with one of our schemas.
    pub(crate) fn compare(&mut self, name: &str, ours: &Value, way: Way) {
        if !self.done.insert((name.to_owned(), way)) {
            return;
        }
        let contract = self.contract;
        let theirs = contract.schemas.get(name).unwrap_or_else(|| panic!("no shape {name}"));
        let (ours, _) = self.plain(ours);
        if let Some(other) = &theirs.same_as {
            self.compare(other, ours, way);
        } else if let Some(words) = &theirs.words {
            self.compare_words(name, words, ours);
        } else if let Some(fields) = &theirs.fields {
            let Some(members) = ours["properties"].as_object() else {
                self.tell(format!("{name}: is no object"));
                return;
            };
            for (field, kind) in fields {
                let path = format!("{name}.{field}");
                match members.get(field) {
                    None => self.tell(format!("{path}: is not there")),
                    Some(our) => {
                        let required = ours["required"].as_array().into_iter().flatten();
                        let required = required.into_iter().any(|one| one == field);
                        self.compare_field(&path, kind, (our, required), way);
                    }
                }
            }
            let more = members.keys().filter(|field| !fields.contains_key(*field));
            more.for_each(|field| self.tell(format!("{name}.{field}: is not in the contract")));
        } else {
            let one = theirs.other.as_deref().unwrap_or_else(|| panic!("{name} is nothing"));
            let ours = ours["oneOf"].as_array().map_or(0, Vec::len);
            self.tell(format!("{name}: is one of {ours}, to be compared by eye with {one}"));
        }
    }

    /// `ours`: the schema, and whether the member is required.
    fn compare_field(&mut self, path: &str, kind: &str, ours: (&Value, bool), way: Way) {
        let (kind, theirs_required) = match kind.strip_suffix('*') {
            Some(kind) => (kind, true),
            None => (kind, false),
        };
        let (kind, theirs_null) = match kind.strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (kind, false),
        };
        let (schema, ours_null) = self.plain(ours.0);
        match way {
            // A reader must find what it was promised.
            Way::Out if theirs_required && !ours.1 => self.tell(format!("{path}: may be missing")),
            Way::Out if !theirs_null && ours_null => self.tell(format!("{path}: may be null")),
            // A writer may leave out what it could leave out.
            Way::In if !theirs_required && ours.1 => self.tell(format!("{path}: is required")),
            Way::In if theirs_null && !ours_null => self.tell(format!("{path}: may not be null")),
            Way::In | Way::Out => {}
        }
        self.compare_kind(path, kind, schema, way);
    }

    fn compare_kind(&mut self, path: &str, kind: &str, ours: &Value, way: Way) {
        if let Some(items) = kind.strip_prefix('[') {
            let (items, own) = (items.trim_end_matches(']'), &ours["items"]);
            if ours["type"] != "array" && !has_type(ours, "array") {
                return self.tell(format!("{path}: is no list"));
            }
            let own = self.plain(own).0;
            return self.compare_kind(path, items, own, way);
        }
        if let Some(values) = kind.strip_prefix("map<") {
            if !has_type(ours, "object") {
                return self.tell(format!("{path}: is no map"));
            }
            let values = values.strip_suffix('>').unwrap();
            let own = self.plain(&ours["additionalProperties"]).0;
            return self.compare_kind(path, values, own, way);
        }
        let fits = match kind {
            "str" => has_type(ours, "string") || !words_of(ours).is_empty(),
            "uuid" => ours["format"] == "uuid",
            "datetime" => ours["format"] == "date-time",
            "int" | "i64" => has_type(ours, "integer"),
            "num" => has_type(ours, "number") || has_type(ours, "integer"),
            "bool" => has_type(ours, "boolean"),
            "any" => true,
            shape => return self.compare(shape, ours, way),
        };
        if !fits {
            self.tell(format!("{path}: is not {kind}"));
        }
    }

    fn compare_words(&mut self, name: &str, theirs: &[String], ours: &Value) {
        let ours = words_of(ours);
        for word in theirs.iter().filter(|word| !ours.contains(&word.as_str())) {
            self.tell(format!("{name}: has no {word}"));
        }
        for word in ours.iter().filter(|word| !theirs.iter().any(|one| one == *word)) {
            self.tell(format!("{name}: has {word}, too"));
        }
    }

    /// A schema without reference and without null, and whether it may be null.
    fn plain(&self, schema: &'a Value) -> (&'a Value, bool) {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#')).unwrap();
            return self.plain(target);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let is_null = |one: &&Value| one["type"] == "null";
            let plain = choices.iter().find(|one| !is_null(one)).unwrap();
            let (plain, null) = self.plain(plain);
            return (plain, null || choices.iter().any(|one| is_null(&one)));
        }
        (schema, has_type(schema, "null"))
    }

    fn tell(&mut self, difference: String) {
        self.found.insert(difference);
    }
}

fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(some) => some.iter().any(|one| one == name),
        _ => false,
    }
}

/// The words of an enumeration, in both ways in which a schema may have them.
fn words_of(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
    let within = schema["oneOf"].as_array().into_iter().flatten();
    let within = within.flat_map(|one| one["enum"].as_array().into_iter().flatten());
    listed.chain(described).chain(within).filter_map(Value::as_str).collect()
}
