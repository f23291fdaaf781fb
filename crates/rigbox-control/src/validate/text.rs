//! Names for people, scripts and paths.

use rigbox_types::limits::{SETUP_SCRIPT_MAX_BYTES, TITLE_MAX_LEN};

use crate::error::Invalid;

/// A name for people: one line, not empty.
pub(crate) fn check_title(field: &str, text: &str) -> Result<(), Invalid> {
    if text.trim().is_empty() || text.len() > TITLE_MAX_LEN {
        return Err(Invalid::new(field, format!("must have 1 to {TITLE_MAX_LEN} bytes")));
    }
    check_line(field, text)
}

/// Text of one line: nothing that could end it or hide what it says.
pub(crate) fn check_line(field: &str, text: &str) -> Result<(), Invalid> {
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "may not contain line ends or other control characters"));
    }
    Ok(())
}

/// A script: any text without NUL, which bash could not read.
pub(crate) fn check_script(field: &str, text: &str) -> Result<(), Invalid> {
    if text.len() > SETUP_SCRIPT_MAX_BYTES {
        let rule = format!("may have at most {SETUP_SCRIPT_MAX_BYTES} bytes");
        return Err(Invalid::new(field, rule));
    }
    if text.contains('\0') {
        return Err(Invalid::new(field, "may not contain NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_that_says_something() {
        assert_eq!(check_title("name", "Install Postgres 17 – ä"), Ok(()));
        for text in ["", "  ", "a\nb", "a\0", "a\u{1b}[31m", &"a".repeat(TITLE_MAX_LEN + 1)] {
            assert!(check_title("name", text).is_err(), "{text:?}");
        }
    }
}
