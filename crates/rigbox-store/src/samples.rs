//! What guests used, as samples over time.
//! Writer and reader: control. Invariants: samples of a workspace go with it, and each one after a
//! week; counters are the guest's own, which begin again at each boot. Does not measure and does
//! not add up.

use std::time::Duration;

use rigbox_types::{Timestamp, WorkspaceId};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    engine::Engine,
    row::{Columns, count},
    tx::Tx,
};

/// How long a sample is kept.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Most samples of one answer: a week of one a minute, from each of several controls.
const SAMPLES_MAX: i64 = 50_000;

/// A workspace that went meanwhile leaves nothing, but for one that goes at this very moment, which
/// ends with its age.
const INSERT: &str = "INSERT INTO samples (workspace_id, sampled_at, cpu_percent, \
     memory_used_bytes, memory_limit_bytes, disk_used_bytes, disk_total_bytes, rx_bytes, tx_bytes) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 \
     WHERE EXISTS (SELECT 1 FROM workspaces WHERE id = $1) \
     ON CONFLICT (workspace_id, sampled_at) DO NOTHING";

/// The newest ones where there are too many.
pub(crate) const SINCE: &str = "SELECT workspace_id, sampled_at, cpu_percent, memory_used_bytes, \
     memory_limit_bytes, disk_used_bytes, disk_total_bytes, rx_bytes, tx_bytes FROM samples \
     WHERE workspace_id = $1 AND sampled_at >= $2 ORDER BY sampled_at DESC LIMIT $3";

const FORGET: &str = "DELETE FROM samples WHERE sampled_at < $1";

const FORGET_WORKSPACE: &str = "DELETE FROM samples WHERE workspace_id = $1";

/// See the module.
pub struct Samples<'s> {
    pub(crate) engine: &'s Engine,
}

/// What a guest used at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// When, by control's clock.
    pub at: Timestamp,
    /// Share of all its virtual CPUs, 0 to 100.
    pub cpu_percent: f64,
    /// Memory in use.
    pub memory_used_bytes: u64,
    /// Memory in all.
    pub memory_limit_bytes: u64,
    /// Root disk in use.
    pub disk_used_bytes: u64,
    /// Root disk in all.
    pub disk_total_bytes: u64,
    /// Received since boot.
    pub rx_bytes: u64,
    /// Sent since boot.
    pub tx_bytes: u64,
}

impl Samples<'_> {
    /// Keeps samples, all or none.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn insert(&self, samples: &[Sample]) -> Result<(), StoreError> {
        if samples.is_empty() {
            return Ok(());
        }
        let mut tx = self.engine.begin().await?;
        for sample in samples {
            sqlx::query(INSERT)
                .bind(sample.workspace.as_str().to_owned())
                .bind(sample.at.as_micros())
                .bind(sample.cpu_percent)
                .bind(count(sample.memory_used_bytes))
                .bind(count(sample.memory_limit_bytes))
                .bind(count(sample.disk_used_bytes))
                .bind(count(sample.disk_total_bytes))
                .bind(count(sample.rx_bytes))
                .bind(count(sample.tx_bytes))
                .execute(tx.on())
                .await?;
        }
        tx.commit().await
    }

    /// The samples of a workspace from `from` on, oldest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn since(
        &self,
        workspace: &WorkspaceId,
        from: Timestamp,
    ) -> Result<Vec<Sample>, StoreError> {
        let query = sqlx::query(SINCE).bind(workspace.as_str()).bind(from.as_micros());
        let rows = query.bind(SAMPLES_MAX).fetch_all(&self.engine.read).await?;
        rows.iter().rev().map(read).collect()
    }

    /// Forgets what is older than [`SAMPLES_KEPT`]. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let kept = i64::try_from(SAMPLES_KEPT.as_micros()).unwrap_or(i64::MAX);
        let before = self.engine.now().as_micros().saturating_sub(kept);
        sqlx::query(FORGET).bind(before).execute(&self.engine.write).await?;
        Ok(())
    }
}

/// Forgets the samples of a workspace in the transaction that removes it.
pub(crate) async fn forget_workspace(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    sqlx::query(FORGET_WORKSPACE).bind(id.to_owned()).execute(tx.on()).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Sample, StoreError> {
    let columns = Columns::of("samples", row);
    Ok(Sample {
        workspace: columns.parsed("workspace_id")?,
        at: columns.moment("sampled_at")?,
        cpu_percent: columns.raw("cpu_percent")?,
        memory_used_bytes: columns.number("memory_used_bytes")?,
        memory_limit_bytes: columns.number("memory_limit_bytes")?,
        disk_used_bytes: columns.number("disk_used_bytes")?,
        disk_total_bytes: columns.number("disk_total_bytes")?,
        rx_bytes: columns.number("rx_bytes")?,
        tx_bytes: columns.number("tx_bytes")?,
    })
}
