//! Paths of the API with what users typed in them. Pure.

use std::fmt::Write as _;

/// Where the API's paths begin.
const API: &str = "/api/v1";

/// A path with its query, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// A path below the API's base.
    pub(crate) fn api(fixed: &str) -> Self {
        Self::absolute(format!("{API}{fixed}"))
    }

    /// A path from the root, already escaped.
    pub(crate) fn absolute(text: impl Into<String>) -> Self {
        let text = text.into();
        let has_query = text.contains('?');
        Self { text, has_query }
    }

    /// One more segment, whatever it contains.
    pub(crate) fn segment(mut self, segment: &str) -> Self {
        self.text.push('/');
        escape(&mut self.text, segment);
        self
    }

    /// More of the path that needs no escaping.
    pub(crate) fn then(mut self, fixed: &str) -> Self {
        self.text.push_str(fixed);
        self
    }

    /// One query parameter.
    pub(crate) fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        escape(&mut self.text, name);
        self.text.push('=');
        escape(&mut self.text, value.as_ref());
        self
    }

    /// One query parameter, if there is a value.
    pub(crate) fn query_some(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// As the request line has it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_type_stays_in_its_place() {
        let path = Path::api("/workspaces")
            .segment("../x?y")
            .then("/files")
            .query("path", "/tmp/a b&c=ä")
            .query_some("user", None::<&str>)
            .query_some("mode", Some("0644"));
        assert_eq!(
            path.as_str(),
            "/api/v1/workspaces/..%2Fx%3Fy/files?path=%2Ftmp%2Fa%20b%26c%3D%C3%A4&mode=0644"
        );
    }
}
