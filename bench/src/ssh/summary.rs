//! The summary of a run over the SSH gateway, computed from its rows and nothing else.

use super::place::{CIPHERS, Side};
use crate::{
    rows::Row,
    stats::Series,
    table::{Table, ratio, section, shown},
};

/// At least this share of what a jump host carries.
const BULK_MIN: f64 = 0.9;
/// At most so much is added to a key's way there and back, in ms.
const ECHO_MAX_MS: f64 = 1.0;
/// At most so much memory for a session that does nothing, in KiB.
const IDLE_MAX_KIB: f64 = 150.0;

/// Whether rows are of such a run.
pub(crate) fn is_of(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.side == Side::Jump.name())
}

/// The whole page.
pub(crate) fn markdown(rows: &[Row], facts: &str) -> String {
    let facts: String = facts.lines().map(|line| format!("- {line}\n")).collect();
    [
        "# The SSH gateway beside OpenSSH\n".to_owned(),
        "Computed from `rows.csv` by `rigbox-bench summary`: medians of the rounds where nothing \
         else is said. `jump` is OpenSSH with `ProxyJump`, `direct` has nothing between client and \
         server. Clients, servers and what is between share the processors.\n"
            .to_owned(),
        facts,
        section("Targets", &targets(rows)),
        section("Transfers, MB/s", &bulk(rows, "")),
        section("Time executed of what is between, ms a transfer", &bulk(rows, ".cpu")),
        section("A key there and back, ms", &echo(rows)),
        section("Connections", &connections(rows)),
        section("Memory of what is between, KiB", &idle(rows)),
    ]
    .join("\n")
}

fn percentile(rows: &[Row], name: &str, side: Side, percent: usize) -> Option<f64> {
    Series::of(rows, name, side.name(), None).percentile(percent)
}

fn transfers() -> impl Iterator<Item = String> {
    let ways = ["down", "up"];
    CIPHERS.into_iter().flat_map(move |(cipher, _)| ways.map(|way| format!("bulk.{cipher}.{way}")))
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
    for name in transfers() {
        let of = |side| percentile(rows, &name, side, 50);
        let value = ratio(of(Side::Gateway), of(Side::Jump));
        let met = value.is_some_and(|value| value >= BULK_MIN);
        line(format!("{name}, by the jump host's"), value, format!("≥ {BULK_MIN}"), met);
    }
    for percent in [50, 99] {
        let of = |side| percentile(rows, "echo", side, percent);
        let value = of(Side::Gateway).zip(of(Side::Direct)).map(|(own, direct)| own - direct);
        let met = value.is_some_and(|value| value <= ECHO_MAX_MS);
        let what = format!("added to a key there and back, p{percent}, ms");
        line(what, value, format!("≤ {ECHO_MAX_MS}"), met);
    }
    let value = each(rows, Side::Gateway);
    let met = value.is_some_and(|value| value <= IDLE_MAX_KIB);
    line("memory of an idle session, KiB".to_owned(), value, format!("≤ {IDLE_MAX_KIB}"), met);
    table
}

fn with_sides(first: &str) -> Table {
    let heads: Vec<&str> = std::iter::once(first).chain(Side::ALL.map(Side::name)).collect();
    Table::new(&heads)
}

fn bulk(rows: &[Row], measure: &str) -> Table {
    let mut table = with_sides("what");
    for name in transfers() {
        let name = format!("{name}{measure}");
        let cells = Side::ALL.map(|side| shown(percentile(rows, &name, side, 50)));
        table.row(std::iter::once(name).chain(cells));
    }
    table
}

fn echo(rows: &[Row]) -> Table {
    let mut table = with_sides("percentile");
    for percent in [50, 90, 99] {
        let cells = Side::ALL.map(|side| shown(percentile(rows, "echo", side, percent)));
        table.row(std::iter::once(format!("p{percent}")).chain(cells));
    }
    table
}

fn connections(rows: &[Row]) -> Table {
    let mut table = with_sides("what");
    let lines = [
        ("one after the other, p50, ms", "connect", 50),
        ("one after the other, p99, ms", "connect", 99),
        ("several at once, in a second", "connect.rate", 50),
    ];
    for (what, name, percent) in lines {
        let cells = Side::ALL.map(|side| shown(percentile(rows, name, side, percent)));
        table.row(std::iter::once(what.to_owned()).chain(cells));
    }
    table
}

/// What one session adds: the difference between none and the most, by their number.
fn each(rows: &[Row], side: Side) -> Option<f64> {
    let of = |n| Series::of(rows, "idle", side.name(), Some(n)).p50();
    let most = rows.iter().filter(|row| row.name == "idle").map(|row| row.n).max()?;
    #[expect(clippy::cast_precision_loss, reason = "nobody opens 2^53 sessions")]
    Some((of(most)? - of(0)?) / most as f64).filter(|each| each.is_finite())
}

fn idle(rows: &[Row]) -> Table {
    let mut table = with_sides("what");
    let mut counts: Vec<u64> =
        rows.iter().filter(|row| row.name == "idle").map(|row| row.n).collect();
    counts.sort_unstable();
    counts.dedup();
    for n in counts {
        let of = |side: Side| shown(Series::of(rows, "idle", side.name(), Some(n)).p50());
        table.row(std::iter::once(format!("with {n} sessions")).chain(Side::ALL.map(of)));
    }
    let cells = Side::ALL.map(|side| shown(each(rows, side)));
    table.row(std::iter::once("for each".to_owned()).chain(cells));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, side: Side, n: u64, value: f64) -> Row {
        let (name, side, unit) = (name.to_owned(), side.name().to_owned(), "ms".to_owned());
        Row { name, side, n, value, unit }
    }

    #[test]
    fn a_missed_target_says_so() {
        let rows = |own| {
            [
                row("bulk.aes.down", Side::Gateway, 1, own),
                row("bulk.aes.down", Side::Jump, 1, 100.0),
            ]
        };
        let text = |own| markdown(&rows(own), "");
        assert!(text(90.0).contains("| 0.90 | ≥ 0.9 | yes |"), "{}", text(90.0));
        assert!(text(89.0).contains("| 0.89 | ≥ 0.9 | **no** |"), "{}", text(89.0));
        assert!(text(90.0).contains("| not measured |"));
    }

    #[test]
    fn a_key_is_measured_beside_nothing_between_and_a_session_by_what_it_adds() {
        let rows = [
            row("echo", Side::Gateway, 1, 0.75),
            row("echo", Side::Direct, 1, 0.5),
            row("idle", Side::Gateway, 0, 5_000.0),
            row("idle", Side::Gateway, 500, 55_000.0),
        ];
        let text = markdown(&rows, "");
        assert!(text.contains("| 0.25 | ≤ 1 | yes |"), "{text}");
        assert!(text.contains("| 100.0 | ≤ 150 | yes |"), "{text}");
    }
}
