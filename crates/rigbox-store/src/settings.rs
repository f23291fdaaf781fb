//! The installation's settings: named documents, such as the templates an operator has changed.
//! Writer and reader: control. Does not know what a setting means.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    StoreError,
    engine::Engine,
    row::{Columns, json},
};

const GET: &str = "SELECT value FROM settings WHERE name = $1";

const PUT: &str = "INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";

/// Does nothing where another process was first.
const PUT_FIRST: &str = "INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO NOTHING";

const DELETE: &str = "DELETE FROM settings WHERE name = $1";

/// See the module.
pub struct Settings<'s> {
    pub(crate) engine: &'s Engine,
}

impl Settings<'_> {
    /// A setting; none where it was never set.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is of another form.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let row = sqlx::query(GET).bind(name).fetch_optional(&self.engine.read).await?;
        row.map(|row| Columns::of("settings", &row).json("value")).transpose()
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn put<T: Serialize + Sync>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        self.write(PUT, name, json(value)?).await
    }

    /// The setting, and `first` where it was never set: of several at once all get the same.
    ///
    /// # Errors
    /// As [`Settings::get`].
    pub async fn get_or_put<T>(&self, name: &str, first: &T) -> Result<T, StoreError>
    where
        T: Serialize + DeserializeOwned + Sync,
    {
        self.write(PUT_FIRST, name, json(first)?).await?;
        let row = sqlx::query(GET).bind(name).fetch_one(&self.engine.read).await?;
        Columns::of("settings", &row).json("value")
    }

    /// Forgets a setting.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        sqlx::query(DELETE).bind(name).execute(&self.engine.write).await?;
        Ok(())
    }

    async fn write(&self, text: &'static str, name: &str, value: String) -> Result<(), StoreError> {
        sqlx::query(text)
            .bind(name)
            .bind(value)
            .bind(self.engine.now().as_micros())
            .execute(&self.engine.write)
            .await?;
        Ok(())
    }
}
