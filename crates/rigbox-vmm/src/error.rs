//! What can go wrong with a VMM, by what the caller will do about it.

use std::{error::Error, io};

use camino::Utf8PathBuf;
use rigbox_types::host::DriverName;

use crate::{Capability, ProcessId};

/// A VMM operation that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum VmmError {
    /// The driver cannot do it on this machine; no repeat will help.
    #[error("driver {driver:?} cannot {capability}")]
    Unsupported {
        /// Which driver.
        driver: DriverName,
        /// What it cannot.
        capability: Capability,
    },
    /// This machine has no driver.
    #[error("no VMM driver: {reason}")]
    NoDriver {
        /// Why not.
        reason: String,
    },
    /// The process is not there, or its pid is another's by now, or it never came to run its guest
    /// (and has then been ended).
    #[error("the VMM process {process} is gone")]
    Gone {
        /// Which process.
        process: ProcessId,
    },
    /// The specification cannot be booted.
    #[error("invalid specification: {reason}")]
    InvalidSpec {
        /// Why.
        reason: String,
    },
    /// A file or directory that the driver needs could not be used.
    #[error("{action} {path}")]
    File {
        /// What was tried, as in "open".
        action: &'static str,
        /// On which file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The VMM could not be started: the trampoline's own words.
    #[error("start of the VMM process failed: {reason}")]
    Launch {
        /// The step and its cause.
        reason: String,
    },
    /// The caller's gate refused the process, which has been ended.
    #[error("the VMM process was not admitted")]
    NotAdmitted {
        /// The caller's reason.
        #[source]
        source: GateError,
    },
    /// The VMM ended while it was being talked to.
    #[error("the VMM ended: {output}")]
    Ended {
        /// The last part of what it wrote to its standard error; may be empty.
        output: String,
    },
    /// The VMM refused a request.
    #[error("the VMM refused {request}: {reason}")]
    Refused {
        /// Which request.
        request: String,
        /// Its words.
        reason: String,
    },
    /// The VMM answered something that is not its protocol.
    #[error("the VMM's answer to {request} cannot be used: {reason}")]
    Protocol {
        /// Which request.
        request: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The VMM's control socket could not be used.
    #[error("control socket {path}")]
    Control {
        /// Which socket.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("{what} took longer than {limit_ms} ms")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit_ms: u64,
    },
    /// A snapshot was not made by this VMM, or not for this specification.
    #[error("the snapshot does not fit: {reason}")]
    SnapshotMismatch {
        /// What differs.
        reason: String,
    },
}

/// Why a gate refused a process.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct GateError(Box<dyn Error + Send + Sync>);

impl GateError {
    /// Wraps the caller's error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl VmmError {
    /// For `map_err` at a file operation.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<Utf8PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
