//! Tables and numbers of summaries, in Markdown. Computes nothing that is not shown.

/// A table below its title.
pub(crate) fn section(title: &str, table: &Table) -> String {
    format!("## {title}\n\n{}", table.text())
}

/// A table of text.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<String>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(heads: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(heads.iter().map(|head| (*head).to_owned()));
        table.row(heads.iter().map(|_| "---".to_owned()));
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.lines.push(format!("| {} |", cells.join(" | ")));
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// A number for people: whole where it is large.
pub(crate) fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// One by another, where both are there.
pub(crate) fn ratio(value: Option<f64>, by: Option<f64>) -> Option<f64> {
    Some(value? / by?).filter(|ratio| ratio.is_finite())
}
