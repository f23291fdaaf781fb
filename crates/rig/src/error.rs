//! What a command that did not succeed tells its caller: an exit code, a sentence, and a command
//! that helps.

use std::{borrow::Cow, fmt, io};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused by the server, or failed.
    Failed,
    /// Wrong use of the command line.
    Usage,
    /// No key, or one that is not accepted.
    NotSignedIn,
    /// Ended by Ctrl-C.
    Interrupted,
    /// Nothing is said; the code is that of a command in a workspace, or 0 when the reader of our
    /// output has left.
    Silent(u8),
}

impl Exit {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotSignedIn => 3,
            Self::Interrupted => INTERRUPTED,
            Self::Silent(code) => code,
        }
    }
}

/// What a shell shows for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Why a command did not succeed.
#[derive(Debug, Clone)]
pub(crate) struct CommandError {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// Stable, for programs; the API's code where the API refused.
    pub(crate) code: Cow<'static, str>,
    /// For people: lower case, no full stop.
    pub(crate) message: String,
    /// A command that helps.
    pub(crate) hint: Option<String>,
}

impl CommandError {
    /// Something was refused or failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", message.into())
    }

    /// The command line or a file named by it is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message.into())
    }

    /// There is no key to sign in with.
    pub(crate) fn not_signed_in(message: impl Into<String>) -> Self {
        Self::new(Exit::NotSignedIn, "unauthenticated", message.into())
    }

    /// Ctrl-C.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Exit::Interrupted, "interrupted", message.into())
    }

    /// A local file could not be used: `what` says what was tried with it.
    pub(crate) fn file(what: impl fmt::Display, source: &io::Error) -> Self {
        Self::failed(format!("cannot {what}: {}", io_reason(source)))
    }

    /// Ends with a code and says nothing.
    pub(crate) fn silent(code: u8) -> Self {
        Self::new(Exit::Silent(code), "", String::new())
    }

    fn new(exit: Exit, code: &'static str, message: String) -> Self {
        Self { exit, code: Cow::Borrowed(code), message, hint: None }
    }

    /// With a command that helps.
    pub(crate) fn hint(mut self, command: impl Into<String>) -> Self {
        self.hint = Some(command.into());
        self
    }

    /// With a code of the API.
    pub(crate) fn coded(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = code.into();
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

/// The result of a command.
pub(crate) type CommandResult<T = ()> = Result<T, CommandError>;

/// The system's reason without Rust's `(os error 2)`, in lower case like our own texts.
pub(crate) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        // Only a first letter is lowered that does not begin a word in capitals.
        Some(first) if !letters.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_the_system_reads_like_ours() {
        assert_eq!(io_reason(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(io_reason(&io::Error::other("TLS broke")), "TLS broke");
    }
}
