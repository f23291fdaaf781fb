//! The tables.

use std::collections::BTreeSet;

use super::{difference, mib};
use crate::{
    rows::{Row, name, side},
    stats::Series,
    table::{Table, ratio, shown},
    workspace::ROLES,
};

/// Creates that are taken together, as a share of the records that there are.
const CREATE_SHARE: u64 = 10;

/// What has a raw peer, or one that is nearer to the guest.
pub(super) fn beside(rows: &[Row]) -> Table {
    let heads = ["what", "n", "peer p50 ms", "product p50 ms", "more ms", "ratio", "samples"];
    let mut table = Table::new(&heads);
    let pairs = [
        (name::BOOT_FRESH, side::RAW, side::PRODUCT),
        (name::BOOT_AGAIN, side::RAW, side::PRODUCT),
        (name::BOOT_FRESH_CPU, side::RAW, side::PRODUCT),
        (name::STOP, side::RAW, side::PRODUCT),
        (name::EXEC, side::CHANNEL, side::API),
        (name::FLEET_ALL, side::RAW, side::PRODUCT),
        (name::FLEET_EACH, side::RAW, side::PRODUCT),
        (name::RECORDS_START, side::RAW, side::PRODUCT),
    ];
    for (name, peer, product) in pairs {
        for n in counts(rows, |row| row.name == name) {
            let of = |side| Series::of(rows, name, side, Some(n));
            let (peer, product) = (of(peer), of(product));
            let (low, high) = (peer.p50(), product.p50());
            let samples = format!("{} / {}", peer.len(), product.len());
            table.row([
                name.to_owned(),
                n.to_string(),
                shown(low),
                shown(high),
                shown(difference(high, low)),
                shown(ratio(high, low)),
                samples,
            ]);
        }
    }
    table
}

/// Requests at each number of records.
pub(super) fn requests(rows: &[Row]) -> Table {
    let mut table = Table::new(&["request", "records", "p50 ms", "p99 ms", "max ms", "samples"]);
    let levels = counts(rows, |row| row.name == name::RECORDS_GET);
    let kinds =
        [name::RECORDS_GET, name::RECORDS_LIST, name::RECORDS_CAPACITY, name::RECORDS_CREATE];
    for name in kinds {
        for &n in &levels {
            let series = at_records(rows, name, n);
            if series.len() > 0 {
                table.row([
                    name.to_owned(),
                    n.to_string(),
                    shown(series.p50()),
                    shown(series.percentile(99)),
                    shown(series.max()),
                    series.len().to_string(),
                ]);
            }
        }
    }
    table
}

/// Samples beside `n` records. Creates change that number: those of the last tenth on the way
/// there, and at the beginning of all.
pub(super) fn at_records(rows: &[Row], name: &str, n: u64) -> Series {
    if name != name::RECORDS_CREATE {
        return Series::of(rows, name, side::PRODUCT, Some(n));
    }
    let least = if n <= crate::workspace::FEW_RECORDS { 0 } else { n - n / CREATE_SHARE };
    let fits = |row: &&Row| row.name == name && row.n >= least && row.n < n;
    Series::from_values(rows.iter().filter(fits).map(|row| row.value))
}

/// The largest number of records.
pub(super) fn most_records(rows: &[Row]) -> u64 {
    counts(rows, |row| row.name == name::RECORDS_GET).last().copied().unwrap_or(0)
}

/// All processes of the platform at a time.
#[derive(Debug, Clone)]
pub(super) struct Sum {
    /// Whether `n` counts records, and not workspaces that run.
    pub(super) is_records: bool,
    /// How many.
    pub(super) n: u64,
    /// In KiB.
    pub(super) pss: f64,
    /// In KiB.
    pub(super) rss: f64,
    /// PSS of each process, in KiB.
    each: Vec<Option<f64>>,
}

impl Sum {
    /// When it was, for people.
    pub(super) fn when(&self) -> String {
        let what = if self.is_records { "records" } else { "running" };
        format!("{} {what}", self.n)
    }
}

/// The sums of the platform's processes, of the sample of each that is picked.
pub(super) fn platform_sums(rows: &[Row], pick: impl Fn(&Series) -> Option<f64>) -> Vec<Sum> {
    let kinds = [
        (false, name::PLATFORM_PSS, name::PLATFORM_RSS),
        (true, name::RECORDS_PSS, name::RECORDS_RSS),
    ];
    let mut sums = Vec::new();
    for (is_records, pss, rss) in kinds {
        for n in counts(rows, |row| row.name == pss) {
            let of = |name, role| pick(&Series::of(rows, name, role, Some(n)));
            let each: Vec<_> = ROLES.iter().map(|role| of(pss, role)).collect();
            let rss = ROLES.iter().filter_map(|role| of(rss, role)).sum();
            sums.push(Sum { is_records, n, pss: each.iter().flatten().sum(), rss, each });
        }
    }
    sums
}

/// The platform's processes.
pub(super) fn platform(rows: &[Row]) -> Table {
    let heads = ["when", "up MiB", "control MiB", "host MiB", "PSS in all MiB", "RSS in all MiB"];
    let mut table = Table::new(&heads);
    for sum in platform_sums(rows, Series::p50) {
        let each = sum.each.iter().map(|pss| shown(mib(*pss)));
        let all = [sum.pss, sum.rss].map(|size| shown(mib(Some(size))));
        table.row(std::iter::once(sum.when()).chain(each).chain(all));
    }
    if let Some(cells) = record(rows) {
        table.row(cells);
    }
    table
}

/// What a record adds, between few and many.
fn record(rows: &[Row]) -> Option<Vec<String>> {
    let sums = platform_sums(rows, Series::p50);
    let at = |n| sums.iter().find(|sum| sum.is_records && sum.n == n);
    let (few, many) = (at(crate::workspace::FEW_RECORDS)?, at(most_records(rows))?);
    let count = f64::from(u32::try_from(many.n.checked_sub(few.n)?).ok().filter(|n| *n > 0)?);
    let grown = |many: Option<f64>, few| difference(many, few).map(|kib| kib / 1024.0 / count);
    let mut cells = vec![format!("for each record from {} to {}", few.n, many.n)];
    let each = many.each.iter().zip(&few.each).map(|(many, few)| grown(*many, *few));
    let all = [grown(Some(many.pss), Some(few.pss)), grown(Some(many.rss), Some(few.rss))];
    cells.extend(each.chain(all).map(small));
    Some(cells)
}

/// A number of MiB that is far below one.
fn small(value: Option<f64>) -> String {
    value.map_or_else(|| shown(None), |value| format!("{value:.4}"))
}

/// Where the time of a boot goes that the product takes beyond the raw one: medians.
pub(super) fn parts(rows: &[Row]) -> Table {
    let heads = ["boot", "more ms", "before the VMM ms", "telling the guest ms", "the rest ms"];
    let mut table = Table::new(&heads);
    for (name, before, setup) in [
        (name::BOOT_FRESH, name::BOOT_FRESH_BEFORE, name::SETUP_FRESH),
        (name::BOOT_AGAIN, name::BOOT_AGAIN_BEFORE, name::SETUP_AGAIN),
    ] {
        let p50 = |name, side| Series::of(rows, name, side, Some(1)).p50();
        let more = difference(p50(name, side::PRODUCT), p50(name, side::RAW));
        let (before, setup) = (p50(before, side::PRODUCT), p50(setup, side::RAW));
        let rest = difference(difference(more, before), setup);
        let cells = [more, before, setup, rest].map(shown);
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table
}

/// A VMM and its guest.
pub(super) fn workspace(rows: &[Row]) -> Table {
    let mut table = Table::new(&["what", "n", "raw p50 MiB", "product p50 MiB", "more MiB"]);
    let n_of_vmms = counts(rows, |row| row.name == name::VMM_PSS);
    for name in [name::VMM_PSS, name::VMM_GUEST, name::VMM_BEYOND] {
        for &n in &n_of_vmms {
            let p50 = |side| mib(Series::of(rows, name, side, Some(n)).p50());
            let (raw, product) = (p50(side::RAW), p50(side::PRODUCT));
            let cells = [shown(raw), shown(product), shown(difference(product, raw))];
            table.row([name.to_owned(), n.to_string()].into_iter().chain(cells));
        }
    }
    // What the platform itself grows by with each workspace that runs.
    let sums = platform_sums(rows, Series::p50);
    let idle = sums.iter().find(|sum| !sum.is_records && sum.n == 0);
    for sum in sums.iter().filter(|sum| !sum.is_records && sum.n > 0) {
        let count = u32::try_from(sum.n).ok().map(f64::from);
        let grown = difference(Some(sum.pss), idle.map(|idle| idle.pss));
        let each = shown(mib(ratio(grown, count)));
        let name = "platform, a workspace".to_owned();
        table.row([name, sum.n.to_string(), "–".to_owned(), each.clone(), each]);
    }
    table
}

/// Everything.
pub(super) fn all(rows: &[Row]) -> Table {
    let heads = ["name", "side", "n", "samples", "min", "p50", "p90", "p99", "max", "unit"];
    let mut table = Table::new(&heads);
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| row.name != name::RECORDS_CREATE) {
        if !seen.insert((&row.name, &row.side, row.n)) {
            continue;
        }
        let series = Series::of(rows, &row.name, &row.side, Some(row.n));
        let texts = [&row.name, &row.side].map(Clone::clone);
        let counts = [row.n.to_string(), series.len().to_string()];
        let values = [
            series.min(),
            series.p50(),
            series.percentile(90),
            series.percentile(99),
            series.max(),
        ];
        let cells = texts.into_iter().chain(counts).chain(values.map(shown));
        table.row(cells.chain([row.unit.clone()]));
    }
    table
}

/// Every `n` of the rows that fit, the least first.
fn counts(rows: &[Row], fits: impl Fn(&Row) -> bool) -> Vec<u64> {
    let all: BTreeSet<u64> = rows.iter().filter(|row| fits(row)).map(|row| row.n).collect();
    all.into_iter().collect()
}
