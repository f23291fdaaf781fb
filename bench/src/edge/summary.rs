//! The summary of a run over the edge, computed from its rows and nothing else.

use std::collections::BTreeSet;

use super::measure::RIGBOX;
use crate::{
    rows::Row,
    stats::Series,
    table::{Table, ratio, section, shown},
};

/// What is asked at full load, as rows and people name it.
const LOADS: [(&str, &str); 7] = [
    ("h1.1KiB", "HTTP/1.1, 1 KiB"),
    ("h1.1MiB", "HTTP/1.1, 1 MiB"),
    ("h2.1KiB", "HTTP/2, 1 KiB"),
    ("h2.1MiB", "HTTP/2, 1 MiB"),
    ("connect.full", "a connection and a request"),
    ("connect.resumed", "the same, session resumed"),
    ("echo", "a message there and back, WebSocket"),
];
const PACED: [(&str, &str); 2] =
    [("h1.1KiB.paced", "HTTP/1.1, 1 KiB"), ("h2.1KiB.paced", "HTTP/2, 1 KiB")];
const IDLE: [(&str, &str); 2] = [("idle.h1", "HTTP/1.1"), ("idle.h2", "HTTP/2")];

/// Whom the edge is to be as fast as, and as small as.
const FAST: &str = "nginx";
const SMALL: &str = "haproxy";
/// Slowest change of a route, in ms.
const CHANGE_MAX_MS: f64 = 50.0;
/// "Independent of the number": the share by which noise may move a median.
const CONSTANT_MAX: f64 = 1.10;

/// Whether rows are of such a run.
pub(crate) fn is_of(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.side == RIGBOX)
}

/// The whole page.
pub(crate) fn markdown(rows: &[Row], facts: &str) -> String {
    let facts: String = facts.lines().map(|line| format!("- {line}\n")).collect();
    let sides = sides(rows);
    [
        "# The edge beside nginx, HAProxy and Caddy\n".to_owned(),
        "Computed from `rows.csv` by `rigbox-bench summary`: medians of the rounds, and in brackets \
         the median by nginx's (by HAProxy's for memory). All sides, clients and the upstream share \
         the processors. A side's own second is one in which it is executed on one processor.\n"
            .to_owned(),
        facts,
        section("Targets", &targets(rows)),
        section("In a second of the side's own", &loads(rows, &sides, "per_cpu")),
        section("In a second", &loads(rows, &sides, "rate")),
        section("p50 at full load, ms", &loads(rows, &sides, "p50")),
        section("p99 at full load, ms", &loads(rows, &sides, "p99")),
        section("Far from full load, ms", &paced(rows, &sides)),
        section("Memory of one idle connection, KiB", &idle(rows, &sides)),
        section("The edge beside routes", &routes(rows)),
    ]
    .join("\n")
}

fn p50(rows: &[Row], name: &str, (side, n): (&str, u64)) -> Option<f64> {
    Series::of(rows, name, side, Some(n)).p50()
}

/// The edge first, then the others as they were measured.
fn sides(rows: &[Row]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for side in rows.iter().map(|row| &row.side) {
        if !all.contains(side) {
            all.push(side.clone());
        }
    }
    all.sort_by_key(|side| side != RIGBOX);
    all
}

fn counts(rows: &[Row], name: &str) -> Vec<u64> {
    let all: BTreeSet<u64> = rows.iter().filter(|row| row.name == name).map(|row| row.n).collect();
    all.into_iter().collect()
}

fn targets(rows: &[Row]) -> Table {
    let mut table = Table::new(&["what", "measured", "target", "met"]);
    let mut line = |what: String, value: Option<f64>, target: String, met: bool| {
        let met = match (value, met) {
            (None, _) => "not measured",
            (_, true) => "yes",
            (_, false) => "**no**",
        };
        table.row([what, shown(value), target, met.to_owned()]);
    };
    let by =
        |name: &str, n, than: &str| ratio(p50(rows, name, (RIGBOX, n)), p50(rows, name, (than, n)));
    for (name, what) in LOADS {
        let name = format!("{name}.per_cpu");
        for n in counts(rows, &name) {
            let value = by(&name, n, FAST);
            let met = value.is_some_and(|value| value >= 1.0);
            let what = format!("{what}, {n} connections: per core, by {FAST}'s");
            line(what, value, "≥ 1".to_owned(), met);
        }
    }
    let full = LOADS.iter().map(|(name, what)| (name, format!("{what}, full load")));
    let paced = PACED.iter().map(|(name, what)| (name, format!("{what}, paced")));
    for (name, what) in full.chain(paced) {
        let name = format!("{name}.p99");
        for n in counts(rows, &name) {
            let value = by(&name, n, FAST);
            let met = value.is_some_and(|value| value <= 1.0);
            let what = format!("{what}, {n} connections: p99, by {FAST}'s");
            line(what, value, "≤ 1".to_owned(), met);
        }
    }
    for (name, what) in IDLE {
        let value = ratio(each(rows, name, RIGBOX), each(rows, name, SMALL));
        let met = value.is_some_and(|value| value <= 1.0);
        let what = format!("memory of an idle connection, {what}, by {SMALL}'s");
        line(what, value, "≤ 1".to_owned(), met);
    }
    if let Some(most) = counts(rows, "routes.change").last() {
        let changes = Series::of(rows, "routes.change", RIGBOX, Some(*most));
        let value = changes.percentile(99);
        let met = value.is_some_and(|value| value <= CHANGE_MAX_MS);
        let what = format!("a change beside {most} routes is served, p99, ms");
        line(what, value, format!("≤ {CHANGE_MAX_MS}"), met);
    }
    for name in ["routes.h1.1KiB.per_cpu", "routes.h2.1KiB.per_cpu"] {
        let all = counts(rows, name);
        let (Some(few), Some(many)) = (all.first(), all.last()) else { continue };
        let of = |n: &u64| p50(rows, name, (RIGBOX, *n));
        let value = ratio(of(few), of(many));
        let met = value.is_some_and(|value| value <= CONSTANT_MAX);
        let what = format!("{name}: cost of a request beside {many} routes by beside {few}");
        line(what, value, format!("≤ {CONSTANT_MAX}"), met);
    }
    table
}

/// A value, and by the other's.
fn beside(value: Option<f64>, other: Option<f64>, is_other: bool) -> String {
    match ratio(value, other).filter(|_| !is_other) {
        Some(by) => format!("{} ({by:.2})", shown(value)),
        None => shown(value),
    }
}

fn with_sides(first: &[&str], sides: &[String]) -> Table {
    let heads: Vec<&str> = first.iter().copied().chain(sides.iter().map(String::as_str)).collect();
    Table::new(&heads)
}

fn loads(rows: &[Row], sides: &[String], measure: &str) -> Table {
    let mut table = with_sides(&["what", "connections"], sides);
    for (name, what) in LOADS {
        let name = format!("{name}.{measure}");
        for n in counts(rows, &name) {
            let fast = p50(rows, &name, (FAST, n));
            let cell = |side: &String| beside(p50(rows, &name, (side, n)), fast, side == FAST);
            let cells = sides.iter().map(cell);
            table.row([what.to_owned(), n.to_string()].into_iter().chain(cells));
        }
    }
    table
}

fn paced(rows: &[Row], sides: &[String]) -> Table {
    let mut table = with_sides(&["what", "percentile"], sides);
    for (name, what) in PACED {
        for measure in ["p50", "p99"] {
            let name = format!("{name}.{measure}");
            for n in counts(rows, &name) {
                let fast = p50(rows, &name, (FAST, n));
                let cell = |side: &String| beside(p50(rows, &name, (side, n)), fast, side == FAST);
                let cells = sides.iter().map(cell);
                table.row([what.to_owned(), measure.to_owned()].into_iter().chain(cells));
            }
        }
    }
    table
}

/// Memory that one more connection takes: the difference between none and the most, by their number.
fn each(rows: &[Row], name: &str, side: &str) -> Option<f64> {
    let most = counts(rows, name).last().copied().filter(|most| *most > 0)?;
    let more = p50(rows, name, (side, most))? - p50(rows, name, (side, 0))?;
    #[expect(clippy::cast_precision_loss, reason = "nobody opens 2^53 connections")]
    Some(more / most as f64)
}

fn idle(rows: &[Row], sides: &[String]) -> Table {
    let mut table = with_sides(&["what"], sides);
    for (name, what) in IDLE {
        let small = each(rows, name, SMALL);
        let cell = |side: &String| beside(each(rows, name, side), small, side == SMALL);
        table.row([what.to_owned()].into_iter().chain(sides.iter().map(cell)));
        for n in counts(rows, name) {
            let cell = |side: &String| shown(p50(rows, name, (side, n)));
            let what = format!("{what}: all of the side with {n}");
            table.row([what].into_iter().chain(sides.iter().map(cell)));
        }
    }
    table
}

fn routes(rows: &[Row]) -> Table {
    let heads = ["what", "unit", "percentile"];
    let all = counts(rows, "routes.start");
    let numbers: Vec<String> = all.iter().map(u64::to_string).collect();
    let mut table = with_sides(&heads, &numbers);
    let lines = [
        ("routes.h1.1KiB.per_cpu", "HTTP/1.1 in a second of its own", "1/s"),
        ("routes.h2.1KiB.per_cpu", "HTTP/2 in a second of its own", "1/s"),
        ("routes.change", "from the event until a new app is served", "ms"),
        ("routes.acked", "until it is acknowledged, written down", "ms"),
        ("routes.start", "from its start until all is in effect", "ms"),
        ("routes.memory", "memory", "KiB"),
    ];
    for (name, what, unit) in lines {
        for percent in [50, 99] {
            let of = |n: &u64| Series::of(rows, name, RIGBOX, Some(*n));
            if percent > 50 && all.iter().all(|n| of(n).len() < 10) {
                continue;
            }
            let first = [what.to_owned(), unit.to_owned(), format!("p{percent}")];
            let cells = all.iter().map(|n| shown(of(n).percentile(percent)));
            table.row(first.into_iter().chain(cells));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, side: &str, n: u64, value: f64) -> Row {
        Row { name: name.to_owned(), side: side.to_owned(), n, value, unit: "1/s".to_owned() }
    }

    #[test]
    fn a_side_that_is_slower_per_core_has_missed_the_target() {
        let rows = |own| {
            [row("h1.1KiB.per_cpu", RIGBOX, 64, own), row("h1.1KiB.per_cpu", FAST, 64, 1000.0)]
        };
        let text = |own| markdown(&rows(own), "");
        assert!(text(1000.0).contains("| 1.00 | ≥ 1 | yes |"), "{}", text(1000.0));
        assert!(text(900.0).contains("| 0.90 | ≥ 1 | **no** |"), "{}", text(900.0));
        assert!(text(900.0).contains("| 900.0 (0.90) | 1000 |"), "{}", text(900.0));
    }

    #[test]
    fn memory_of_a_connection_is_what_it_adds() {
        let rows = [
            row("idle.h1", RIGBOX, 0, 5000.0),
            row("idle.h1", RIGBOX, 1000, 25_000.0),
            row("idle.h1", SMALL, 0, 9000.0),
            row("idle.h1", SMALL, 1000, 29_000.0),
        ];
        assert_eq!(each(&rows, "idle.h1", RIGBOX), Some(20.0));
        assert!(markdown(&rows, "").contains("| HTTP/1.1 | 20.0 (1.00) | 20.0 |"));
    }
}
