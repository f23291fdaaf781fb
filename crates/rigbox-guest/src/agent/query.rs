//! Reads the query of a request.

use std::{collections::HashMap, str::FromStr};

use super::refusal::Refusal;

/// Most parameters of a request; ours have five.
const PARAMETERS_MAX: usize = 16;

/// The parameters of a request.
pub(crate) struct Query {
    parameters: HashMap<String, String>,
}

impl Query {
    pub(crate) fn of(uri: &http::Uri) -> Result<Self, Refusal> {
        let mut parameters = HashMap::new();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs.take(PARAMETERS_MAX) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.insert(decode(name)?, decode(value)?);
        }
        Ok(Self { parameters })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::field(name, "is missing"))
    }

    pub(crate) fn parsed<T>(&self, name: &'static str) -> Result<Option<T>, Refusal>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|error| Refusal::field(name, format_args!("is not valid: {error}")))
    }

    /// Whether a parameter is `true`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        Ok(self.parsed(name)?.unwrap_or_default())
    }
}

/// Undoes percent-encoding; `+` is a space.
fn decode(text: &str) -> Result<String, Refusal> {
    let malformed = || Refusal::field("query", "is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) =
                    digit(rest.next()).zip(digit(rest.next())).ok_or_else(malformed)?;
                u8::try_from(high * 16 + low).map_err(|_| malformed())?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::of(&"/f?path=%2Ftmp%2Fa+b%C3%A4&mode=0644&x".parse().unwrap()).unwrap();
        assert_eq!(query.text("path"), Some("/tmp/a bä"));
        assert_eq!(query.parsed::<u32>("mode").unwrap(), Some(644));
        assert_eq!((query.text("x"), query.text("y")), (Some(""), None));
        for broken in ["/f?a=%", "/f?a=%2", "/f?a=%zz", "/f?a=%ff"] {
            assert!(Query::of(&broken.parse().unwrap()).is_err(), "{broken}");
        }
    }
}
