//! One entry of journald as it comes from `journalctl --output=json`.

use rigbox_types::{Timestamp, guest::LogLine};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    micros: Option<String>,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
    #[serde(rename = "PRIORITY", default)]
    priority: Value,
    /// Which unit systemd itself speaks of.
    #[serde(rename = "UNIT", default)]
    about: Value,
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    unit: Value,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    program: Value,
}

/// Reads one line; none when it is no entry.
pub(super) fn parse(line: &[u8]) -> Option<LogLine> {
    let entry: Entry = serde_json::from_slice(line).ok()?;
    let micros = entry.micros.and_then(|micros| micros.parse().ok());
    Some(LogLine {
        line_number: 0,
        message: super::cut(text(&entry.message)),
        timestamp: micros.map(|micros| Timestamp::from_micros(micros).to_string()),
        cursor: Some(entry.cursor),
        unit: [entry.about, entry.unit, entry.program]
            .iter()
            .find_map(|name| name.as_str().map(str::to_owned)),
        priority: entry.priority.as_str().and_then(|priority| priority.parse().ok()),
    })
}

/// A field: text, or numbers of bytes where it is no UTF-8, or several of them.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let bytes: Option<Vec<u8>> = parts
                .iter()
                .map(|part| part.as_u64().and_then(|byte| u8::try_from(byte).ok()))
                .collect();
            match bytes {
                Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                None => parts.first().and_then(Value::as_str).unwrap_or_default().to_owned(),
            }
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_journald_is_a_line() {
        let line = parse(
            br#"{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1764581400123456","MESSAGE":"hi",
                "PRIORITY":"6","_SYSTEMD_UNIT":"ssh.service","SYSLOG_IDENTIFIER":"sshd","_PID":"1"}"#,
        )
        .unwrap();
        assert_eq!((line.message.as_str(), line.priority), ("hi", Some(6)));
        assert_eq!(line.timestamp.as_deref(), Some("2025-12-01T09:30:00.123456Z"));
        assert_eq!(
            (line.cursor.as_deref(), line.unit.as_deref()),
            (Some("s=1;i=2"), Some("ssh.service"))
        );
    }

    #[test]
    fn messages_that_are_no_text_are_shown_as_far_as_they_are() {
        let message = |json: &str| {
            let line = format!(r#"{{"__CURSOR":"c","MESSAGE":{json}}}"#);
            parse(line.as_bytes()).unwrap().message
        };
        assert_eq!(message("[104,105,255]"), "hi\u{fffd}");
        assert_eq!(message("null"), "");
        assert_eq!(message(r#"["a","b"]"#), "a");
        assert!(parse(b"-- No entries --").is_none());
    }
}
