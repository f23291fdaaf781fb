//! Profiles of request rates, and which account has which.
//! Writer and reader: control. Invariant: whoever watches the feed is woken when an account gets
//! another one. Does not count requests (see [`rates`](crate::rates)).

use rigbox_types::{AccountId, Timestamp, rate::RateProfile};

use crate::{StoreError, engine::Engine, feed::Wake, row::Columns};

const PRESETS: &str =
    "SELECT name, rules, system_managed, updated_at FROM throttle_presets ORDER BY name";

const GET: &str = "SELECT p.name, p.rules FROM throttle_bindings t \
     JOIN throttle_presets p ON p.name = t.profile WHERE t.account_id = $1";

const SET: &str = "INSERT INTO throttle_bindings (account_id, profile) VALUES ($1, $2) \
     ON CONFLICT (account_id) DO UPDATE SET profile = excluded.profile";

const CLEAR: &str = "DELETE FROM throttle_bindings WHERE account_id = $1";

/// See the module.
pub struct RateProfiles<'s> {
    pub(crate) engine: &'s Engine,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateProfileRow {
    /// Its name.
    pub name: String,
    /// Its numbers.
    pub rules: RateProfile,
    /// Whether it came with the platform.
    pub system_managed: bool,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl RateProfiles<'_> {
    /// All profiles, by name. There are as many as an operator makes: a few.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn presets(&self) -> Result<Vec<RateProfileRow>, StoreError> {
        let rows = sqlx::query(PRESETS).fetch_all(&self.engine.read).await?;
        let read = |row| {
            let columns = Columns::of("throttle_presets", row);
            Ok(RateProfileRow {
                name: columns.raw("name")?,
                rules: columns.json("rules")?,
                system_managed: columns.flag("system_managed")?,
                updated_at: columns.moment("updated_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The name and the numbers of the profile that an account has.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn get(
        &self,
        account: AccountId,
    ) -> Result<Option<(String, RateProfile)>, StoreError> {
        let query = sqlx::query(GET).bind(account.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        let read = |row| {
            let columns = Columns::of("throttle_presets", &row);
            Ok((columns.raw("name")?, columns.json("rules")?))
        };
        row.map(read).transpose()
    }

    /// Gives an account a profile; none for the platform's own numbers.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown account or profile.
    pub async fn set(&self, account: AccountId, profile: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        match profile {
            None => {
                sqlx::query(CLEAR).bind(account.to_string()).execute(tx.on()).await?;
            }
            Some(name) => {
                let query = sqlx::query(SET).bind(account.to_string()).bind(name.to_owned());
                query.execute(tx.on()).await.map_err(|error| {
                    if StoreError::is_foreign_key(&error) {
                        StoreError::not_found("throttle profile", &name)
                    } else {
                        error.into()
                    }
                })?;
            }
        }
        tx.wake(Wake::Throttle(account));
        tx.commit().await
    }
}
