//! Pages by key, newest first: the cost of a page does not depend on how many rows there are.
//! Invariant: a cursor is opaque, belongs to one list, and stays good while rows come and go.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rigbox_types::{
    AccountId, Timestamp,
    limits::{PAGE_DEFAULT, PAGE_MAX},
};
use sqlx::any::AnyRow;

use crate::{StoreError, engine::Engine};

/// Longest cursor: its kind, a few numbers and an id.
const CURSOR_MAX_LEN: usize = 256;

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Most rows; 1 to 200, others are brought into these bounds.
    pub limit: u32,
    /// What the page before handed out.
    pub cursor: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: PAGE_DEFAULT, cursor: None }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; none after the last one.
    pub next_cursor: Option<String>,
}

/// The place of a row in a list: numbers that order, then its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key<const N: usize> {
    pub(crate) numbers: [i64; N],
    pub(crate) id: String,
}

impl PageRequest {
    /// Rows to read: one more than the page has, to see whether another follows.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit.clamp(1, PAGE_MAX)) + 1
    }

    /// Where to begin; `first` where there is no cursor.
    pub(crate) fn after<const N: usize>(
        &self,
        list: &str,
        first: [i64; N],
    ) -> Result<Key<N>, StoreError> {
        match &self.cursor {
            None => Ok(Key { numbers: first, id: String::new() }),
            Some(cursor) => decode(list, cursor).ok_or(StoreError::InvalidCursor),
        }
    }

    /// Cuts the row too many and makes the cursor of the last one that stays.
    pub(crate) fn page<T, const N: usize>(
        &self,
        list: &str,
        mut items: Vec<T>,
        key: impl Fn(&T) -> Key<N>,
    ) -> Page<T> {
        let most = usize::try_from(self.rows() - 1).unwrap_or(usize::MAX);
        let more = items.len() > most;
        items.truncate(most);
        let last = items.last().filter(|_| more);
        let next_cursor = last.map(|item| encode(list, &key(item)));
        Page { items, next_cursor }
    }
}

/// What an account's lists, ordered by when their rows were made, have in common.
pub(crate) struct OfAccount {
    /// Its name, which begins its cursors.
    pub(crate) list: &'static str,
    /// Selects a page: `$1` the account, `$2` and `$3` where the page before ended, `$4` how many rows.
    pub(crate) sql: &'static str,
}

impl OfAccount {
    /// Reads a page, newest first. `read` reads a row, `place` tells when it was made, and its id.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub(crate) async fn page<T>(
        &self,
        engine: &Engine,
        (account, page): (AccountId, &PageRequest),
        read: impl Fn(&AnyRow) -> Result<T, StoreError>,
        place: impl Fn(&T) -> (Timestamp, String),
    ) -> Result<Page<T>, StoreError> {
        let after = page.after(self.list, [i64::MAX])?;
        let [created_at] = after.numbers;
        let rows = sqlx::query(self.sql)
            .bind(account.to_string())
            .bind(created_at)
            .bind(after.id)
            .bind(page.rows())
            .fetch_all(&engine.read)
            .await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.page(self.list, rows, |row| {
            let (created_at, id) = place(row);
            Key { numbers: [created_at.as_micros()], id }
        }))
    }
}

fn encode<const N: usize>(list: &str, key: &Key<N>) -> String {
    let numbers = key.numbers.map(|number| number.to_string()).join(".");
    URL_SAFE_NO_PAD.encode(format!("{list}.{numbers}.{}", key.id))
}

fn decode<const N: usize>(list: &str, cursor: &str) -> Option<Key<N>> {
    if cursor.len() > CURSOR_MAX_LEN {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let mut parts = text.strip_prefix(list)?.strip_prefix('.')?.splitn(N + 1, '.');
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = parts.next()?.parse().ok()?;
    }
    let id = parts.next()?;
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| Key { numbers, id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let key = Key { numbers: [-7, i64::MAX], id: "ws-abcdefgh".to_owned() };
        let cursor = encode("workspaces", &key);
        assert_eq!(decode("workspaces", &cursor), Some(key));
        assert_eq!(decode::<2>("workspace", &cursor), None);
        assert_eq!(decode::<2>("scripts", &cursor), None);
        assert_eq!(decode::<3>("workspaces", &cursor), None);
        for broken in ["", "a", "%%", &cursor[1..], &"a".repeat(CURSOR_MAX_LEN + 1)] {
            assert_eq!(decode::<2>("workspaces", broken), None, "{broken}");
        }
    }
}
