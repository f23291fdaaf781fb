//! Which operations of a guest's agent control may ask for, and within which bounds. Set-up, time,
//! randomness and shutdown are not among them: those are the host's own. Pure.

use std::time::Duration;

use http::Method;
use rigbox_guest::client::ForwardLimits;
use rigbox_types::limits::{BODY_MAX_BYTES, EXEC_TIMEOUT_MAX_S, FILE_MAX_BYTES};

/// For what an agent answers by itself. Emulated guests start programs slowly.
const SHORT: Duration = Duration::from_secs(60);

/// For what may take as long as a command or the largest file.
const LONG: Duration = Duration::from_secs(EXEC_TIMEOUT_MAX_S as u64 + 60);

/// Largest answer that is a document: an exec's two streams of 4 MiB, escaped.
const DOCUMENT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Largest file and longest stream.
const STREAM_MAX_BYTES: usize = {
    assert!(usize::BITS == 64, "a file of 64 GiB needs a 64-bit size");
    #[expect(clippy::cast_possible_truncation, reason = "both have 64 bits, checked above")]
    let bytes = FILE_MAX_BYTES as usize;
    bytes
};

/// The bounds of an operation; none where it is not allowed.
pub(super) fn limits(method: &Method, path: &str) -> Option<ForwardLimits> {
    let parts: Vec<&str> = path.split('/').collect();
    let document = Some(ForwardLimits {
        head_timeout: SHORT,
        request_bytes: BODY_MAX_BYTES,
        response_bytes: DOCUMENT_MAX_BYTES,
    });
    let stream = Some(ForwardLimits {
        head_timeout: SHORT,
        request_bytes: BODY_MAX_BYTES,
        response_bytes: STREAM_MAX_BYTES,
    });
    let upload = Some(ForwardLimits {
        head_timeout: LONG,
        request_bytes: STREAM_MAX_BYTES,
        response_bytes: DOCUMENT_MAX_BYTES,
    });
    let command = Some(ForwardLimits {
        head_timeout: LONG,
        request_bytes: BODY_MAX_BYTES,
        response_bytes: STREAM_MAX_BYTES,
    });
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["hello" | "exec" | "ports" | "metrics" | "services" | "logs"]) => document,
        ("GET", ["files", "list"]) | ("DELETE", ["files"]) => document,
        ("GET", ["logs", "stream"] | ["files"]) => stream,
        ("PUT", ["files"]) => upload,
        ("POST", ["units"]) => document,
        ("POST", ["exec"]) => command,
        ("POST", ["exec", id, "attach"]) if is_id(id) => stream,
        ("DELETE", ["exec", id]) if is_id(id) => document,
        _ => None,
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, allowed: bool) {
        let method = method.parse().unwrap();
        assert_eq!(limits(&method, path).is_some(), allowed, "{method} {path}");
    }

    #[test]
    fn only_what_is_listed_reaches_a_guest() {
        for (method, path) in [
            ("GET", "hello"),
            ("POST", "exec"),
            ("POST", "exec/abc-1/attach"),
            ("DELETE", "exec/abc-1"),
            ("POST", "units"),
            ("GET", "files"),
            ("GET", "files/list"),
            ("PUT", "files"),
            ("DELETE", "files"),
            ("GET", "logs/stream"),
            ("GET", "metrics"),
        ] {
            check(method, path, true);
        }
        for (method, path) in [
            ("PUT", "setup"),
            ("PUT", "time"),
            ("POST", "reseed"),
            ("POST", "freeze"),
            ("POST", "thaw"),
            ("POST", "shutdown"),
            ("POST", "hello"),
            ("POST", "files"),
            ("GET", "units"),
            ("POST", "units/x"),
            ("POST", "exec/../shutdown"),
            ("POST", "exec//attach"),
            ("POST", "exec/a%2fb/attach"),
            ("GET", ""),
            ("GET", "hello/"),
        ] {
            check(method, path, false);
        }
    }
}
