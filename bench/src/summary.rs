//! The summary of a run, computed from its rows and nothing else.

mod tables;
mod targets;

use crate::{rows::Row, table::section};

/// The whole page.
pub(crate) fn markdown(rows: &[Row], facts: &str) -> String {
    let facts: String = facts.lines().map(|line| format!("- {line}\n")).collect();
    [
        "# A workspace beside raw QEMU\n".to_owned(),
        "Computed from `rows.csv` by `rigbox-bench summary`; percentiles are samples (nearest \
         rank). What each name means is in `bench/src/rows.rs`.\n"
            .to_owned(),
        facts,
        section("Targets", &targets::table(rows)),
        section("Beside the raw run", &tables::beside(rows)),
        section("Where a boot's time goes beyond the raw one", &tables::parts(rows)),
        section("Requests beside records", &tables::requests(rows)),
        section("Memory of the platform", &tables::platform(rows)),
        section("Memory of a workspace beyond its guest's RAM", &tables::workspace(rows)),
        section("All measurements", &tables::all(rows)),
    ]
    .join("\n")
}

/// The difference, where both are there.
fn difference(value: Option<f64>, less: Option<f64>) -> Option<f64> {
    Some(value? - less?)
}

/// KiB as MiB.
fn mib(kib: Option<f64>) -> Option<f64> {
    kib.map(|kib| kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, side: &str, n: u64, value: f64) -> Row {
        Row { name: name.to_owned(), side: side.to_owned(), n, value, unit: "ms".to_owned() }
    }

    #[test]
    fn a_missed_target_says_so() {
        let rows = |product| {
            [row("boot.fresh", "raw", 1, 1000.0), row("boot.fresh", "product", 1, product)]
        };
        let text = |product| markdown(&rows(product), "");
        assert!(text(1049.0).contains("| 1.05 | ≤ 1.05 | yes |"), "{}", text(1049.0));
        assert!(text(1060.0).contains("| 1.06 | ≤ 1.05 | **no** |"), "{}", text(1060.0));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let text = markdown(&[], "processor: a fast one\n");
        assert!(text.contains("| not measured |"), "{text}");
        assert!(text.contains("- processor: a fast one"), "{text}");
    }
}
