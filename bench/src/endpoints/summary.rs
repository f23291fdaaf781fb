//! The summary of a run over the API, computed from its rows and nothing else.

use std::collections::BTreeSet;

use super::fill::OWN;
use crate::{
    rows::Row,
    stats::Series,
    table::{Table, ratio, section, shown},
};

/// What is asked, as rows and people name it.
const KINDS: [(&str, &str); 7] = [
    ("show", "GET a workspace by its id"),
    ("list", "GET a page of 50"),
    ("limits", "GET limits"),
    ("dashboard", "GET dashboard"),
    ("capacity", "GET capacity"),
    ("env", "POST env"),
    ("create", "POST a workspace"),
];

/// Slowest percentile of a keyed read, and of a page, in ms.
const SHOW_P99_MAX_MS: f64 = 2.0;
const LIST_P99_MAX_MS: f64 = 5.0;
/// What credentials may cost, in µs.
const AUTH_MAX_US: f64 = 20.0;
/// "Independent of the total": the share by which noise may move a median, and what is so little
/// that its share says nothing, in ms.
const CONSTANT_MAX: f64 = 1.25;
const CONSTANT_MS: f64 = 0.3;

/// Whether rows are of such a run.
pub(crate) fn is_of(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.name == "hello" && row.side == "hello")
}

/// The whole page.
pub(crate) fn markdown(rows: &[Row], facts: &str) -> String {
    let facts: String = facts.lines().map(|line| format!("- {line}\n")).collect();
    let (engines, sizes) = (engines(rows), sizes(rows));
    let mut page = vec![
        "# Control beside 10 and a million workspaces\n".to_owned(),
        "Computed from `rows.csv` by `rigbox-bench summary`; percentiles are samples (nearest \
         rank). Latencies are paced, from when a request was due; requests in a second are at full \
         load, client and server on the same processors.\n"
            .to_owned(),
        facts,
        section("Targets", &targets(rows, &engines, &sizes)),
        section("The floor: a server that says hello", &floor(rows)),
    ];
    for engine in &engines {
        page.push(section(&format!("Latency in ms, {engine}"), &latency(rows, engine, &sizes)));
        page.push(section(&format!("Requests in a second, {engine}"), &full(rows, engine, &sizes)));
    }
    page.push(section("A row by its key, without a product", &queries(rows, &engines, &sizes)));
    page.push(section("Memory of control, MiB resident", &memory(rows, &engines, &sizes)));
    page.push(section("Credentials, µs of a request", &credentials(rows, &engines, &sizes)));
    page.join("\n")
}

fn engines(rows: &[Row]) -> Vec<String> {
    let of = |row: &Row| row.name == "memory.before";
    let all: BTreeSet<_> = rows.iter().filter(|row| of(row)).map(|row| row.side.clone()).collect();
    all.into_iter().collect()
}

fn sizes(rows: &[Row]) -> Vec<u64> {
    let of = |row: &Row| row.name == "memory.before";
    let all: BTreeSet<u64> = rows.iter().filter(|row| of(row)).map(|row| row.n).collect();
    all.into_iter().collect()
}

/// Samples of one unit: rates and times have the same names.
fn series(rows: &[Row], name: &str, (side, n): (&str, u64), unit: &str) -> Series {
    let fits = |row: &&Row| row.name == name && row.side == side && row.n == n && row.unit == unit;
    Series::from_values(rows.iter().filter(fits).map(|row| row.value))
}

fn targets(rows: &[Row], engines: &[String], sizes: &[u64]) -> Table {
    let mut table = Table::new(&["what", "engine", "measured", "target", "met"]);
    // Beside fewer the account that asks has fewer of its own, and a page of them is shorter.
    let whole = sizes.iter().find(|size| **size >= OWN);
    let (Some(few), Some(many)) = (whole.or_else(|| sizes.first()), sizes.last()) else {
        return table;
    };
    let mut line = |what: String, engine: &str, value: Option<f64>, target: (String, f64)| {
        let met = match value {
            None => "not measured",
            Some(value) if value <= target.1 => "yes",
            Some(_) => "**no**",
        };
        table.row([what, engine.to_owned(), shown(value), target.0, met.to_owned()]);
    };
    for engine in engines {
        for (name, most) in [("show", SHOW_P99_MAX_MS), ("list", LIST_P99_MAX_MS)] {
            let p99 = series(rows, name, (engine, *many), "ms").percentile(99);
            line(
                format!("{name} beside {many}, p99, ms"),
                engine,
                p99,
                (format!("≤ {most}"), most),
            );
        }
        for (name, _) in KINDS {
            let p50 = |n| series(rows, name, (engine, n), "ms").p50();
            let (first, last) = (few, many);
            let (few, many) = (p50(*few), p50(*many));
            let little = many.zip(few).is_some_and(|(many, few)| many - few <= CONSTANT_MS);
            let most = if little { f64::INFINITY } else { CONSTANT_MAX };
            let target = format!("≤ {CONSTANT_MAX}, or {CONSTANT_MS} ms");
            line(
                format!("{name}: {last} by {first}, p50"),
                engine,
                ratio(many, few),
                (target, most),
            );
        }
        let cost = credentials_us(rows, engine, *many, ".cpu");
        let target = (format!("≤ {AUTH_MAX_US}"), AUTH_MAX_US);
        line("credentials, µs of processor time".to_owned(), engine, cost, target);
    }
    table
}

fn floor(rows: &[Row]) -> Table {
    let mut table = Table::new(&["p50, ms", "p99, ms", "in a second"]);
    let times = series(rows, "hello", ("hello", 0), "ms");
    let rate = series(rows, "hello", ("hello", 0), "1/s").p50();
    table.row([times.p50(), times.percentile(99), rate].map(shown));
    table
}

fn latency(rows: &[Row], engine: &str, sizes: &[u64]) -> Table {
    let heads = sizes.iter().flat_map(|n| [format!("{n}: p50"), format!("{n}: p99")]);
    let heads: Vec<String> =
        std::iter::once("what".to_owned()).chain(heads).chain(["by hello (p50)".into()]).collect();
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    let hello = series(rows, "hello", ("hello", 0), "ms").p50();
    for (name, about) in KINDS {
        let mut cells = vec![about.to_owned()];
        let mut last = None;
        for n in sizes {
            let times = series(rows, name, (engine, *n), "ms");
            cells.extend([shown(times.p50()), shown(times.percentile(99))]);
            last = times.p50();
        }
        cells.push(shown(ratio(last, hello)));
        table.row(cells);
    }
    table
}

fn full(rows: &[Row], engine: &str, sizes: &[u64]) -> Table {
    let heads: Vec<String> = std::iter::once("what".to_owned())
        .chain(sizes.iter().map(u64::to_string))
        .chain(["most by fewest".to_owned()])
        .collect();
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, about) in KINDS {
        let rates: Vec<Option<f64>> =
            sizes.iter().map(|n| series(rows, name, (engine, *n), "1/s").p50()).collect();
        let change = ratio(rates.last().copied().flatten(), rates.first().copied().flatten());
        let cells = rates.into_iter().map(shown).chain([shown(change)]);
        table.row(std::iter::once(about.to_owned()).chain(cells));
    }
    table
}

fn queries(rows: &[Row], engines: &[String], sizes: &[u64]) -> Table {
    let heads = ["engine", "workspaces", "p50, ms", "p99, ms", "in a second", "show by it (p50)"];
    let mut table = Table::new(&heads);
    for engine in engines {
        for n in sizes {
            let side = format!("sql-{engine}");
            let times = series(rows, "show", (&side, *n), "ms");
            let rate = series(rows, "show", (&side, *n), "1/s").p50();
            let show = series(rows, "show", (engine, *n), "ms").p50();
            let by = ratio(show, times.p50());
            let numbers = [times.p50(), times.percentile(99), rate, by].map(shown);
            table.row([engine.clone(), n.to_string()].into_iter().chain(numbers));
        }
    }
    table
}

fn memory(rows: &[Row], engines: &[String], sizes: &[u64]) -> Table {
    let mut table = Table::new(&["engine", "workspaces", "before", "after"]);
    for engine in engines {
        for n in sizes {
            let of = |name| series(rows, name, (engine, *n), "KiB").p50().map(|kib| kib / 1024.0);
            let cells = [engine.clone(), n.to_string()];
            let sizes = [of("memory.before"), of("memory.after")].map(shown);
            table.row(cells.into_iter().chain(sizes));
        }
    }
    table
}

fn credentials(rows: &[Row], engines: &[String], sizes: &[u64]) -> Table {
    let mut table = Table::new(&["engine", "workspaces", "processor time", "latency"]);
    for engine in engines {
        for n in sizes {
            let of = |what| shown(credentials_us(rows, engine, *n, what));
            table.row([engine.clone(), n.to_string(), of(".cpu"), of("")]);
        }
    }
    table
}

/// What requests with credentials cost beyond those without, in µs: means, because processor time is
/// counted in steps of 10 ms.
fn credentials_us(rows: &[Row], engine: &str, n: u64, what: &str) -> Option<f64> {
    let mean = |with: &str| {
        let name = format!("auth.{with}{what}");
        let fits = |row: &&Row| row.name == name && row.side == engine && row.n == n;
        let values: Vec<f64> = rows.iter().filter(fits).map(|row| row.value).collect();
        let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
        Some(values.iter().sum::<f64>() / f64::from(count))
    };
    Some((mean("with")? - mean("without")?) * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, n: u64, value: f64, unit: &str) -> Row {
        let side = if name == "hello" { "hello" } else { "sqlite" };
        Row { name: name.into(), side: side.into(), n, value, unit: unit.into() }
    }

    #[test]
    fn a_slow_read_beside_many_is_said_to_be_slow() {
        let text = |p99| {
            let rows = [
                row("hello", 0, 0.1, "ms"),
                row("memory.before", 10, 1.0, "KiB"),
                row("memory.before", 1_000, 1.0, "KiB"),
                row("memory.before", 9_000, 1.0, "KiB"),
                row("show", 10, 0.1, "ms"),
                row("show", 1_000, 0.5, "ms"),
                row("show", 9_000, p99, "ms"),
                row("show", 9_000, 9_000.0, "1/s"),
            ];
            assert!(is_of(&rows));
            markdown(&rows, "")
        };
        assert!(text(1.9).contains("| show beside 9000, p99, ms | sqlite | 1.90 | ≤ 2 | yes |"));
        assert!(text(2.1).contains("| show beside 9000, p99, ms | sqlite | 2.10 | ≤ 2 | **no** |"));
        assert!(text(0.6).contains("show: 9000 by 1000, p50 | sqlite | 1.20 |"), "{}", text(0.6));
    }
}
