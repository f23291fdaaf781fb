//! Tables and lists of fields for people. Pure: text in, text out.
//! Invariant: every cell is made safe for a terminal here, so that no caller can forget it.

use super::{Paint, Tone, safe};

/// Spaces between two columns.
const GAP: usize = 2;

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in `tone`.
    pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        let text = safe::line(text.as_ref()).into_owned();
        Self { text: if text.is_empty() { "-".to_owned() } else { text }, tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows below a head.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    head: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        let head = head.iter().map(|name| Cell::toned(name, Tone::Faint)).collect();
        Self { head, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| lines().filter_map(|row| row.get(column)).map(Cell::width).max())
            .map(Option::unwrap_or_default)
            .collect();
        for row in lines() {
            let last = row.len().saturating_sub(1);
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                out.push_str(&paint.text(cell.tone, &cell.text));
                if column != last {
                    let fill = width.saturating_sub(cell.width()) + GAP;
                    out.extend(std::iter::repeat_n(' ', fill));
                }
            }
            out.push('\n');
        }
        out
    }
}

/// Named values, one a line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    rows: Vec<(&'static str, Cell)>,
}

impl Fields {
    /// Adds a value.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Cell>) -> &mut Self {
        self.rows.push((name, value.into()));
        self
    }

    /// The lines.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + GAP;
        let mut out = String::new();
        for (name, value) in &self.rows {
            out.push_str(&paint.text(Tone::Faint, name));
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(name.len())));
            out.push_str(&paint.text(value.tone, &value.text));
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "STATUS"]);
        table.row(["a".into(), Cell::toned("running", Tone::Good)]);
        table.row(["longer-name".into(), "".into()]);
        let expected = "NAME         STATUS\na            running\nlonger-name  -\n";
        assert_eq!(table.render(Paint::Never), expected);
        assert!(table.render(Paint::Always).contains("\x1b[32mrunning\x1b[0m\n"));
    }

    #[test]
    fn a_cell_cannot_reach_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\nb\x1b[31m".into()]);
        assert_eq!(table.render(Paint::Never), "NAME\na\\nb\\u{1b}[31m\n");
    }
}
