//! Environment variables of workspaces and services: the rules are those of `types::text`, here they
//! get the name of the field.

use std::collections::BTreeMap;

use rigbox_types::text::Environment;

use crate::error::Invalid;

/// Checks a whole environment; `field` is where in the document it is.
pub(crate) fn check(field: &str, env: &BTreeMap<String, String>) -> Result<(), Invalid> {
    Environment::check(env).map_err(|refusal| match refusal.variable {
        Some(variable) => Invalid::new(format!("{field}.{variable}"), refusal.rule),
        None => Invalid::new(field, refusal.rule),
    })
}
