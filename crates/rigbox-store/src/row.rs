//! Between rows and values. A value that does not parse names its table and column.

use std::{fmt, str::FromStr};

use rigbox_types::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Decode, Row as _, Type,
    any::{Any, AnyRow},
};

use crate::StoreError;

/// A row of a named table.
pub(crate) struct Columns<'r> {
    table: &'static str,
    row: &'r AnyRow,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(table: &'static str, row: &'r AnyRow) -> Self {
        Self { table, row }
    }

    /// A value as the database has it.
    pub(crate) fn raw<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Any> + Type<Any>,
    {
        self.row.try_get(column).map_err(|error| self.corrupt(column, error))
    }

    /// A value that is text and parses.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        self.raw::<String>(column)?.parse().map_err(|error| self.corrupt(column, error))
    }

    /// The same, where it may be missing.
    pub(crate) fn parsed_optional<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let text = self.raw::<Option<String>>(column)?;
        text.map(|text| text.parse().map_err(|error| self.corrupt(column, error))).transpose()
    }

    /// A number of a narrower type than the database has.
    pub(crate) fn number<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
    {
        self.raw::<i64>(column)?.try_into().map_err(|error| self.corrupt(column, error))
    }

    /// The same, where it may be missing.
    pub(crate) fn number_optional<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
    {
        let number = self.raw::<Option<i64>>(column)?;
        number.map(|number| number.try_into().map_err(|e| self.corrupt(column, e))).transpose()
    }

    /// 0 or 1.
    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        self.raw::<i64>(column).map(|number| number != 0)
    }

    /// The same, where it may be missing.
    pub(crate) fn flag_optional(&self, column: &'static str) -> Result<Option<bool>, StoreError> {
        Ok(self.raw::<Option<i64>>(column)?.map(|number| number != 0))
    }

    pub(crate) fn moment(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.raw(column).map(Timestamp::from_micros)
    }

    pub(crate) fn moment_optional(
        &self,
        column: &'static str,
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.raw::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    /// A unit variant, kept as its word.
    pub(crate) fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = serde_json::Value::String(self.raw(column)?);
        serde_json::from_value(text).map_err(|error| self.corrupt(column, error))
    }

    /// The same, where it may be missing.
    pub(crate) fn word_optional<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let Some(text) = self.raw::<Option<String>>(column)? else { return Ok(None) };
        let word = serde_json::from_value(serde_json::Value::String(text));
        word.map(Some).map_err(|error| self.corrupt(column, error))
    }

    /// A document.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text: String = self.raw(column)?;
        serde_json::from_str(&text).map_err(|error| self.corrupt(column, error))
    }

    /// A document that may be missing.
    pub(crate) fn json_optional<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.raw(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    fn corrupt(
        &self,
        column: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> StoreError {
        StoreError::Corrupt { what: format!("{}.{column}", self.table), source: source.into() }
    }
}

/// A unit variant as its word.
pub(crate) fn word<T: Serialize + fmt::Debug>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) => Err(StoreError::Internal(format!("{value:?} has no word").into())),
        Err(error) => Err(StoreError::Internal(error.into())),
    }
}

/// A document as text. A NUL, which JSON writes as `\u0000`, is fine in both engines.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(error.into()))
}

/// The same, where it may be missing.
pub(crate) fn json_optional<T: Serialize>(value: Option<&T>) -> Result<Option<String>, StoreError> {
    value.map(json).transpose()
}

/// A count as the database keeps it. Counts beyond what it holds (9.2e18) come from nobody but a
/// liar, and the nearest one is as good.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
