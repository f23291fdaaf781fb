//! Texts that people send about AI.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::InvalidText;
use crate::limits::{AI_KEY_MAX_LEN, AI_KEY_MIN_LEN, AI_MODEL_MAX_LEN};

text_rule! {
    /// The name of a model, with its provider before a slash where that is meant.
    ModelName, 1, AI_MODEL_MAX_LEN, "^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$"
}
text_rule! {
    /// A key at an AI provider: it goes into a header and, where its owner wants that, into a file of
    /// environment, so nothing of it needs quoting.
    ProviderKey, AI_KEY_MIN_LEN, AI_KEY_MAX_LEN, "^[A-Za-z0-9._~+/=:-]+$"
}

impl ModelName {
    /// Checks a name.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<(), InvalidText> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || text.len() > AI_MODEL_MAX_LEN || !text.bytes().all(plain) {
            let rule = format!(
                "must be a model's name of at most {AI_MODEL_MAX_LEN} letters, digits and ._:/@+-"
            );
            return Err(InvalidText::new(rule));
        }
        Ok(())
    }
}

impl ProviderKey {
    /// Checks a key.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(text: &str) -> Result<(), InvalidText> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~+/=:-".contains(&byte);
        let fits = (AI_KEY_MIN_LEN..=AI_KEY_MAX_LEN).contains(&text.len());
        if !fits || !text.bytes().all(plain) {
            let rule = format!(
                "must be a key of {AI_KEY_MIN_LEN} to {AI_KEY_MAX_LEN} letters, digits and ._~+/=:-, \
                 as the provider shows it"
            );
            return Err(InvalidText::new(rule));
        }
        Ok(())
    }
}
