//! The summary of a run over AI gateways, computed from its rows and nothing else.

use std::collections::BTreeSet;

use super::side::{DIRECT, RIGBOX};
use crate::{
    rows::Row,
    stats::Series,
    table::{Table, ratio, section, shown},
};

/// What all names of such a run begin with.
const PREFIX: &str = "ai.";
/// Whom ours is compared with by processor time.
const SLOW: &str = "litellm";
/// The load that targets are of: calls due in a second, to a provider that thinks.
const TARGET_RATE: u64 = 1_000;
const TARGET_LOADS: [(&str, &str); 3] = [
    ("ai.whole.50ms", "a whole answer"),
    ("ai.stream.50ms.first", "first byte of a stream"),
    ("ai.stream.50ms", "a whole stream"),
];
/// Most that may be added, in ms.
const ADDED_P50_MAX_MS: f64 = 0.25;
const ADDED_P99_MAX_MS: f64 = 1.0;
/// The share of what is due that a side which keeps up has answered when the last answer has come: of a
/// second's calls, those of the last 50 ms are still under way at its end.
const REACHED_LEAST: f64 = 0.9;
/// Least calls in a second of one's own time, by LiteLLM's.
const PER_CPU_LEAST: f64 = 50.0;
/// Most memory of an open stream.
const STREAM_MAX_KIB: f64 = 64.0;

/// Paced loads, as rows and people name them.
const PACED: [(&str, &str); 6] = [
    ("ai.whole.50ms", "whole, provider thinks 50 ms"),
    ("ai.stream.50ms.first", "stream, first byte, provider thinks 50 ms"),
    ("ai.stream.50ms", "stream, to its end, provider thinks 50 ms"),
    ("ai.whole.0ms", "whole, provider does not think"),
    ("ai.stream.0ms.first", "stream, first byte, provider does not think"),
    ("ai.stream.0ms", "stream, to its end, provider does not think"),
];
const FULL: [(&str, &str); 2] =
    [("ai.full.whole", "whole"), ("ai.full.stream", "stream of ten pieces")];
const MEMORY: &str = "ai.memory.pss";
/// Kinds of our processes.
const KINDS: [&str; 2] = ["proxy", "relay"];

/// Whether rows are of such a run.
pub(crate) fn is_of(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.name.starts_with(PREFIX))
}

/// The whole page.
pub(crate) fn markdown(rows: &[Row], facts: &str) -> String {
    let facts: String = facts.lines().map(|line| format!("- {line}\n")).collect();
    [
        "# The AI proxy beside other gateways\n".to_owned(),
        "Computed from `rows.csv` by `rigbox-bench summary`: medians of the rounds. What is added is a \
         percentile of the side less the same one of the upstream alone in the same round. All sides, \
         callers and the upstream share the processors. A side's own second is one in which it is executed \
         on one processor. A side that did not keep up with what was due has how many it answered in a \
         second instead.\n"
            .to_owned(),
        facts,
        section("Targets", &targets(rows)),
        section("Added to a call that is due, p50 / p99, ms", &paced(rows, added_or_reached)),
        section("A call that is due, p50 / p99, ms", &paced(rows, took)),
        section("Own time of a call that is due, µs", &own(rows)),
        section("At full load", &full(rows)),
        section("Pieces of streams, ms", &chunks(rows)),
        section("Memory with open streams, shared pages in proportion, KiB", &memory(rows)),
    ]
    .join("\n")
}

fn p50(rows: &[Row], name: &str, (side, n): (&str, u64)) -> Option<f64> {
    Series::of(rows, name, side, Some(n)).p50()
}

/// Values of the rounds, in their order.
fn rounds<'a>(
    rows: &'a [Row],
    name: &'a str,
    (side, n): (&'a str, u64),
) -> impl Iterator<Item = f64> + 'a {
    let of = move |row: &&Row| row.name == name && row.side == side && row.n == n;
    rows.iter().filter(of).map(|row| row.value)
}

/// What a side adds: the median of the rounds' differences.
fn added(rows: &[Row], name: &str, (side, n): (&str, u64)) -> Option<f64> {
    let pairs = rounds(rows, name, (side, n)).zip(rounds(rows, name, (DIRECT, n)));
    Series::from_values(pairs.map(|(with, without)| with - without)).p50()
}

/// Ours first, then the others as they were measured.
fn sides(rows: &[Row]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for side in rows.iter().map(|row| &row.side) {
        if !all.contains(side) && side != DIRECT {
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

fn with_sides(first: &[&str], sides: &[String]) -> Table {
    let heads: Vec<&str> = first.iter().copied().chain(sides.iter().map(String::as_str)).collect();
    Table::new(&heads)
}

/// A table of targets.
struct Targets(Table);

impl Targets {
    fn line(&mut self, what: String, value: Option<f64>, (target, met): (String, bool)) {
        let met = match (value, met) {
            (None, _) => "not measured",
            (_, true) => "yes",
            (_, false) => "**no**",
        };
        self.0.row([what, shown(value), target, met.to_owned()]);
    }

    fn most(&mut self, what: String, value: Option<f64>, most: f64) {
        let met = value.is_some_and(|value| value <= most);
        self.line(what, value, (format!("≤ {most}"), met));
    }

    fn least(&mut self, what: String, value: Option<f64>, least: f64) {
        let met = value.is_some_and(|value| value >= least);
        self.line(what, value, (format!("≥ {least}"), met));
    }
}

fn targets(rows: &[Row]) -> Table {
    let mut table = Targets(Table::new(&["what", "measured", "target", "met"]));
    for (name, what) in TARGET_LOADS {
        for (percentile, most) in [("p50", ADDED_P50_MAX_MS), ("p99", ADDED_P99_MAX_MS)] {
            let keeps_up = keeps_up(rows, name, (RIGBOX, TARGET_RATE));
            let name = format!("{name}.{percentile}");
            let value = added(rows, &name, (RIGBOX, TARGET_RATE)).filter(|_| keeps_up);
            let what = format!("added to {what}, {TARGET_RATE} in a second, {percentile}, ms");
            table.most(what, value, most);
        }
    }
    for (name, what) in FULL {
        for n in counts(rows, &format!("{name}.per_cpu")) {
            let slow = p50(rows, &format!("{name}.per_cpu"), (SLOW, n));
            for (kind, who) in [("", "relay and proxy"), (".proxy", "proxy alone")] {
                let own = p50(rows, &format!("{name}.per_cpu{kind}"), (RIGBOX, n));
                let what = format!("{what}: calls per core, {who}, by LiteLLM's");
                table.least(what, ratio(own, slow), PER_CPU_LEAST);
            }
        }
    }
    let what = "memory of an open stream, relay and proxy, KiB".to_owned();
    table.most(what, each(rows, MEMORY, RIGBOX), STREAM_MAX_KIB);
    table.0
}

/// The load that a row of one of its measures is of.
fn load_of(name: &str) -> &str {
    name.strip_suffix(".first").unwrap_or(name)
}

/// Whether a side had places for all calls that were due, and answered them about as fast as they came, in
/// every round.
fn keeps_up(rows: &[Row], name: &str, (side, n): (&str, u64)) -> bool {
    let load = load_of(name);
    #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^53 calls in a second")]
    let least = n as f64 * REACHED_LEAST;
    rounds(rows, &format!("{load}.waited"), (side, n)).all(|waited| waited == 0.0)
        && rounds(rows, &format!("{load}.reached"), (side, n)).all(|reached| reached >= least)
}

fn paced(rows: &[Row], cell: impl Fn(&[Row], &str, (&str, u64)) -> Option<String>) -> Table {
    let mut sides = sides(rows);
    sides.push(DIRECT.to_owned());
    let mut table = with_sides(&["what", "due in a second"], &sides);
    for (name, what) in PACED {
        for n in counts(rows, &format!("{name}.p50")) {
            let cells = sides
                .iter()
                .map(|side| cell(rows, name, (side, n)).unwrap_or_else(|| "–".to_owned()));
            table.row([what.to_owned(), n.to_string()].into_iter().chain(cells));
        }
    }
    table
}

fn added_or_reached(rows: &[Row], name: &str, of: (&str, u64)) -> Option<String> {
    if of.0 == DIRECT {
        return None;
    }
    if !keeps_up(rows, name, of) {
        let reached = p50(rows, &format!("{}.reached", load_of(name)), of)?;
        return Some(format!("*reached {reached:.0}/s*"));
    }
    let of_percentile = |percentile: &str| added(rows, &format!("{name}.{percentile}"), of);
    Some(format!("{} / {}", shown(Some(of_percentile("p50")?)), shown(of_percentile("p99"))))
}

fn took(rows: &[Row], name: &str, of: (&str, u64)) -> Option<String> {
    let of_percentile = |percentile: &str| p50(rows, &format!("{name}.{percentile}"), of);
    Some(format!("{} / {}", shown(Some(of_percentile("p50")?)), shown(of_percentile("p99"))))
}

/// Lines of all sides, and of kinds of our processes.
fn lines(rows: &[Row]) -> Vec<(String, String, &'static str)> {
    let of_kind = |kind: &'static str| (format!("{RIGBOX}, {kind}"), RIGBOX.to_owned(), kind);
    let mut all: Vec<_> = sides(rows).into_iter().map(|side| (side.clone(), side, "")).collect();
    let at = usize::from(all.first().is_some_and(|(_, side, _)| side == RIGBOX));
    if at > 0 {
        all.splice(at..at, KINDS.map(of_kind));
    }
    all
}

fn name_of(name: &str, kind: &str) -> String {
    if kind.is_empty() { name.to_owned() } else { format!("{name}.{kind}") }
}

/// Time of a side's own for one call, where not as many come as go.
fn own(rows: &[Row]) -> Table {
    let lines = lines(rows);
    let heads: Vec<String> = lines.iter().map(|(head, ..)| head.clone()).collect();
    let mut table = with_sides(&["what", "due in a second"], &heads);
    for (name, what) in PACED.iter().filter(|(name, _)| load_of(name) == *name) {
        for n in counts(rows, &format!("{name}.p50")) {
            let cells = lines.iter().map(|(_, side, kind)| {
                let ms = p50(rows, &name_of(&format!("{name}.cpu"), kind), (side, n));
                shown(ms.map(|ms| ms * 1000.0))
            });
            table.row([(*what).to_owned(), n.to_string()].into_iter().chain(cells));
        }
    }
    table
}

fn full(rows: &[Row]) -> Table {
    let heads = [
        "what",
        "side",
        "in a second of its own",
        "by LiteLLM's",
        "in a second",
        "p50, ms",
        "p99, ms",
    ];
    let mut table = Table::new(&heads);
    for (name, what) in FULL {
        for n in counts(rows, &format!("{name}.rate")) {
            let of = |measure: &str, side: &str| p50(rows, &format!("{name}.{measure}"), (side, n));
            let direct = (DIRECT.to_owned(), DIRECT.to_owned(), "");
            for (head, side, kind) in lines(rows).into_iter().chain([direct]) {
                let per_cpu = of(&name_of("per_cpu", kind), &side);
                let by = ratio(per_cpu, of("per_cpu", SLOW));
                // Of a part of a side there is nothing else.
                let whole = |measure: &str| of(measure, &side).filter(|_| kind.is_empty());
                let values = [per_cpu, by, whole("rate"), whole("p50"), whole("p99")];
                let what = format!("{what}, {n} connections");
                table.row([what, head].into_iter().chain(values.map(shown)));
            }
        }
    }
    table
}

fn chunks(rows: &[Row]) -> Table {
    let heads = ["side", "streams", "added p50", "added p99", "p50", "p99"];
    let mut table = Table::new(&heads);
    for side in sides(rows).into_iter().chain([DIRECT.to_owned()]) {
        for n in counts(rows, "ai.chunks.p50") {
            let of = (side.as_str(), n);
            let added = |name: &str| added(rows, name, of).filter(|_| side != DIRECT);
            let values = [
                added("ai.chunks.p50"),
                added("ai.chunks.p99"),
                p50(rows, "ai.chunks.p50", of),
                p50(rows, "ai.chunks.p99", of),
            ];
            table.row([side.clone(), n.to_string()].into_iter().chain(values.map(shown)));
        }
    }
    table
}

/// The number of streams that a side had open, and memory that one more takes: the difference between none
/// and that many, by their number.
fn each(rows: &[Row], name: &str, side: &str) -> Option<f64> {
    let most = most(rows, name, side)?;
    let more = p50(rows, name, (side, most))? - p50(rows, name, (side, 0))?;
    #[expect(clippy::cast_precision_loss, reason = "nobody opens 2^53 streams")]
    Some(more / most as f64)
}

fn most(rows: &[Row], name: &str, side: &str) -> Option<u64> {
    let of = rows.iter().filter(|row| row.name == name && row.side == side);
    of.map(|row| row.n).max().filter(|most| *most > 0)
}

fn memory(rows: &[Row]) -> Table {
    let heads = ["side", "streams", "each", "with none", "with all"];
    let mut table = Table::new(&heads);
    for (head, side, kind) in lines(rows) {
        let name = name_of(MEMORY, kind);
        let Some(n) = most(rows, &name, &side) else { continue };
        let values =
            [each(rows, &name, &side), p50(rows, &name, (&side, 0)), p50(rows, &name, (&side, n))];
        table.row([head, n.to_string()].into_iter().chain(values.map(shown)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, side: &str, n: u64, value: f64) -> Row {
        Row { name: name.to_owned(), side: side.to_owned(), n, value, unit: "ms".to_owned() }
    }

    #[test]
    fn what_is_added_is_the_difference_of_the_same_round() {
        let rows = [
            row("ai.whole.50ms.p50", DIRECT, 1_000, 50.0),
            row("ai.whole.50ms.p50", RIGBOX, 1_000, 50.2),
            row("ai.whole.50ms.p50", RIGBOX, 1_000, 60.3),
            row("ai.whole.50ms.p50", DIRECT, 1_000, 60.0),
        ];
        let value = added(&rows, "ai.whole.50ms.p50", (RIGBOX, 1_000)).unwrap();
        assert!((value - 0.2).abs() < 1e-9, "{value}");
        assert!(markdown(&rows, "").contains("p50, ms | 0.20 | ≤ 0.25 | yes |"));
    }

    #[test]
    fn a_side_that_does_not_keep_up_says_what_it_reached() {
        let rows = [
            row("ai.whole.50ms.p50", DIRECT, 1_000, 50.0),
            row("ai.whole.50ms.p50", SLOW, 1_000, 900.0),
            row("ai.whole.50ms.waited", SLOW, 1_000, 700.0),
            row("ai.whole.50ms.reached", SLOW, 1_000, 150.0),
        ];
        assert!(markdown(&rows, "").contains("*reached 150/s*"));
        // Nobody had to wait, and the last answers came long after their calls were due.
        let late: Vec<Row> =
            rows.into_iter().filter(|row| row.name != "ai.whole.50ms.waited").collect();
        assert!(markdown(&late, "").contains("*reached 150/s*"));
    }

    #[test]
    fn calls_per_core_are_compared_with_the_slow_one() {
        let rows = |own| {
            [
                row("ai.full.whole.per_cpu", RIGBOX, 64, own),
                row("ai.full.whole.per_cpu", SLOW, 64, 100.0),
            ]
        };
        let text = |own| markdown(&rows(own), "");
        assert!(text(5_000.0).contains("| 50.0 | ≥ 50 | yes |"), "{}", text(5_000.0));
        assert!(text(4_900.0).contains("| 49.0 | ≥ 50 | **no** |"), "{}", text(4_900.0));
    }

    #[test]
    fn memory_of_a_stream_is_what_it_adds() {
        let rows = [row(MEMORY, RIGBOX, 0, 5000.0), row(MEMORY, RIGBOX, 1000, 25_000.0)];
        assert!(markdown(&rows, "").contains("| rigbox | 1000 | 20.0 | 5000 | 25000 |"));
    }
}
