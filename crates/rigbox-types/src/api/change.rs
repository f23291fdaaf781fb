//! A field of a partial update that can also be cleared: missing keeps, `null` clears, a value
//! sets. Fields that cannot be empty are plain `Option`s, where `null` keeps like a missing one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an update does to one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field was missing.
    #[default]
    Keep,
    /// The field was `null`.
    Clear,
    /// The field had a value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the field is left out of the document.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The field after the change, where clearing it leaves its default.
    pub fn or_keep(self, old: T) -> T
    where
        T: Default,
    {
        match self {
            Self::Keep => old,
            Self::Clear => T::default(),
            Self::Set(new) => new,
        }
    }

    /// The field after the change, where clearing it leaves nothing.
    pub fn or_keep_optional(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(new) => Some(new),
        }
    }

    /// The value, if one is set.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Serialize> Serialize for Change<T> {
    /// A kept field must be skipped with `skip_serializing_if = "Change::is_keep"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Change<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Update {
        #[serde(default, skip_serializing_if = "Change::is_keep")]
        file: Change<String>,
    }

    #[test]
    fn missing_keeps_null_clears_and_a_value_sets() {
        for (text, expected) in [
            ("{}", Change::Keep),
            (r#"{"file":null}"#, Change::Clear),
            (r#"{"file":"x"}"#, Change::Set("x".to_owned())),
        ] {
            let update: Update = serde_json::from_str(text).unwrap();
            assert_eq!(update.file, expected);
            assert_eq!(serde_json::to_string(&update).unwrap(), text);
        }
    }
}
