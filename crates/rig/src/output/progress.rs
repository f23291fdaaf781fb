//! Shows that something is under way: on a terminal one line that moves, elsewhere plain lines,
//! and only from the first second on. Nothing is shown where data is for programs and standard
//! error is no terminal.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Output, Tone, safe, span};

/// What takes less says nothing.
const SILENT: Duration = Duration::from_secs(1);
/// Between two pictures.
const TICK: Duration = Duration::from_millis(100);
/// Pictures of the moving sign.
const SIGNS: &[&str] = &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Widest label: what wraps cannot be wiped.
const LABEL_MAX_CHARS: usize = 60;

impl Output {
    /// Says what is under way from now on.
    pub(crate) fn progress(&self, label: impl Into<String>) {
        self.label.replace(label.into());
        self.label_said.set(false);
    }

    /// Says how far it is, on a terminal: no new line where lines are plain.
    pub(crate) fn advance(&self, label: impl Into<String>) {
        self.label.replace(label.into());
    }

    /// A change that people should read even where nothing moves: a line where standard error is
    /// no terminal, else the label of the moving one.
    pub(crate) fn stage(&self, label: impl Into<String>) {
        let label = label.into();
        let is_new = *self.label.borrow() != label;
        if is_new && !self.terminal_err && self.is_human() {
            self.notice(&label);
        }
        self.label.replace(label);
        self.label_said.set(true);
    }

    /// Waits for `work` and shows that it is under way.
    pub(crate) async fn during<F: Future>(&self, work: F) -> F::Output {
        let begun = Instant::now();
        let mut ticks = interval_at(begun + SILENT, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.clear();
                    return done;
                }
                _ = ticks.tick() => self.draw(),
            }
        }
    }

    /// Wipes the moving line.
    pub(super) fn clear(&self) {
        if self.drawn.replace(false) {
            self.write_err("\r\x1b[K");
        }
    }

    fn draw(&self) {
        let label = self.label.borrow();
        if label.is_empty() || self.raw.get() {
            return;
        }
        if !self.terminal_err {
            if self.is_human() && !self.label_said.replace(true) {
                self.notice(format!("{label}…"));
            }
            return;
        }
        let label: String = safe::line(&label).chars().take(LABEL_MAX_CHARS).collect();
        let passed = self.since.elapsed();
        let turn = usize::try_from(passed.as_millis() / TICK.as_millis()).unwrap_or_default();
        let sign = SIGNS.iter().cycle().nth(turn % SIGNS.len()).copied().unwrap_or_default();
        let seconds = i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
        let passed = self.paint_err.text(Tone::Faint, &span(seconds));
        self.write_err(&format!("\r\x1b[K{sign} {label} {passed}"));
        self.drawn.set(true);
    }
}
