//! The simplest document that fits a JSON schema, for structured output and for arguments of tools.
//! Invariants: depth and size are bounded; what a schema says in words of its own kind (formats,
//! patterns) is not looked at.

use serde_json::{Map, Value, json};

/// How deep an example goes. A schema may contain itself.
const DEPTH_MAX: usize = 8;

/// Most items that a schema can ask for.
const ITEMS_MAX: u64 = 16;

/// An example of what fits.
pub(crate) fn of(schema: &Value) -> Value {
    inner(schema, schema, DEPTH_MAX)
}

fn inner(root: &Value, schema: &Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| inner(root, target, depth));
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("enum")?.get(0)) {
        return value.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf", "any_of"] {
        if let Some(first) = schema.get(choice).and_then(|choices| choices.get(0)) {
            return inner(root, first, depth);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None if schema.get("properties").is_some() => Some("object"),
        None => None,
    };
    // Gemini writes them in capitals.
    match kind.unwrap_or("object").to_ascii_lowercase().as_str() {
        "string" => json!("example"),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(7)),
        "boolean" => json!(true),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
            let item = schema.get("items").map_or(Value::Null, |items| inner(root, items, depth));
            (0..least.clamp(1, ITEMS_MAX)).map(|_| item.clone()).collect()
        }
        "null" => Value::Null,
        _ => object(root, schema, depth),
    }
}

fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields = fields.into_iter().flatten();
    let fields = fields.map(|(name, schema)| (name.clone(), inner(root, schema, depth)));
    Value::Object(fields.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_every_property_and_ends_where_a_schema_contains_itself() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "kind": { "enum": ["a", "b"] },
                "counts": { "type": "ARRAY", "items": { "type": "integer" }, "minItems": 2 },
                "when": { "anyOf": [{ "type": "boolean" }, { "type": "null" }] },
                "place": { "$ref": "#/$defs/place" },
            },
            "$defs": { "place": { "type": "object", "properties": { "at": { "type": "number" } } } },
        });
        let expected = json!({
            "name": "example", "kind": "a", "counts": [7, 7], "when": true, "place": { "at": 7 },
        });
        assert_eq!(of(&schema), expected);
        let endless = json!({ "properties": { "next": { "$ref": "#" } } });
        assert!(of(&endless).to_string().len() < 200);
    }
}
