//! Environment variables of workspaces and services.
//!
//! A name is a C identifier, because that is what shells and systemd take; a value is any text
//! without NUL, line ends included: whoever writes it to a file quotes it.

use std::collections::BTreeMap;

use rigbox_types::limits::{ENV_MAX_COUNT, ENV_NAME_MAX_LEN, ENV_VALUE_MAX_LEN};

use crate::error::Invalid;

/// Checks a whole environment; `field` is where in the document it is.
pub(crate) fn check(field: &str, env: &BTreeMap<String, String>) -> Result<(), Invalid> {
    if env.len() > ENV_MAX_COUNT {
        return Err(Invalid::new(field, format!("may have at most {ENV_MAX_COUNT} variables")));
    }
    for (name, value) in env {
        check_name(field, name)?;
        let path = || format!("{field}.{name}");
        if value.len() > ENV_VALUE_MAX_LEN {
            return Err(Invalid::new(
                path(),
                format!("may have at most {ENV_VALUE_MAX_LEN} bytes"),
            ));
        }
        if value.contains('\0') {
            return Err(Invalid::new(path(), "may not contain NUL"));
        }
    }
    Ok(())
}

fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    if name.len() > ENV_NAME_MAX_LEN {
        let rule = format!("has a name of more than {ENV_NAME_MAX_LEN} bytes");
        return Err(Invalid::new(field, rule));
    }
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    let shown: String = name.escape_default().collect();
    Err(Invalid::new(
        format!("{field}.{shown}"),
        "a name may have only letters, digits and underscores and may not begin with a digit",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, value: &str) -> Result<(), Invalid> {
        check("env_vars", &BTreeMap::from([(name.to_owned(), value.to_owned())]))
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
        assert_eq!(check_one("A", "\0").unwrap_err().field, "env_vars.A");
    }

    #[test]
    fn the_number_of_variables_is_bounded() {
        let env = |count: usize| (0..count).map(|n| (format!("V{n}"), String::new())).collect();
        assert_eq!(check("env_vars", &env(ENV_MAX_COUNT)), Ok(()));
        assert!(check("env_vars", &env(ENV_MAX_COUNT + 1)).is_err());
    }
}
