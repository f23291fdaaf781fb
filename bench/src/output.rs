//! What a person reads while it runs. The only module that prints.

use std::io::Write as _;

/// A line about what is going on.
pub(crate) fn note(line: &str) {
    // Nobody is told that nobody listens.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Data.
pub(crate) fn data(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
