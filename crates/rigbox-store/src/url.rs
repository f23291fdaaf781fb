//! Which database. Parsed once; a password in it is never shown.

use std::{fmt, str::FromStr};

use camino::Utf8PathBuf;
use secrecy::SecretString;

/// `sqlite:/path/to/file` or `postgres://user:password@name/database`.
#[derive(Clone)]
pub enum StoreUrl {
    /// A file of this machine.
    Sqlite(Utf8PathBuf),
    /// A server. May hold a password.
    Postgres(SecretString),
}

/// Text that names no database. Does not repeat it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("database must be 'sqlite:/path/to/file' or 'postgres://user@name/database'")]
pub struct InvalidStoreUrl;

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            // `sqlite://` and a path is how others write it.
            let path = path.strip_prefix("//").unwrap_or(path);
            let good = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
            return if good { Ok(Self::Sqlite(path.into())) } else { Err(InvalidStoreUrl) };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.into()));
        }
        Err(InvalidStoreUrl)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{path}"),
            Self::Postgres(_) => f.write_str("postgres"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
