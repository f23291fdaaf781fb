//! What a person reads: data on stdout, everything else on stderr. The only module that prints. A
//! reader that went away (`rigbox doctor | head`) is no error.
//! Works without colour and without a terminal: a line that changes in place on a terminal is
//! printed once per change elsewhere.
use std::io::{IsTerminal as _, Write as _};

/// A line of data.
pub(crate) fn data(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A line about what is going on.
pub(crate) fn note(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// An error with its causes, and what to do about it on lines that begin with `hint:`.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
}

/// A line that shows how something slow stands: rewritten in place on a terminal.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    shown: String,
}

impl Progress {
    /// Shows how it stands now.
    pub(crate) fn show(&mut self, line: &str) {
        if line == self.shown {
            return;
        }
        line.clone_into(&mut self.shown);
        let mut out = std::io::stderr().lock();
        // Nobody is told that nobody listens.
        let written = if out.is_terminal() {
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
        drop(written);
    }

    /// Ends with a line that stays.
    pub(crate) fn done(&mut self, line: &str) {
        self.show(line);
        self.end();
    }

    /// Leaves the line as it is and goes to the next one.
    pub(crate) fn end(&mut self) {
        if !self.shown.is_empty() && std::io::stderr().is_terminal() {
            note("");
        }
        self.shown.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
