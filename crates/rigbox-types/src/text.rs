//! Rules of texts that people send. Each is here once: what is checked, and beside it what the
//! OpenAPI document says of it, so that a client can know beforehand what will be refused.
//! Invariant: what a rule lets pass, its schema does too; what only the check can tell (bytes where
//! JSON Schema counts characters, quotes that must end) is said at the rule.
//! Does not know in which field a text is: whoever checks names it.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    guest::exec::{COMMAND_MAX_BYTES, TEXT_MAX_BYTES},
    limits::{
        APP_DESCRIPTION_MAX_LEN, AVATAR_URL_MAX_LEN, CREDITS_REASON_MAX_LEN, ENV_MAX_COUNT,
        ENV_NAME_MAX_LEN, ENV_VALUE_MAX_LEN, EXEC_START_MAX_LEN, PATH_MAX_LEN,
        SETUP_SCRIPT_MAX_BYTES, SSH_KEY_MAX_LEN, TITLE_MAX_LEN,
    },
};

/// How the document says that a text has no NUL. In words: generators of requests take minutes for
/// thousands of characters of a pattern.
pub const NO_NUL: &str = "Any text without NUL.";

/// A text of one of the kinds below that breaks its rule; never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(Cow<'static, str>);

impl InvalidText {
    fn new(rule: impl Into<Cow<'static, str>>) -> Self {
        Self(rule.into())
    }
}

macro_rules! text_rule {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr) => {
        text_rule! {
            $(#[$doc])* $name,
            json_schema!({
                "type": "string", "minLength": $min, "maxLength": $max, "description": NO_NUL,
            })
        }
    };
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, $pattern:expr) => {
        text_rule! {
            $(#[$doc])* $name,
            json_schema!({
                "type": "string", "minLength": $min, "maxLength": $max, "pattern": $pattern,
            })
        }
    };
    ($(#[$doc:meta])* $name:ident, $schema:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

text_rule! {
    /// A name for people: one line that says something.
    Title, 1, TITLE_MAX_LEN,
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff][^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]*$"
}
text_rule! {
    /// Why something was done: one line that says something.
    Reason, 1, CREDITS_REASON_MAX_LEN,
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff][^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]*$"
}
text_rule! {
    /// A script: any text without NUL, which bash could not read. Its size is counted in bytes.
    Script, 0, SETUP_SCRIPT_MAX_BYTES
}
text_rule! {
    /// The command line of a service. That its quotes end and that it is one command only the check
    /// of its unit can tell.
    CommandLine, 1, EXEC_START_MAX_LEN,
    "^[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff@:+!|-]([^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff])?$"
}
text_rule! {
    /// The path of a file of environment in a workspace; empty for none.
    EnvironmentFile, 0, PATH_MAX_LEN,
    "^(/([^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\"'\\\\*?\\[]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\"'\\\\*?\\[])?)?$"
}
text_rule! {
    /// The address of a picture. A dashboard shows it, so it is nothing that could end a piece of
    /// HTML or run as a script.
    PictureUrl, 9, AVATAR_URL_MAX_LEN, "^https://[!#-&(-;=?-\\[\\]-_a-~]+$"
}
text_rule! {
    /// What an app is, for people: any text without NUL.
    Description, 0, APP_DESCRIPTION_MAX_LEN
}
text_rule! {
    /// A DNS name of at least two labels, whatever its case; empty for none. That it has at most 253
    /// bytes only the check can tell.
    DomainName, 0, NAME_MAX_LEN,
    "^(([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+(?![0-9]+$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)?$"
}
text_rule! {
    /// The unit, container or file that logs come from. What a kind takes only the check can tell.
    LogSourceRef, 1, PATH_MAX_LEN,
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]+$"
}
text_rule! {
    /// A public SSH key as people paste it. Whether it is one only parsing can tell.
    PublicKeyLine, 1, SSH_KEY_MAX_LEN
}
text_rule! {
    /// A word of a command.
    Word, 0, COMMAND_MAX_BYTES
}
text_rule! {
    /// A path or the name of a user, as a command takes it.
    ShortText, 0, TEXT_MAX_BYTES
}
text_rule! {
    /// A DNS name in lower case, or `*.` and one. Its last label is not a number, which would be an
    /// address. That it has at most 253 bytes without `*.` only the check can tell.
    HostPattern, 1, HOST_PATTERN_MAX_LEN,
    "^(\\*\\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)*(?![0-9]+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
}
text_rule! {
    /// A network. That no bit is set beyond its length only the check can tell.
    NetworkText, 4, 49,
    "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}/(3[0-2]|[12]?[0-9])|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
}

mod ai;

pub use ai::{ModelName, ProviderKey};

/// Longest DNS name (RFC 1035).
const NAME_MAX_LEN: usize = 253;
/// Longest DNS label (RFC 1035).
const LABEL_MAX_LEN: usize = 63;
/// Longest DNS name with `*.` before it.
const HOST_PATTERN_MAX_LEN: usize = NAME_MAX_LEN + 2;

impl Title {
    /// Checks a text.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<(), InvalidText> {
        if text.trim().is_empty() || text.chars().count() > TITLE_MAX_LEN {
            return Err(InvalidText::new(format!("must have 1 to {TITLE_MAX_LEN} characters")));
        }
        check_line(text)
    }
}

impl Reason {
    /// Checks a reason.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<(), InvalidText> {
        if text.trim().is_empty() || text.chars().count() > CREDITS_REASON_MAX_LEN {
            let rule = format!("must have 1 to {CREDITS_REASON_MAX_LEN} characters");
            return Err(InvalidText::new(rule));
        }
        check_line(text)
    }
}

impl Script {
    /// Checks a text.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<(), InvalidText> {
        if text.len() > SETUP_SCRIPT_MAX_BYTES {
            let rule = format!("may have at most {SETUP_SCRIPT_MAX_BYTES} bytes");
            return Err(InvalidText::new(rule));
        }
        if text.contains('\0') {
            return Err(InvalidText::new("may not contain NUL"));
        }
        Ok(())
    }
}

impl EnvironmentFile {
    /// Checks a path; an empty one is none.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(path: &str) -> Result<(), InvalidText> {
        check_line(path)?;
        let plain = !path.contains(['"', '\'', '\\', '*', '?', '[']);
        if !path.starts_with('/') || path.len() > PATH_MAX_LEN || !plain || path.trim() != path {
            let rule = "must be an absolute path without quotes, backslashes and wildcards";
            return Err(InvalidText::new(rule));
        }
        Ok(())
    }
}

impl PictureUrl {
    /// Checks an address.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(url: &str) -> Result<(), InvalidText> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte);
        let host = url.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || url.len() > AVATAR_URL_MAX_LEN || !url.bytes().all(plain) {
            let rule = format!("must be an https address of at most {AVATAR_URL_MAX_LEN} bytes");
            return Err(InvalidText::new(rule));
        }
        Ok(())
    }
}

impl Description {
    /// Checks a text.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<(), InvalidText> {
        if text.chars().count() > APP_DESCRIPTION_MAX_LEN {
            let rule = format!("may have at most {APP_DESCRIPTION_MAX_LEN} characters");
            return Err(InvalidText::new(rule));
        }
        if text.contains('\0') {
            return Err(InvalidText::new("may not contain NUL"));
        }
        Ok(())
    }
}

impl DomainName {
    /// The name in lower case, as everything of ours writes it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<String, InvalidText> {
        let name = text.to_ascii_lowercase();
        if name.starts_with("*.") || !name.contains('.') || !HostPattern::is(&name) {
            let rule = "must be a DNS name such as app.example.com";
            return Err(InvalidText::new(rule));
        }
        Ok(name)
    }
}

impl HostPattern {
    /// Whether a text is one.
    #[must_use]
    pub fn is(text: &str) -> bool {
        let text = text.strip_prefix("*.").unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= LABEL_MAX_LEN
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        // An all-numeric last label would be an address, which belongs into `cidrs`.
        let numeric =
            text.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        text.len() <= NAME_MAX_LEN && !numeric && text.split('.').all(is_label)
    }
}

impl NetworkText {
    /// Whether a text is one.
    #[must_use]
    pub fn is(text: &str) -> bool {
        let Some((address, length)) = text.split_once('/') else { return false };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let (Ok(address), Ok(length), true) =
            (address.parse::<IpAddr>(), length.parse::<u32>(), digits)
        else {
            return false;
        };
        match address {
            IpAddr::V4(address) => {
                let beyond = u32::MAX.checked_shr(length).unwrap_or(0);
                length <= 32 && address.to_bits() & beyond == 0
            }
            IpAddr::V6(address) => {
                let beyond = u128::MAX.checked_shr(length).unwrap_or(0);
                length <= 128 && address.to_bits() & beyond == 0
            }
        }
    }
}

/// Checks that a text is one line: nothing that could end it or hide what it says.
///
/// # Errors
/// The rule that it breaks.
pub fn check_line(text: &str) -> Result<(), InvalidText> {
    if text.chars().any(hides) {
        return Err(InvalidText::new("may not contain line ends or other control characters"));
    }
    Ok(())
}

/// Whether a character ends a line, or makes what is around it look like something else: control
/// characters, separators of lines and paragraphs, changes of direction, the byte order mark.
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The environment of a workspace or of a service. A name is a C identifier, because that is what
/// shells and systemd take; a value is any text without NUL, line ends included: whoever writes it
/// to a file quotes it. Sizes are counted in bytes.
#[derive(Debug)]
pub struct Environment;

/// What in an environment breaks its rule: a variable's name, or none for the whole of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEnvironment {
    /// The variable, with nothing in it that is not visible ASCII.
    pub variable: Option<String>,
    /// The rule.
    pub rule: String,
}

impl Environment {
    /// Checks a whole environment.
    ///
    /// # Errors
    /// The first thing that breaks a rule.
    pub fn check(variables: &BTreeMap<String, String>) -> Result<(), InvalidEnvironment> {
        if variables.len() > ENV_MAX_COUNT {
            let rule = format!("may have at most {ENV_MAX_COUNT} variables");
            return Err(InvalidEnvironment { variable: None, rule });
        }
        variables.iter().try_for_each(|(name, value)| Self::check_one(name, value))
    }

    fn check_one(name: &str, value: &str) -> Result<(), InvalidEnvironment> {
        let refuse = |variable: Option<&str>, rule: String| {
            let variable = variable.map(|name| name.escape_default().collect());
            Err(InvalidEnvironment { variable, rule })
        };
        if name.len() > ENV_NAME_MAX_LEN {
            return refuse(None, format!("has a name of more than {ENV_NAME_MAX_LEN} bytes"));
        }
        let mut bytes = name.bytes();
        let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !begins || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let rule = "a name may have only letters, digits and underscores and may not begin \
                        with a digit";
            return refuse(Some(name), rule.to_owned());
        }
        if value.len() > ENV_VALUE_MAX_LEN {
            return refuse(Some(name), format!("may have at most {ENV_VALUE_MAX_LEN} bytes"));
        }
        if value.contains('\0') {
            return refuse(Some(name), "may not contain NUL".to_owned());
        }
        Ok(())
    }
}

impl JsonSchema for Environment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Environment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        variables("^[A-Za-z_][A-Za-z0-9_]*$")
    }
}

/// The environment of one command, whose names only the kernel has to take.
#[derive(Debug)]
pub struct CommandEnvironment;

impl JsonSchema for CommandEnvironment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CommandEnvironment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        variables("^[^=\\u0000]+$")
    }
}

fn variables(names: &str) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": ENV_MAX_COUNT,
        "propertyNames": { "pattern": names, "maxLength": ENV_NAME_MAX_LEN },
        "additionalProperties": {
            "type": "string", "maxLength": ENV_VALUE_MAX_LEN, "description": NO_NUL,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_that_says_something() {
        assert_eq!(Title::check("Install Postgres 17 – ä"), Ok(()));
        assert_eq!(Title::check(&"ä".repeat(TITLE_MAX_LEN)), Ok(()));
        let long = "a".repeat(TITLE_MAX_LEN + 1);
        for text in ["", "  ", "a\nb", "a\0", "a\u{1b}[31m", "a\u{202e}b", "a\u{2028}b", &long] {
            assert!(Title::check(text).is_err(), "{text:?}");
        }
    }

    fn check_one(name: &str, value: &str) -> Result<(), InvalidEnvironment> {
        Environment::check(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_name_is_an_identifier_and_a_value_has_no_nul() {
        for (name, value) in [("A", ""), ("_x9", "a b=c"), ("PATH", "line\nline\t$x'\"\\%")] {
            assert_eq!(check_one(name, value), Ok(()), "{name}");
        }
        let long_name = "A".repeat(ENV_NAME_MAX_LEN + 1);
        let long_value = "a".repeat(ENV_VALUE_MAX_LEN + 1);
        for (name, value) in [
            ("", ""),
            ("1A", ""),
            ("A-B", ""),
            ("A B", ""),
            ("A=B", ""),
            ("A\n", ""),
            ("Ä", ""),
            (&long_name, ""),
            ("A", "\0"),
            ("A", &long_value),
        ] {
            assert!(check_one(name, value).is_err(), "{name:?}");
        }
        assert_eq!(check_one("A", "\0").unwrap_err().variable.as_deref(), Some("A"));
    }

    #[test]
    fn the_number_of_variables_is_bounded() {
        let env = |count: usize| (0..count).map(|n| (format!("V{n}"), String::new())).collect();
        assert_eq!(Environment::check(&env(ENV_MAX_COUNT)), Ok(()));
        assert!(Environment::check(&env(ENV_MAX_COUNT + 1)).is_err());
    }
}
