//! Directives in a request's words: `[[sim {"output": 7}]]`, anywhere, so that programs that only can
//! choose a prompt can choose a behaviour.
//! Invariant: the last directive counts; a request without one costs one search of its bytes.

use memchr::memmem;
use serde_json::Value;

/// What a directive begins with, before its object.
const OPEN: &str = "[[sim ";

/// The object of the last directive in any text of a document.
pub(crate) fn find(body: &[u8], document: &Value) -> Option<Value> {
    memmem::find(body, OPEN.as_bytes())?;
    let mut last = None;
    visit(document, &mut |text| last = in_text(text).or_else(|| last.take()));
    last
}

/// The object of the last directive in a text.
pub(crate) fn in_text(text: &str) -> Option<Value> {
    let (_, rest) = text.rsplit_once(OPEN)?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let value = values.next()?.ok()?;
    rest.get(values.byte_offset()..)?.trim_start().starts_with("]]").then_some(value)
}

/// Calls for each text of a document, in its order. `serde_json` bounds how deep one is.
pub(crate) fn visit(document: &Value, each: &mut dyn FnMut(&str)) {
    match document {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| visit(item, each)),
        Value::Object(fields) => fields.values().for_each(|field| visit(field, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_directive_of_a_request_counts() {
        let document = json!({ "messages": [
            { "content": "first [[sim {\"output\": 1}]]" },
            { "content": [{ "text": "then [[sim {\"text\": \"a ]] b\"} ]] and on" }] },
        ]});
        let body = document.to_string();
        assert_eq!(find(body.as_bytes(), &document), Some(json!({ "text": "a ]] b" })));
    }

    #[test]
    fn what_is_no_directive_is_none() {
        for text in ["[[sim]]", "[[sim {\"output\": 1}", "[[sim nothing]]", "sim {}"] {
            assert_eq!(in_text(text), None, "{text}");
        }
    }
}
