//! The whole database as a stream of lines that belongs to no engine, and back: for backups.
//! Invariants: a stream is one moment of the database; tables, columns and their order come from the
//! database's own schema, so that none can be forgotten; a load is one transaction into a database
//! that nobody has used, or nothing.
//! Does not know where a stream goes, and changes no value on its way.
//!
//! ```text
//! {"format":1,"engine":"sqlite","migrations":["2026-11-23-01-create-feed", …]}
//! {"table":"accounts","columns":[["id","text"],["standing","text"],["created_at","integer"]]}
//! ["5f0c…","operator",1795822000000000]
//! …
//! {"rows":12}
//! ```

mod export;
mod import;
mod schema;

use std::io;

use rigbox_types::{Desired, HostId, Observed, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::{OpenError, StoreError};

pub use import::import;

/// Changes when a stream can no longer be read by an older program.
const FORMAT: u32 = 1;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The moment that the stream shows.
    pub at: Timestamp,
    /// Rows of all tables.
    pub rows: u64,
    /// The workspaces of that moment, in the order of their ids.
    pub workspaces: Vec<WorkspaceThen>,
}

/// A workspace as it was at the moment of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceThen {
    /// Its id.
    pub id: WorkspaceId,
    /// The machine that has its disk.
    pub host: HostId,
    /// What it should have been.
    pub desired: Desired,
    /// What its host had last seen.
    pub observed: Observed,
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Rows of all tables.
    pub rows: u64,
}

/// Why a database was not exported or loaded. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The stream was not read or written.
    #[error("read or write the stream of the database")]
    Io(#[from] io::Error),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database that is to be loaded cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database that is to be loaded is in use already.
    #[error("{url} is not empty: a backup is only loaded into a database that nobody has used")]
    InUse {
        /// Which one, without its password.
        url: String,
    },
    /// The stream is of a program that is newer than this one.
    #[error("the database was exported by a newer version: {what} is unknown to {version}")]
    Newer {
        /// What is not known.
        what: String,
        /// This program's version.
        version: &'static str,
    },
    /// The stream is not what an export writes.
    #[error("line {line} of the exported database: {what}")]
    Form {
        /// Where.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    engine: String,
    /// The schema: every change that it has.
    migrations: Vec<String>,
}

/// The line before the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "table")]
    name: String,
    columns: Vec<(String, ValueKind)>,
}

/// The last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
}

/// What a column holds, in either engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValueKind {
    /// A JSON text.
    Text,
    /// A JSON number.
    Integer,
    /// Its shortest exact decimal, as a JSON text: a number of JSON may be rounded by who reads it.
    Real,
    /// Base64, as a JSON text.
    Blob,
}
