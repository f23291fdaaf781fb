//! What the executable says: results to standard output, everything else to standard error.

use std::io::{self, Write as _};

use rigbox_host::image::{ImageError, Progress};

/// A line of a result.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A line for people.
pub(crate) fn note(text: &str) {
    // Where nobody can be told, nobody is.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Why it did not work, with its causes, and what helps where that is known.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
    if let Some(hint) = error.downcast_ref::<ImageError>().and_then(ImageError::hint) {
        note(&format!("hint: {hint}"));
    }
}

/// Shows how far a build is: each stage once, and each tenth of it.
#[derive(Debug, Default)]
pub(crate) struct Shown(std::sync::Mutex<Option<(String, u8)>>);

impl Shown {
    pub(crate) fn progress(&self, progress: &Progress) {
        let step = (progress.stage.to_string(), progress.percent.unwrap_or(0) / 10);
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.as_ref() != Some(&step) {
            *last = Some(step);
            note(&progress.to_string());
        }
    }
}
