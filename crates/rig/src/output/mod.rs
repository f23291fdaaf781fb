//! The only place that writes to standard output and standard error.
//! Data goes to standard output, all else to standard error. Text from a server or guest is made
//! safe here ([`safe`]); only bytes that a user asked for as bytes ([`Output::bytes`]) pass as
//! they are: output of a command in a workspace, a terminal, a file, a body of `rig api`.

mod ago;
mod progress;
mod safe;
mod table;
mod yaml;

use std::{
    cell::{Cell as StdCell, RefCell},
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{CommandError, CommandResult, Exit};

pub(crate) use ago::{ago, span};
pub(crate) use table::{Cell, Fields, Table};

/// How data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Tables and sentences
    #[default]
    Human,
    /// The API's documents; one event a line from commands that take time
    Json,
    /// The same documents as YAML
    Yaml,
}

/// What a text means, shown by colour where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Under way, or to be looked at.
    Busy,
    /// Wrong.
    Bad,
    /// Of less weight.
    Faint,
}

/// Whether text gets colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Yes.
    Always,
    /// No: no terminal, or `NO_COLOR`.
    Never,
}

impl Paint {
    fn on(terminal: bool) -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        if terminal && !refused { Self::Always } else { Self::Never }
    }

    /// `text` in `tone`.
    pub(crate) fn text(self, tone: Tone, text: &str) -> String {
        let code = match (self, tone) {
            (Self::Never, _) | (_, Tone::Plain) => return text.to_owned(),
            (Self::Always, Tone::Good) => "32",
            (Self::Always, Tone::Busy) => "33",
            (Self::Always, Tone::Bad) => "31",
            (Self::Always, Tone::Faint) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Where everything is written to.
#[derive(Debug)]
pub(crate) struct Output {
    format: StdCell<Format>,
    verbose: StdCell<bool>,
    raw: StdCell<bool>,
    paint_out: Paint,
    paint_err: Paint,
    terminal_err: bool,
    label: RefCell<String>,
    label_said: StdCell<bool>,
    drawn: StdCell<bool>,
    since: Instant,
}

impl Output {
    /// As the environment and the two streams want it.
    pub(crate) fn from_env() -> Self {
        let terminal_err = io::stderr().is_terminal();
        Self {
            format: StdCell::new(Format::Human),
            verbose: StdCell::new(false),
            raw: StdCell::new(false),
            paint_out: Paint::on(io::stdout().is_terminal()),
            paint_err: Paint::on(terminal_err),
            terminal_err,
            label: RefCell::default(),
            label_said: StdCell::new(false),
            drawn: StdCell::new(false),
            since: Instant::now(),
        }
    }

    /// Sets what the command line and the configuration say.
    pub(crate) fn configure(&self, format: Format, verbose: bool) {
        self.format.set(format);
        self.verbose.set(verbose);
    }

    /// Whether the terminal is in raw mode, where a line end needs a carriage return.
    pub(crate) fn set_raw(&self, raw: bool) {
        self.raw.set(raw);
    }

    /// Whether data is for people.
    pub(crate) fn is_human(&self) -> bool {
        self.format.get() == Format::Human
    }

    /// Writes text for people that is laid out already; cells have made themselves safe.
    pub(crate) fn text(&self, text: &str) -> CommandResult {
        self.bytes(text.as_bytes())
    }

    /// Writes one line for people.
    pub(crate) fn line(&self, line: impl AsRef<str>) -> CommandResult {
        self.text(&format!("{}\n", safe::line(line.as_ref())))
    }

    /// Writes lines of somebody else: line ends and tabs are kept.
    pub(crate) fn block(&self, block: &str) -> CommandResult {
        let end = if block.ends_with('\n') || block.is_empty() { "" } else { "\n" };
        self.text(&format!("{}{end}", safe::block(block)))
    }

    /// Writes a table, or to standard error a sentence that says why there is none.
    pub(crate) fn table(&self, table: &Table, none: &str) -> CommandResult {
        if table.is_empty() {
            self.notice(none);
            return Ok(());
        }
        self.text(&table.render(self.paint_out))
    }

    /// Writes named values.
    pub(crate) fn fields(&self, fields: &Fields) -> CommandResult {
        self.text(&fields.render(self.paint_out))
    }

    /// Writes a document, pretty, in the chosen format (JSON where that is for people).
    pub(crate) fn document(&self, document: &Value) -> CommandResult {
        match self.format.get() {
            Format::Yaml => self.text(&safe::json(&yaml::render(document))),
            Format::Json | Format::Human => {
                self.text(&format!("{}\n", safe::json(&format!("{document:#}"))))
            }
        }
    }

    /// Writes one of a sequence of documents: one line of JSON, or one YAML document.
    pub(crate) fn record(&self, record: &impl Serialize) -> CommandResult {
        let unwritable =
            |error| CommandError::failed(format!("cannot write a record as JSON: {error}"));
        match self.format.get() {
            Format::Yaml => {
                let value = serde_json::to_value(record).map_err(unwritable)?;
                self.text(&format!("---\n{}", safe::json(&yaml::render(&value))))
            }
            Format::Json | Format::Human => {
                let line = serde_json::to_string(record).map_err(unwritable)?;
                self.text(&format!("{}\n", safe::json(&line)))
            }
        }
    }

    /// Ends a sequence of events with why there are no more of them; people read that from standard
    /// error.
    pub(crate) fn error_event(&self, error: CommandError) -> CommandError {
        #[derive(Serialize)]
        struct Event<'a> {
            event: &'static str,
            code: &'a str,
            message: &'a str,
        }
        if self.is_human() || matches!(error.exit, Exit::Silent(_)) {
            return error;
        }
        let event = Event { event: "error", code: &error.code, message: &error.message };
        self.record(&event).err().unwrap_or(error)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> CommandResult {
        self.clear();
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| lost_reader(&error))
    }

    /// Writes bytes of a command's standard error as they are.
    pub(crate) fn bytes_err(&self, bytes: &[u8]) -> CommandResult {
        self.clear();
        let mut err = io::stderr().lock();
        err.write_all(bytes).map_err(|error| lost_reader(&error))
    }

    /// Tells people something beside the data.
    pub(crate) fn notice(&self, line: impl AsRef<str>) {
        self.say(&safe::line(line.as_ref()));
    }

    /// Tells people of something that is wrong but stops nothing.
    pub(crate) fn warning(&self, line: impl AsRef<str>, hint: Option<&str>) {
        let head = self.paint_err.text(Tone::Busy, "warning:");
        self.say(&format!("{head} {}", safe::line(line.as_ref())));
        if let Some(hint) = hint {
            self.hint(hint);
        }
    }

    /// Tells what is sent and answered, with `-v`.
    pub(crate) fn verbose(&self, line: impl FnOnce() -> String) {
        if self.verbose.get() {
            self.say(&self.paint_err.text(Tone::Faint, &safe::line(&line())));
        }
    }

    /// Tells why the command ends.
    pub(crate) fn error(&self, error: &CommandError) {
        if matches!(error.exit, Exit::Silent(_)) {
            return;
        }
        let head = self.paint_err.text(Tone::Bad, "error:");
        self.say(&format!("{head} {}", safe::line(&error.message)));
        if let Some(hint) = &error.hint {
            self.hint(hint);
        }
    }

    /// Text of clap: help to standard output, errors to standard error, with its own colours.
    pub(crate) fn help(&self, text: &str, exit: Exit) -> CommandResult {
        if exit == Exit::Silent(0) {
            self.bytes(text.as_bytes())
        } else {
            self.bytes_err(text.as_bytes())
        }
    }

    /// A question without a line end.
    pub(crate) fn prompt(&self, question: &str) {
        self.clear();
        self.write_err(&safe::block(question));
    }

    /// A command that helps.
    pub(crate) fn hint(&self, command: &str) {
        let head = self.paint_err.text(Tone::Faint, "hint:");
        self.say(&format!("{head} {}", safe::line(command)));
    }

    /// Colours of standard output.
    pub(crate) fn paint(&self) -> Paint {
        self.paint_out
    }

    fn say(&self, line: &str) {
        self.clear();
        let end = if self.raw.get() { "\r\n" } else { "\n" };
        self.write_err(&format!("{line}{end}"));
    }

    /// Whoever closed our standard error does not want to hear that it is closed.
    fn write_err(&self, text: &str) {
        let mut err = io::stderr().lock();
        if err.write_all(text.as_bytes()).is_err() {
            self.drawn.set(false);
        }
    }
}

/// A reader that has left (`| head`) has what it wanted: not an error of ours.
fn lost_reader(error: &io::Error) -> CommandError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CommandError::silent(0),
        _ => CommandError::file("write the output", error),
    }
}
