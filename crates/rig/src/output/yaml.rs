//! Writes a JSON document as YAML 1.2. Pure.
//! Block style for maps and lists, plain words where no reader of YAML 1.1 or 1.2 could take them
//! for something else, JSON's quoting for every other text.

use serde_json::Value;

/// The document, with a line end.
pub(crate) fn render(document: &Value) -> String {
    let mut out = String::new();
    match document {
        Value::Object(map) if !map.is_empty() => node(&mut out, document, 0),
        Value::Array(list) if !list.is_empty() => node(&mut out, document, 0),
        scalar => {
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
    out
}

/// A map or list that is not empty, each entry on lines of its own.
fn node(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                indent(out, depth);
                out.push_str(&text(key));
                out.push(':');
                entry(out, value, depth);
            }
        }
        Value::Array(list) => {
            for value in list {
                indent(out, depth);
                out.push('-');
                entry(out, value, depth);
            }
        }
        scalar => out.push_str(&inline(scalar)),
    }
}

fn entry(out: &mut String, value: &Value, depth: usize) {
    if is_block(value) {
        out.push('\n');
        node(out, value, depth + 1);
    } else {
        out.push(' ');
        out.push_str(&inline(value));
        out.push('\n');
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

fn text(string: &str) -> String {
    if is_plain(string) { string.to_owned() } else { Value::from(string).to_string() }
}

/// Whether the text needs no quotes: begins with a letter, has only characters that mean nothing
/// in YAML, and is no word that some reader takes for a boolean, a number or nothing.
fn is_plain(string: &str) -> bool {
    const WORDS: &[&str] =
        &["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    string.starts_with(|c: char| c.is_ascii_alphabetic())
        && string.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.contains(&string.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_in_block_style() {
        let document = json!({
            "id": "ws-abcd1234",
            "list": [1, {"a": null, "b": []}, "two words"],
            "map": {},
            "no": "no",
            "time": "2026-12-01T09:30:00Z",
            "zoned": {"deep": true},
        });
        let expected = "\
id: ws-abcd1234
list:
  - 1
  -
    a: null
    b: []
  - \"two words\"
map: {}
\"no\": \"no\"
time: \"2026-12-01T09:30:00Z\"
zoned:
  deep: true
";
        assert_eq!(render(&document), expected);
    }

    #[test]
    fn text_that_could_be_something_else_is_quoted() {
        for string in ["", "1e3", "- a", "a: b", "a #b", "Yes", "~", "0x1f", "line\nend", "ä"] {
            assert!(text(string).starts_with('"'), "{string:?}");
        }
        for string in ["running", "base", "http-server", "v1.2/x_y"] {
            assert_eq!(text(string), string);
        }
    }
}
