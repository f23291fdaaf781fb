//! Why an edge does not start or ends.

use std::io;

use camino::Utf8PathBuf;

/// Why an edge could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// The name is not one.
    #[error("edge name {name:?} must be 1 to 63 letters, digits and hyphens")]
    Name {
        /// As it was given.
        name: String,
    },
    /// A socket could not be opened.
    #[error("listen for {what}")]
    Listen {
        /// What for.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder or a file of its own is of no use.
    #[error("use {path}")]
    State {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("no randomness")]
    Random,
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
}
