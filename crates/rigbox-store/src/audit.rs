//! The audit record: a chain of entries, each with a keyed hash over itself and the hash before it.
//! Writer: control. Readers: control, and the operator's `rigbox audit`. Invariants: entries are only
//! added, and cut off at the old end by age; an entry that was changed, added between, taken out or
//! reordered by somebody without the chain's key is found by [`Audit::verify`]. What was cut off at
//! the new end is found by whoever kept a hash elsewhere, as control does beside its key.
//! Does not decide what is recorded.

use std::time::Duration;

use rigbox_types::{
    AccountId, Timestamp,
    api::audit::{AuditEntry, AuditStage},
    limits::AUDIT_DAYS,
};
use sqlx::any::AnyRow;

use crate::{
    Page, PageRequest, StoreError,
    api_keys::KeyHasher,
    engine::Engine,
    page::Key,
    row::{Columns, count, word},
    tx::Tx,
};

/// How long an entry is kept where nobody has chosen.
// Widening: `From` is not const.
pub const AUDIT_KEPT: Duration = Duration::from_secs(AUDIT_DAYS as u64 * 24 * 3600);

/// Entries that are read at once while the chain is followed.
const PART: i64 = 1_000;

const LIST: &str = "audit";

macro_rules! columns {
    () => {
        "seq, at, stage, request_id, action, account_id, actor, address, target, status, code, hash"
    };
}

/// Takes the right to be the only one who appends until the transaction ends.
const LAST_TAKE: &str =
    "UPDATE audit_ends SET last_seq = last_seq + $1 WHERE id = 1 RETURNING last_seq, last_hash";

const LAST_SET: &str = "UPDATE audit_ends SET last_hash = $1 WHERE id = 1";

const ENDS: &str =
    "SELECT last_seq, last_hash, cut_seq, cut_hash, cut_mac FROM audit_ends WHERE id = 1";

const INSERT: &str = concat!(
    "INSERT INTO audit (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
);

const PAGE_OF_ACCOUNT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE account_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3"
);

const PAGE_OF_ALL: &str =
    concat!("SELECT ", columns!(), " FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2");

const FOLLOW: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3"
);

/// From the old end on, so that it looks at no more than there is to cut, and so that an entry of a
/// clock that was wrong takes nothing younger with it.
const FIRST_YOUNG: &str = "SELECT seq FROM audit WHERE at >= $1 ORDER BY seq LIMIT 1";

const HASH_OF: &str = "SELECT hash FROM audit WHERE seq = $1";

const CUT: &str = "DELETE FROM audit WHERE seq <= $1";

/// Never back, where two cut at once.
const CUT_SET: &str = "UPDATE audit_ends SET cut_seq = $1, cut_hash = $2, cut_mac = $3 \
     WHERE id = 1 AND cut_seq < $1";

/// See the module.
pub struct Audit<'s> {
    pub(crate) engine: &'s Engine,
}

/// An entry to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// As in [`AuditEntry`], as the others.
    pub stage: AuditStage,
    /// As there.
    pub request_id: String,
    /// As there.
    pub action: String,
    /// As there.
    pub account: Option<AccountId>,
    /// As there.
    pub actor: String,
    /// As there.
    pub address: Option<String>,
    /// As there.
    pub target: String,
    /// As there.
    pub status: Option<u16>,
    /// As there.
    pub code: Option<String>,
}

/// An entry that is known outside the database: its number, and its hash in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// What following the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is as it was written, and none is missing between the oldest and the newest.
    Whole {
        /// How many entries there are.
        entries: u64,
        /// The newest one, and its hash in hex: what to keep elsewhere.
        last_seq: u64,
        /// See `last_seq`.
        last_hash: String,
    },
    /// The chain breaks.
    Broken {
        /// The first entry that is not what was written here.
        at_seq: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

struct Ends {
    last_seq: i64,
    last_hash: Vec<u8>,
    cut_seq: i64,
    cut_hash: Vec<u8>,
    cut_mac: Vec<u8>,
}

impl Audit<'_> {
    /// Adds entries in their order, all or none. Gives the last of them.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn append(
        &self,
        entries: &[NewEntry],
        key: &KeyHasher,
    ) -> Result<Option<Head>, StoreError> {
        if entries.is_empty() {
            return Ok(None);
        }
        let many = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let mut tx = self.engine.begin().await?;
        let row = sqlx::query(LAST_TAKE).bind(many).fetch_one(tx.on()).await?;
        let columns = Columns::of("audit_ends", &row);
        let mut hash: Vec<u8> = columns.raw("last_hash")?;
        let mut seq = columns.raw::<i64>("last_seq")?.saturating_sub(many);
        for entry in entries {
            seq += 1;
            let at = self.engine.now();
            hash = chained(key, &hash, (seq, at), entry)?;
            insert(&mut tx, (seq, at), entry, &hash).await?;
        }
        let head = Head { seq: u64::try_from(seq).unwrap_or(0), hash: hex(&hash) };
        sqlx::query(LAST_SET).bind(hash).execute(tx.on()).await?;
        tx.commit().await?;
        Ok(Some(head))
    }

    /// A page of the entries of one account, or of all, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        account: Option<AccountId>,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let [before] = page.after(LIST, [i64::MAX])?.numbers;
        let query = match account {
            Some(account) => sqlx::query(PAGE_OF_ACCOUNT).bind(account.to_string()),
            None => sqlx::query(PAGE_OF_ALL),
        };
        let rows = query.bind(before).bind(page.rows()).fetch_all(&self.engine.read).await?;
        let entries = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.page(LIST, entries, |entry| Key { numbers: [count(entry.seq)], id: String::new() }))
    }

    /// The entries after one of this number, oldest first; as many as are read at once.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn after(&self, seq: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let query = sqlx::query(FOLLOW).bind(count(seq)).bind(i64::MAX).bind(PART);
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }

    /// Follows the chain from the oldest entry to the newest one. With `kept`, the number and hash
    /// of an entry that somebody wrote down elsewhere, that one must still be in it.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn verify(
        &self,
        key: &KeyHasher,
        kept: Option<(u64, &str)>,
    ) -> Result<Verdict, StoreError> {
        loop {
            let ends = self.ends().await?;
            let verdict = self.follow(key, &ends, kept).await?;
            let is_whole = matches!(verdict, Verdict::Whole { .. });
            // What was cut off meanwhile is not missing.
            if is_whole || self.ends().await?.cut_seq == ends.cut_seq {
                return Ok(verdict);
            }
        }
    }

    async fn follow(
        &self,
        key: &KeyHasher,
        ends: &Ends,
        kept: Option<(u64, &str)>,
    ) -> Result<Verdict, StoreError> {
        let (mut seq, mut hash) = (ends.cut_seq, ends.cut_hash.clone());
        let broken =
            |at: i64, what| Ok(Verdict::Broken { at_seq: u64::try_from(at).unwrap_or(0), what });
        if seq != 0 && ends.cut_mac != cut_mac(key, seq, &hash) {
            return broken(seq, "the entries up to this one were not cut off by the platform");
        }
        if kept.is_some_and(|(kept, _)| count(kept) <= seq) {
            return broken(seq, "entries up to this one were cut off with age, the kept one too");
        }
        if kept.is_some_and(|(kept, _)| count(kept) > ends.last_seq) {
            return broken(ends.last_seq, "entries after this one are gone");
        }
        while seq < ends.last_seq {
            let query = sqlx::query(FOLLOW).bind(seq).bind(ends.last_seq).bind(PART);
            let rows = query.fetch_all(&self.engine.read).await?;
            if rows.is_empty() {
                return broken(seq + 1, "this entry and those after it are gone");
            }
            for row in &rows {
                seq += 1;
                let entry = match read(row) {
                    Err(StoreError::Corrupt { .. }) => {
                        return broken(seq, "this entry is not what was written");
                    }
                    read => read?,
                };
                if count(entry.seq) != seq {
                    return broken(seq, "this entry is gone");
                }
                hash = chained(key, &hash, (seq, entry.at), &as_written(&entry))?;
                if hex(&hash) != entry.hash {
                    return broken(seq, "this entry is not what was written");
                }
                if kept.is_some_and(|(kept, hash)| kept == entry.seq && hash != entry.hash) {
                    return broken(seq, "this entry is not the one that was kept elsewhere");
                }
            }
        }
        if hash != ends.last_hash {
            return broken(seq, "entries after this one are gone");
        }
        Ok(Verdict::Whole {
            entries: u64::try_from(ends.last_seq - ends.cut_seq).unwrap_or(0),
            last_seq: u64::try_from(seq).unwrap_or(0),
            last_hash: hex(&hash),
        })
    }

    /// Cuts off what is older than `kept`; the chain goes on from there. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self, key: &KeyHasher, kept: Duration) -> Result<(), StoreError> {
        let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
        let before = self.engine.now().as_micros().saturating_sub(kept);
        let ends = self.ends().await?;
        let young = sqlx::query(FIRST_YOUNG).bind(before).fetch_optional(&self.engine.read).await?;
        let young = young.map(|row| Columns::of("audit", &row).raw("seq")).transpose()?;
        // The newest entry stays, so that the chain always has an end to go on from.
        let target = young.unwrap_or(ends.last_seq).min(ends.last_seq) - 1;
        let mut cut = ends.cut_seq;
        while cut < target {
            // Some at a time: others write between.
            cut = target.min(cut.saturating_add(PART));
            let mut tx = self.engine.begin().await?;
            let row = sqlx::query(HASH_OF).bind(cut).fetch_optional(tx.on()).await?;
            // Somebody else has cut it off.
            let Some(row) = row else { continue };
            let hash: Vec<u8> = Columns::of("audit", &row).raw("hash")?;
            let mac = cut_mac(key, cut, &hash);
            sqlx::query(CUT).bind(cut).execute(tx.on()).await?;
            sqlx::query(CUT_SET).bind(cut).bind(hash).bind(mac).execute(tx.on()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Whether the entry of this number was cut off with age.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn is_cut_off(&self, seq: u64) -> Result<bool, StoreError> {
        Ok(count(seq) <= self.ends().await?.cut_seq)
    }

    async fn ends(&self) -> Result<Ends, StoreError> {
        let row = sqlx::query(ENDS).fetch_one(&self.engine.read).await?;
        let columns = Columns::of("audit_ends", &row);
        Ok(Ends {
            last_seq: columns.raw("last_seq")?,
            last_hash: columns.raw("last_hash")?,
            cut_seq: columns.raw("cut_seq")?,
            cut_hash: columns.raw("cut_hash")?,
            cut_mac: columns.raw("cut_mac")?,
        })
    }
}

/// The hash of an entry: over the one before and all of its columns, each with its length, so that
/// nothing can move from one into the next.
fn chained(
    key: &KeyHasher,
    before: &[u8],
    (seq, at): (i64, Timestamp),
    entry: &NewEntry,
) -> Result<Vec<u8>, StoreError> {
    let numbers = [seq, at.as_micros(), entry.status.map_or(-1, i64::from)].map(i64::to_be_bytes);
    let (stage, account) = (word(&entry.stage)?, entry.account.map(|id| id.to_string()));
    let texts = [
        Some(stage.as_str()),
        Some(entry.request_id.as_str()),
        Some(entry.action.as_str()),
        account.as_deref(),
        Some(entry.actor.as_str()),
        entry.address.as_deref(),
        Some(entry.target.as_str()),
        entry.code.as_deref(),
    ];
    let mut message = before.to_vec();
    message.extend(numbers.as_flattened());
    for text in texts {
        // Nothing and an empty text are two things.
        let length = text.map_or(-1, |text| i64::try_from(text.len()).unwrap_or(i64::MAX));
        message.extend(length.to_be_bytes());
        message.extend(text.unwrap_or_default().bytes());
    }
    Ok(key.mac(&message).to_vec())
}

/// The keyed hash of where the old end is.
fn cut_mac(key: &KeyHasher, seq: i64, hash: &[u8]) -> Vec<u8> {
    key.mac(&[b"cut".as_slice(), &seq.to_be_bytes(), hash].concat()).to_vec()
}

async fn insert(
    tx: &mut Tx<'_>,
    (seq, at): (i64, Timestamp),
    entry: &NewEntry,
    hash: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(seq)
        .bind(at.as_micros())
        .bind(word(&entry.stage)?)
        .bind(entry.request_id.clone())
        .bind(entry.action.clone())
        .bind(entry.account.map(|account| account.to_string()))
        .bind(entry.actor.clone())
        .bind(entry.address.clone())
        .bind(entry.target.clone())
        .bind(entry.status.map(i64::from))
        .bind(entry.code.clone())
        .bind(hash.to_vec())
        .execute(tx.on())
        .await?;
    Ok(())
}

fn as_written(entry: &AuditEntry) -> NewEntry {
    NewEntry {
        stage: entry.stage,
        request_id: entry.request_id.clone(),
        action: entry.action.clone(),
        account: entry.account,
        actor: entry.actor.clone(),
        address: entry.address.clone(),
        target: entry.target.clone(),
        status: entry.status,
        code: entry.code.clone(),
    }
}

fn read(row: &AnyRow) -> Result<AuditEntry, StoreError> {
    let columns = Columns::of("audit", row);
    Ok(AuditEntry {
        seq: columns.number("seq")?,
        at: columns.moment("at")?,
        stage: columns.word("stage")?,
        request_id: columns.raw("request_id")?,
        action: columns.raw("action")?,
        account: columns.parsed_optional("account_id")?,
        actor: columns.raw("actor")?,
        address: columns.raw("address")?,
        target: columns.raw("target")?,
        status: columns.number_optional("status")?,
        code: columns.raw("code")?,
        hash: hex(&columns.raw::<Vec<u8>>("hash")?),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
