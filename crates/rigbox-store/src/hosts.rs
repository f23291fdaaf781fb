//! Machines that run workspaces.
//! Writer: control, from registrations and reports. Readers: placement, `doctor`. Invariant: what
//! is promised is the sum over the workspaces themselves, which triggers of the database keep with
//! every one of their rows (`host_sums`), so that its cost does not grow with them; what the host
//! reports as promised is kept only to be compared. Does not decide whether a host is alive: it
//! keeps when it was last heard.

use rigbox_types::{
    HostId, ImageName, RegionName, Timestamp,
    host::{Capacity, DriverName, HostRegistration},
};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    engine::Engine,
    row::{Columns, count, word},
    workspaces::Promised,
};

/// Most hosts of one answer.
const HOSTS_MAX: i64 = 1_000;

macro_rules! columns {
    () => {
        "h.id, h.region, h.address, h.version, h.driver, h.capacity_vcpus, \
         h.capacity_memory_mib, h.capacity_disk_mib, h.reported_vcpus, h.reported_memory_mib, \
         h.reported_disk_mib, h.drift, h.created_at, h.registered_at, h.seen_at"
    };
}

const REGISTER: &str = "INSERT INTO hosts (id, region, address, version, driver, capacity_vcpus, \
     capacity_memory_mib, capacity_disk_mib, reported_vcpus, reported_memory_mib, \
     reported_disk_mib, drift, created_at, registered_at, seen_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, $9, $9, $9) \
     ON CONFLICT (id) DO UPDATE SET region = excluded.region, address = excluded.address, \
     version = excluded.version, driver = excluded.driver, \
     capacity_vcpus = excluded.capacity_vcpus, \
     capacity_memory_mib = excluded.capacity_memory_mib, \
     capacity_disk_mib = excluded.capacity_disk_mib, \
     registered_at = excluded.registered_at, seen_at = excluded.seen_at";

const REPORT: &str = "UPDATE hosts SET reported_vcpus = $2, reported_memory_mib = $3, \
     reported_disk_mib = $4, drift = $5, seen_at = $6 WHERE id = $1";

const SEEN: &str = "UPDATE hosts SET seen_at = $2 WHERE id = $1";

const GET: &str = concat!("SELECT ", columns!(), " FROM hosts h WHERE h.id = $1");

const LOADS: &str = concat!(
    "SELECT ",
    columns!(),
    ", COALESCE(s.workspaces, 0) AS workspaces, COALESCE(s.vcpus, 0) AS vcpus, \
     COALESCE(s.memory_mib, 0) AS memory_mib, COALESCE(s.disk_mib, 0) AS disk_mib \
     FROM hosts h LEFT JOIN host_sums s ON s.host_id = h.id ORDER BY h.id LIMIT $1"
);

const IMAGES_FORGET: &str = "DELETE FROM host_images WHERE host_id = $1";

const IMAGE_ADD: &str = "INSERT INTO host_images (host_id, image) VALUES ($1, $2) \
     ON CONFLICT (host_id, image) DO NOTHING";

const IMAGES: &str = "SELECT DISTINCT image FROM host_images ORDER BY image LIMIT $1";

/// Most images of one answer.
const IMAGES_MAX: i64 = 1_000;

/// See the module.
pub struct Hosts<'s> {
    pub(crate) engine: &'s Engine,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Its id.
    pub id: HostId,
    /// The region it serves.
    pub region: RegionName,
    /// Where its fabric listener is.
    pub address: String,
    /// Version of its agent.
    pub version: String,
    /// Its driver.
    pub driver: DriverName,
    /// What it may promise.
    pub capacity: Capacity,
    /// What it last reported as promised.
    pub reported: Capacity,
    /// Differences that its last sweep found.
    pub drift: u32,
    /// When it was first heard.
    pub created_at: Timestamp,
    /// When its agent last started.
    pub registered_at: Timestamp,
    /// When it was last heard.
    pub seen_at: Timestamp,
}

/// One host with what is promised to its workspaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLoad {
    /// The host.
    pub host: HostRow,
    /// The sum over its workspaces.
    pub promised: Promised,
}

impl Hosts<'_> {
    /// Writes down what a host says of itself at its start.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn register(&self, registration: &HostRegistration) -> Result<HostRow, StoreError> {
        let HostRegistration { id, region, address, version, driver, capacity } = registration;
        sqlx::query(REGISTER)
            .bind(id.as_str())
            .bind(region.as_str())
            .bind(address.as_str())
            .bind(version.as_str())
            .bind(word(driver)?)
            .bind(i64::from(capacity.vcpus))
            .bind(count(capacity.memory_mib))
            .bind(count(capacity.disk_mib))
            .bind(self.engine.now().as_micros())
            .execute(&self.engine.write)
            .await?;
        self.get(id).await
    }

    /// Writes down which images a host has or can build, in place of what it said before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it never registered.
    pub async fn images_set(&self, id: &HostId, images: &[ImageName]) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        sqlx::query(IMAGES_FORGET).bind(id.as_str().to_owned()).execute(tx.on()).await?;
        for image in images {
            let query = sqlx::query(IMAGE_ADD).bind(id.as_str().to_owned());
            query.bind(image.as_str().to_owned()).execute(tx.on()).await.map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("host", id)
                } else {
                    error.into()
                }
            })?;
        }
        tx.commit().await
    }

    /// The images that any host has or can build, by name.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn images(&self) -> Result<Vec<ImageName>, StoreError> {
        let rows = sqlx::query(IMAGES).bind(IMAGES_MAX).fetch_all(&self.engine.read).await?;
        rows.iter().map(|row| Columns::of("host_images", row).parsed("image")).collect()
    }

    /// Writes down a host's own numbers, and that it was heard.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it never registered.
    pub async fn report(
        &self,
        id: &HostId,
        promised: &Capacity,
        drift: u32,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(REPORT)
            .bind(id.as_str())
            .bind(i64::from(promised.vcpus))
            .bind(count(promised.memory_mib))
            .bind(count(promised.disk_mib))
            .bind(i64::from(drift))
            .bind(self.engine.now().as_micros())
            .execute(&self.engine.write)
            .await?;
        found(done.rows_affected(), id)
    }

    /// Writes down that a host was heard.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it never registered.
    pub async fn seen(&self, id: &HostId) -> Result<(), StoreError> {
        let done = sqlx::query(SEEN)
            .bind(id.as_str())
            .bind(self.engine.now().as_micros())
            .execute(&self.engine.write)
            .await?;
        found(done.rows_affected(), id)
    }

    /// One host.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: &HostId) -> Result<HostRow, StoreError> {
        let row = sqlx::query(GET).bind(id.as_str()).fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("host", id))?)
    }

    /// All hosts with what they promise, at most 1,000.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn loads(&self) -> Result<Vec<HostLoad>, StoreError> {
        let rows = sqlx::query(LOADS).bind(HOSTS_MAX).fetch_all(&self.engine.read).await?;
        rows.iter()
            .map(|row| {
                let promised = Promised::read(&Columns::of("workspaces", row))?;
                Ok(HostLoad { host: read(row)?, promised })
            })
            .collect()
    }
}

fn found(rows: u64, id: &HostId) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::not_found("host", id)) } else { Ok(()) }
}

fn read(row: &AnyRow) -> Result<HostRow, StoreError> {
    let columns = Columns::of("hosts", row);
    Ok(HostRow {
        id: columns.parsed("id")?,
        region: columns.parsed("region")?,
        address: columns.raw("address")?,
        version: columns.raw("version")?,
        driver: columns.word("driver")?,
        capacity: Capacity {
            vcpus: columns.number("capacity_vcpus")?,
            memory_mib: columns.number("capacity_memory_mib")?,
            disk_mib: columns.number("capacity_disk_mib")?,
        },
        reported: Capacity {
            vcpus: columns.number("reported_vcpus")?,
            memory_mib: columns.number("reported_memory_mib")?,
            disk_mib: columns.number("reported_disk_mib")?,
        },
        drift: columns.number("drift")?,
        created_at: columns.moment("created_at")?,
        registered_at: columns.moment("registered_at")?,
        seen_at: columns.moment("seen_at")?,
    })
}
