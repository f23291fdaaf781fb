//! Running a command in a workspace.
//!
//! `POST /exec` answers in one of three ways: a document ([`ExecResult`]), lines of [`ExecEvent`]
//! (`stream`), or, when the request asks for an upgrade to `rigbox-exec`, a stream of
//! [`frame`](super::frame)s that can be written to, resized, signalled and left.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Timestamp,
    limits::{ENV_MAX_COUNT, ENV_NAME_MAX_LEN, ENV_VALUE_MAX_LEN, EXEC_TIMEOUT_MAX_S},
    text::{CommandEnvironment, ShortText, Word},
};

/// Most words of a command.
pub const COMMAND_MAX_WORDS: usize = 1024;
/// Most bytes of a command: what Linux takes as one argument.
pub const COMMAND_MAX_BYTES: usize = 128 * 1024;
/// Most bytes of `stdin` in the request; more goes through a stream.
pub const STDIN_MAX_BYTES: usize = 512 * 1024;
/// Longest path or user name in a request.
pub const TEXT_MAX_BYTES: usize = 4096;
/// Output of a command that is kept for whoever attaches next.
pub const REPLAY_MAX_BYTES: usize = 256 * 1024;
/// Most commands that run at once, attached or not.
pub const EXEC_MAX_SESSIONS: usize = 64;
/// Most of them that have a terminal.
pub const TERMINALS_MAX: usize = 32;
/// How long a terminal that nobody is attached to is kept, in seconds: a laptop that was closed for a
/// moment finds its shell again, and shells that were left for good do not pile up.
pub const TERMINAL_KEPT_S: u64 = 600;
/// Path segment, relative to `/exec/{id}`, that attaches.
pub const ATTACH_SEGMENT: &str = "attach";
/// Query of an attach: position in the output, counted in bytes of both kinds from the start, from
/// which to go on. Missing is from the oldest byte that is kept.
pub const AFTER_PARAM: &str = "after";

/// `POST /exec`, and `POST /workspaces/{id}/exec` of the API.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// Program and arguments; no shell in between.
    #[schemars(with = "Vec<Word>", length(min = 1, max = COMMAND_MAX_WORDS))]
    pub command: Vec<String>,
    /// Working directory; the user's home when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ShortText>")]
    pub cwd: Option<String>,
    /// Added to the environment of the workspace.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Option<CommandEnvironment>")]
    pub env: BTreeMap<String, String>,
    /// Who runs it; `developer` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ShortText>")]
    pub user: Option<String>,
    /// Text for its standard input, which then ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STDIN_MAX_BYTES))]
    pub stdin: Option<String>,
    /// Ended after this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = EXEC_TIMEOUT_MAX_S))]
    pub timeout_s: Option<u32>,
    /// Answer with lines as output comes instead of one document at the end.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
    /// Gives it a terminal of this size; only with an upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<TtySize>,
    /// Lives on when its stream is cut, and can be attached again; only with an upgrade.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    pub detach: bool,
}

/// `null` is like a missing field.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl ExecRequest {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first thing that is out of bounds.
    pub fn check(&self) -> Result<(), InvalidExec> {
        let refuse = |field, message| Err(InvalidExec { field, message });
        if self.command.first().is_none_or(String::is_empty) {
            return refuse("command", "must name a program");
        }
        let bytes: usize = self.command.iter().map(|word| word.len().saturating_add(1)).sum();
        if self.command.len() > COMMAND_MAX_WORDS || bytes > COMMAND_MAX_BYTES {
            return refuse("command", "must have at most 1024 words and 128 KiB");
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return refuse("command", "must not contain a NUL character");
        }
        let is_text = |text: &String| text.len() <= TEXT_MAX_BYTES && !text.contains('\0');
        if !self.cwd.as_ref().is_none_or(is_text) {
            return refuse("cwd", "must be a path of at most 4096 bytes");
        }
        if !self.user.as_ref().is_none_or(is_text) {
            return refuse("user", "must be a user name");
        }
        if self.env.len() > ENV_MAX_COUNT || !self.env.iter().all(is_variable) {
            return refuse("env", "must be at most 256 variables, of names without '=' and NUL");
        }
        if self.stdin.as_ref().is_some_and(|text| text.len() > STDIN_MAX_BYTES) {
            return refuse("stdin", "must have at most 512 KiB");
        }
        if self.timeout_s.is_some_and(|timeout| timeout == 0 || timeout > EXEC_TIMEOUT_MAX_S) {
            return refuse("timeout_s", "must be from 1 to 86400");
        }
        Ok(())
    }
}

fn is_variable((name, value): (&String, &String)) -> bool {
    !name.is_empty()
        && name.len() <= ENV_NAME_MAX_LEN
        && !name.contains(['=', '\0'])
        && value.len() <= ENV_VALUE_MAX_LEN
        && !value.contains('\0')
}

/// Arguments and environment may hold secrets of the user: not shown.
impl fmt::Debug for ExecRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecRequest")
            .field("program", &self.command.first())
            .field("user", &self.user)
            .field("tty", &self.tty)
            .field("detach", &self.detach)
            .finish_non_exhaustive()
    }
}

/// A field of an [`ExecRequest`] that is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {message}")]
pub struct InvalidExec {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: &'static str,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TtySize {
    /// Width.
    pub cols: u16,
    /// Height.
    pub rows: u16,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecExit {
    /// Exit code; none when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was ended because its time was over.
    pub timed_out: bool,
}

/// Answer of an exec that is neither streamed nor upgraded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecResult {
    /// How it ended.
    #[serde(flatten)]
    pub exit: ExecExit,
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
    /// Whether output beyond the limit (4 MiB a stream) was dropped.
    pub truncated: bool,
    /// How long it ran.
    pub duration_ms: u64,
}

/// One line of a streamed exec (`stream: true`, `application/x-ndjson`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ExecEvent {
    /// It runs.
    Started(ExecStarted),
    /// Part of its standard output.
    Stdout {
        /// As text; bytes that are no UTF-8 are replaced.
        data: String,
    },
    /// Part of its standard error.
    Stderr {
        /// As text; bytes that are no UTF-8 are replaced.
        data: String,
    },
    /// It ended; the last line.
    Exit(ExecExit),
    /// It could not be run, or the guest went away; the last line.
    Error {
        /// For people.
        message: String,
    },
}

/// A command that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecStarted {
    /// Names it for `attach` and `DELETE`.
    pub id: String,
    /// Its process in the guest.
    pub pid: u32,
}

/// A command as `GET /exec` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecSession {
    /// Names it.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Its program, without arguments.
    pub program: String,
    /// Who runs it.
    pub user: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether somebody is attached.
    pub attached: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended; none while it runs.
    pub exit: Option<ExecExit>,
}

/// `GET /exec`: the commands that can be attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecList {
    /// Oldest first.
    pub sessions: Vec<ExecSession>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: &[&str]) -> ExecRequest {
        ExecRequest {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..ExecRequest::default()
        }
    }

    #[test]
    fn a_request_out_of_bounds_names_its_field() {
        let check = |request: ExecRequest, field: Option<&str>| {
            assert_eq!(request.check().err().map(|refusal| refusal.field), field);
        };
        check(request(&["true"]), None);
        check(request(&[]), Some("command"));
        check(request(&[""]), Some("command"));
        check(request(&["a\0b"]), Some("command"));
        check(request(&["x"; COMMAND_MAX_WORDS + 1]), Some("command"));
        check(request(&["echo", &"x".repeat(COMMAND_MAX_BYTES)]), Some("command"));
        check(ExecRequest { timeout_s: Some(0), ..request(&["true"]) }, Some("timeout_s"));
        let env = BTreeMap::from([("A=B".to_owned(), String::new())]);
        check(ExecRequest { env, ..request(&["true"]) }, Some("env"));
        let stdin = Some("x".repeat(STDIN_MAX_BYTES + 1));
        check(ExecRequest { stdin, ..request(&["true"]) }, Some("stdin"));
    }

    #[test]
    fn arguments_and_environment_are_not_shown() {
        let mut shown = request(&["mysql", "--password=hunter2"]);
        shown.env.insert("TOKEN".to_owned(), "hunter2".to_owned());
        assert!(!format!("{shown:?}").contains("hunter2"));
    }
}
