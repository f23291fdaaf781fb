//! Names for people, scripts and paths: the rules are those of `types::text`, here they get the name
//! of the field.

use rigbox_types::text::{self, InvalidText, Script, Title};

use crate::error::Invalid;

/// A name for people.
pub(crate) fn check_title(field: &str, text: &str) -> Result<(), Invalid> {
    in_field(field, Title::check(text))
}

/// Text of one line.
pub(crate) fn check_line(field: &str, text: &str) -> Result<(), Invalid> {
    in_field(field, text::check_line(text))
}

/// A script.
pub(crate) fn check_script(field: &str, text: &str) -> Result<(), Invalid> {
    in_field(field, Script::check(text))
}

/// The same refusal, of a field.
pub(crate) fn in_field(field: &str, checked: Result<(), InvalidText>) -> Result<(), Invalid> {
    checked.map_err(|refusal| Invalid::new(field, refusal.to_string()))
}
