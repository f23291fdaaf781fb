//! What was promised, and whether it is so.

use super::{difference, mib, tables};
use crate::{
    rows::{Row, name, side},
    stats::Series,
    table::{Table, ratio, shown},
    workspace::ROLES,
};

/// From create to ready: times the raw boot.
const BOOT_RATIO_MAX: f64 = 1.05;
/// What the API may add to a command's round trip, in ms.
const EXEC_ADDED_MAX_MS: f64 = 5.0;
/// All processes of the platform together, in MiB.
const PLATFORM_MAX_MIB: f64 = 120.0;
/// "Constant" between few and many records: the share by which noise of the machine may move a
/// median, and what is so little that its share says nothing, in ms.
const CONSTANT_RATIO_MAX: f64 = 1.25;
const CONSTANT_MS: f64 = 1.0;
/// The same for what a boot takes beside the raw one of the same minute: there the machine's noise
/// is on both sides.
const CONSTANT_BOOT_MAX: f64 = 1.05;
/// What is so little beside the tick in which the kernel counts executed time, in ms.
const CONSTANT_CPU_MS: f64 = 5.0;

/// The number of records from which a page is full.
const FULL_PAGE: u64 = 100;

/// All targets.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["what", "measured", "beside", "result", "target", "met"]);
    boot(&mut table, rows);
    exec(&mut table, rows);
    platform(&mut table, rows);
    let counts = (crate::workspace::FEW_RECORDS, tables::most_records(rows));
    for (what, name) in [
        ("create", name::RECORDS_CREATE),
        ("get", name::RECORDS_GET),
        ("capacity", name::RECORDS_CAPACITY),
    ] {
        constant(&mut table, rows, (what, name), counts);
    }
    constant(&mut table, rows, ("list, a full page", name::RECORDS_LIST), (FULL_PAGE, counts.1));
    start(&mut table, rows, counts);
    for (what, name) in [
        ("executed for a start and a stop", name::RECORDS_START_CPU),
        ("executed in an idle second", name::RECORDS_IDLE_CPU),
    ] {
        executed(&mut table, rows, (what, name), counts);
    }
    table
}

fn boot(table: &mut Table, rows: &[Row]) {
    let p50 = |side| Series::of(rows, name::BOOT_FRESH, side, None).p50();
    let (product, raw) = (p50(side::PRODUCT), p50(side::RAW));
    let result = ratio(product, raw);
    let met = result.map(|result| result <= BOOT_RATIO_MAX);
    let texts = [
        "create → ready, by the raw boot (p50)".to_owned(),
        format!("{} ms", shown(product)),
        format!("{} ms", shown(raw)),
    ];
    line(table, texts, (shown(result), format!("≤ {BOOT_RATIO_MAX}")), met);
}

fn exec(table: &mut Table, rows: &[Row]) {
    let p50 = |side| Series::of(rows, name::EXEC, side, None).p50();
    let (api, channel) = (p50(side::API), p50(side::CHANNEL));
    let result = difference(api, channel);
    let met = result.map(|result| result <= EXEC_ADDED_MAX_MS);
    let texts = [
        "exec through the API, over the channel's own (p50)".to_owned(),
        format!("{} ms", shown(api)),
        format!("{} ms", shown(channel)),
    ];
    let result = format!("{} ms", shown(result));
    line(table, texts, (result, format!("≤ {EXEC_ADDED_MAX_MS} ms more")), met);
}

/// The largest sum of all that were seen.
fn platform(table: &mut Table, rows: &[Row]) {
    let sums = tables::platform_sums(rows, Series::max);
    let largest = sums.iter().max_by(|one, other| one.pss.total_cmp(&other.pss));
    let pss = mib(largest.map(|largest| largest.pss));
    let rss = mib(largest.map(|largest| largest.rss));
    let met = pss.map(|pss| pss <= PLATFORM_MAX_MIB);
    let texts = [
        format!(
            "memory of the platform, PSS ({})",
            largest.map_or_else(|| "–".to_owned(), |largest| largest.when())
        ),
        format!("{} MiB", shown(pss)),
        format!("RSS {} MiB", shown(rss)),
    ];
    let target = format!("≤ {PLATFORM_MAX_MIB} MiB");
    line(table, texts, (format!("{} MiB", shown(pss)), target), met);
}

fn constant(table: &mut Table, rows: &[Row], (what, name): (&str, &str), (few, many): (u64, u64)) {
    let p50 = |n| tables::at_records(rows, name, n).p50();
    let (at_few, at_many) = (p50(few), p50(many));
    let result = ratio(at_many, at_few);
    let met = result.map(|result| {
        let more = difference(at_many, at_few).unwrap_or(0.0);
        result <= CONSTANT_RATIO_MAX || more <= CONSTANT_MS
    });
    let texts = [
        format!("{what}: beside {many} records, by beside {few} (p50)"),
        format!("{} ms", shown(at_many)),
        format!("{} ms", shown(at_few)),
    ];
    let target = format!("≤ {CONSTANT_RATIO_MAX} or ≤ {CONSTANT_MS} ms more");
    line(table, texts, (shown(result), target), met);
}

fn start(table: &mut Table, rows: &[Row], (few, many): (u64, u64)) {
    let by_raw = |n| {
        let p50 = |side| Series::of(rows, name::RECORDS_START, side, Some(n)).p50();
        ratio(p50(side::PRODUCT), p50(side::RAW))
    };
    let (at_few, at_many) = (by_raw(few), by_raw(many));
    let result = ratio(at_many, at_few);
    let met = result.map(|result| result <= CONSTANT_BOOT_MAX);
    let texts = [
        format!("start by the raw boot: beside {many} records, by beside {few} (p50)"),
        shown(at_many),
        shown(at_few),
    ];
    line(table, texts, (shown(result), format!("≤ {CONSTANT_BOOT_MAX}")), met);
}

/// All processes of the platform together.
fn executed(table: &mut Table, rows: &[Row], (what, name): (&str, &str), (few, many): (u64, u64)) {
    let sum = |n| {
        let each = ROLES.iter().map(|role| Series::of(rows, name, role, Some(n)).p50());
        each.sum::<Option<f64>>()
    };
    let (at_few, at_many) = (sum(few), sum(many));
    let more = difference(at_many, at_few);
    let result = ratio(at_many, at_few);
    let met = more.map(|more| {
        more <= CONSTANT_CPU_MS || result.is_some_and(|result| result <= CONSTANT_RATIO_MAX)
    });
    let texts = [
        format!("the platform {what}: beside {many} records, by beside {few}"),
        format!("{} ms", shown(at_many)),
        format!("{} ms", shown(at_few)),
    ];
    let target = format!("≤ {CONSTANT_RATIO_MAX} or ≤ {CONSTANT_CPU_MS} ms more");
    line(table, texts, (shown(result), target), met);
}

fn line(
    table: &mut Table,
    texts: [String; 3],
    (result, target): (String, String),
    met: Option<bool>,
) {
    let met = match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "not measured",
    };
    table.row(texts.into_iter().chain([result, target, met.to_owned()]));
}
