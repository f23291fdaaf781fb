//! What was measured: one row a sample, in a file that a spreadsheet reads.
//! Invariant: a row is never changed, averaged or left out; whatever is derived is derived from the
//! file (see `summary`).

use std::fs;

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

/// First line of the file.
const HEADER: &str = "name,side,n,value,unit";

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// What was measured, as in [`name`].
    pub(crate) name: String,
    /// Of whom: `product`, `raw`, `api`, `channel`, or a process of the platform.
    pub(crate) side: String,
    /// How many there were at the time: running workspaces, or records where the name says so.
    pub(crate) n: u64,
    /// The value.
    pub(crate) value: f64,
    /// `ms`, `KiB`, `1/s` or `MB/s`.
    pub(crate) unit: String,
}

/// Names of the measurements.
pub(crate) mod name {
    /// A boot from a disk that is fresh: raw from the start of the process to the agent's hello,
    /// product from the request that creates to the status `running`.
    pub(crate) const BOOT_FRESH: &str = "boot.fresh";
    /// The product's part of it before the process of the VMM starts; exact to 10 ms.
    pub(crate) const BOOT_FRESH_BEFORE: &str = "boot.fresh.before_vmm";
    /// A boot from a disk that was booted before: product from the request that starts.
    pub(crate) const BOOT_AGAIN: &str = "boot.again";
    /// The product's part of it before the process of the VMM starts; exact to 10 ms.
    pub(crate) const BOOT_AGAIN_BEFORE: &str = "boot.again.before_vmm";
    /// What the product tells a guest before it calls it ready: on the raw side said by the bench
    /// after the hello, and in no other time.
    pub(crate) const SETUP_FRESH: &str = "setup.fresh";
    /// The same for a disk that was told before.
    pub(crate) const SETUP_AGAIN: &str = "setup.again";
    /// Time that the VMM of a fresh disk was executed until its guest was told: what the machine
    /// does besides is not in it. Exact to 10 ms.
    pub(crate) const BOOT_FRESH_CPU: &str = "boot.fresh.cpu";
    /// From the request for an orderly end to the end of the process, or the status `stopped`.
    pub(crate) const STOP: &str = "stop";
    /// From the request that deletes a stopped workspace until it is gone.
    pub(crate) const DELETE: &str = "delete";
    /// A command that does nothing.
    pub(crate) const EXEC: &str = "exec";
    /// The agent's hello on a running guest.
    pub(crate) const HELLO: &str = "hello";
    /// Several at once: until all are ready.
    pub(crate) const FLEET_ALL: &str = "fleet.all";
    /// Several at once: until this one is ready.
    pub(crate) const FLEET_EACH: &str = "fleet.each";
    /// Several at once: until all are gone.
    pub(crate) const FLEET_DELETE: &str = "fleet.delete";
    /// Memory of a process of the platform, shared pages in proportion.
    pub(crate) const PLATFORM_PSS: &str = "platform.pss";
    /// Memory of a process of the platform, shared pages in full.
    pub(crate) const PLATFORM_RSS: &str = "platform.rss";
    /// The same where `n` counts records that do not run.
    pub(crate) const RECORDS_PSS: &str = "records.pss";
    /// The same where `n` counts records that do not run.
    pub(crate) const RECORDS_RSS: &str = "records.rss";
    /// Memory of a VMM with its guest.
    pub(crate) const VMM_PSS: &str = "vmm.pss";
    /// Memory of the guest that is resident.
    pub(crate) const VMM_GUEST: &str = "vmm.guest_ram";
    /// The difference of the two.
    pub(crate) const VMM_BEYOND: &str = "vmm.beyond_guest_ram";
    /// `POST /workspaces`; `n` counts the records before it.
    pub(crate) const RECORDS_CREATE: &str = "records.create";
    /// `GET /workspaces/{id}`.
    pub(crate) const RECORDS_GET: &str = "records.get";
    /// `GET /workspaces`: the first page.
    pub(crate) const RECORDS_LIST: &str = "records.list";
    /// `GET /capacity`.
    pub(crate) const RECORDS_CAPACITY: &str = "records.capacity";
    /// A boot as in [`BOOT_AGAIN`] beside that many records.
    pub(crate) const RECORDS_START: &str = "records.start";
    /// Time that a process of the platform was executed for one such boot and its stop; the mean of
    /// all beside that many records.
    pub(crate) const RECORDS_START_CPU: &str = "records.start.cpu";
    /// Time that a process of the platform is executed in a second in which nothing happens.
    pub(crate) const RECORDS_IDLE_CPU: &str = "records.idle.cpu";
}

/// Whose measurement it is.
pub(crate) mod side {
    /// Rigbox.
    pub(crate) const PRODUCT: &str = "product";
    /// A QEMU of our own.
    pub(crate) const RAW: &str = "raw";
    /// Through the HTTP API.
    pub(crate) const API: &str = "api";
    /// Straight over the guest's channel.
    pub(crate) const CHANNEL: &str = "channel";
}

/// All samples of a run.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Row>);

impl Rows {
    /// Adds a time.
    pub(crate) fn time(&mut self, name: &str, side: &str, n: u64, took: std::time::Duration) {
        self.add(name, side, n, (took.as_secs_f64() * 1000.0, "ms"));
    }

    /// Adds a number of requests in a second.
    pub(crate) fn rate(&mut self, name: &str, side: &str, n: u64, rate: f64) {
        self.add(name, side, n, (rate, "1/s"));
    }

    /// Adds how fast so many bytes were moved.
    pub(crate) fn speed(
        &mut self,
        name: &str,
        side: &str,
        n: u64,
        (bytes, took): (u64, std::time::Duration),
    ) {
        #[expect(clippy::cast_precision_loss, reason = "nobody moves 2^53 bytes")]
        self.add(name, side, n, (bytes as f64 / 1e6 / took.as_secs_f64(), "MB/s"));
    }

    /// Adds a size.
    pub(crate) fn size(&mut self, name: &str, side: &str, n: u64, kib: u64) {
        // Exact up to 8 PiB.
        #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 KiB")]
        self.add(name, side, n, (kib as f64, "KiB"));
    }

    fn add(&mut self, name: &str, side: &str, n: u64, (value, unit): (f64, &str)) {
        let (name, side, unit) = (name.to_owned(), side.to_owned(), unit.to_owned());
        self.0.push(Row { name, side, n, value, unit });
    }

    /// Writes them all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, path: &Utf8Path) -> Result<()> {
        let mut text = format!("{HEADER}\n");
        for Row { name, side, n, value, unit } in &self.0 {
            text.push_str(&format!("{name},{side},{n},{value:.3},{unit}\n"));
        }
        fs::write(path, text).with_context(|| format!("write {path}"))
    }
}

/// Reads the rows of a file.
///
/// # Errors
/// When it is not such a file.
pub(crate) fn read(path: &Utf8Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let mut lines = text.lines();
    ensure!(lines.next() == Some(HEADER), "{path} does not begin with '{HEADER}'");
    lines.map(|line| parse(line).with_context(|| format!("{path}: '{line}' is no row"))).collect()
}

fn parse(line: &str) -> Option<Row> {
    let mut fields = line.split(',').map(str::to_owned);
    let (name, side) = (fields.next()?, fields.next()?);
    let (n, value) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let row = Row { name, side, n, value, unit: fields.next()? };
    fields.next().is_none().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = parse("stop,raw,1,12.500,ms").unwrap();
        assert_eq!((row.name.as_str(), row.side.as_str(), row.n), ("stop", "raw", 1));
        assert_eq!((row.value, row.unit.as_str()), (12.5, "ms"));
        for bad in ["", "stop,raw,1,12.5", "stop,raw,one,12.5,ms", "stop,raw,1,12.5,ms,more"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
