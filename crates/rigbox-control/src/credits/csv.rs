//! A statement as a table (RFC 4180), for spreadsheets and accounts.
//! Invariant: a cell that people or programs have written is text to a spreadsheet, whatever it begins with.
//! Pure.

use rigbox_store::ledger::Entry;

/// The first line.
pub(super) const HEAD: &str = "seq,at,kind,credits,balance,reason,actor,key\r\n";

/// What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A line for each of these, as they come.
pub(super) fn rows(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, entry| {
        let cells = [
            entry.seq.to_string(),
            entry.at.to_string(),
            entry.kind.as_str().to_owned(),
            entry.amount.to_string(),
            entry.balance.to_string(),
            cell(&entry.reason),
            cell(&entry.actor),
            cell(&entry.key),
        ];
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
        text
    })
}

fn cell(text: &str) -> String {
    let harmless = if text.starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() };
    if harmless.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", harmless.replace('"', "\"\""));
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_it_begins_with() {
        let check = |text: &str, expected: &str| assert_eq!(cell(text), expected);
        check("a gift", "a gift");
        check("a, b", "\"a, b\"");
        check("a \"gift\"", "\"a \"\"gift\"\"\"");
        check("=1+1", "'=1+1");
        check("@x,y", "\"'@x,y\"");
    }
}
