//! What can go wrong in the store, sorted by what the caller can do about it.
//! Invariant: a full disk is told apart from everything else, and no error shows a value of a row.

use std::{borrow::Cow, fmt};

use rigbox_types::PlanName;
use sqlx::error::DatabaseError;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call of the store did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such row.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// Kind of row.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// Another row has it already.
    #[error("{what} {id} is taken")]
    Conflict {
        /// What must be unique.
        what: &'static str,
        /// Its value.
        id: String,
    },
    /// A limit of the account or of the host is reached.
    #[error(transparent)]
    Over(#[from] Over),
    /// A claim on an idempotency key was taken over by a later request.
    #[error("this request took too long and was taken over by a repeat of it")]
    ClaimLost,
    /// A cursor that this list did not hand out.
    #[error("cursor is not one of this list")]
    InvalidCursor,
    /// The disk of the database is full. Nothing was changed.
    #[error("disk of the database is full")]
    DiskFull(#[source] Source),
    /// The database does not answer, or not in time. A change may or may not have had effect; a
    /// later try may succeed.
    #[error("database does not answer")]
    Unavailable(#[source] Source),
    /// The database file is damaged, or a row holds what this program cannot read.
    #[error("{what} cannot be read")]
    Corrupt {
        /// Where: the database, or table and column.
        what: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// A statement of ours is wrong.
    #[error("database refused a statement")]
    Internal(#[source] Source),
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The account's quota.
    Account,
    /// What the host may promise.
    Host,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Amount {
    /// Workspaces.
    Workspaces,
    /// Virtual CPUs.
    Vcpus,
    /// Memory in MiB.
    MemoryMib,
    /// Disk in MiB.
    DiskMib,
    /// Virtual CPUs of one workspace.
    WorkspaceVcpus,
    /// Memory of one workspace in MiB.
    WorkspaceMemoryMib,
    /// Disk of one workspace in MiB.
    WorkspaceDiskMib,
    /// SSH keys.
    SshKeys,
    /// API keys.
    ApiKeys,
    /// Setup scripts.
    SetupScripts,
    /// Service specs.
    ServiceSpecs,
    /// Roles that were given on one thing.
    BindingsOfResource,
    /// Roles that were given to one account on what one other owns.
    BindingsOfPrincipal,
    /// Roles that were given to one account by all others.
    BindingsOfPrincipalInAll,
    /// Apps of one workspace.
    AppsOfWorkspace,
    /// Names of apps that are gone.
    KeptNames,
    /// Share links of one app.
    ShareLinks,
    /// Log sources of one app.
    LogSources,
}

/// A limit that what was asked for does not fit into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} of the {scope}: {asked} more than {used} is over {limit}")]
pub struct Over {
    /// Whose limit.
    pub scope: Scope,
    /// Of what.
    pub what: Amount,
    /// The limit.
    pub limit: u64,
    /// What is in use or promised already.
    pub used: u64,
    /// What was asked for on top.
    pub asked: u64,
    /// The account's plan, where the limit is the account's.
    pub plan: Option<PlanName>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Host => "host",
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workspaces => "workspaces",
            Self::Vcpus => "vcpus",
            Self::MemoryMib => "memory_mib",
            Self::DiskMib => "disk_mib",
            Self::WorkspaceVcpus => "workspace_vcpus",
            Self::WorkspaceMemoryMib => "workspace_memory_mib",
            Self::WorkspaceDiskMib => "workspace_disk_mib",
            Self::SshKeys => "ssh_keys",
            Self::ApiKeys => "api_keys",
            Self::SetupScripts => "setup_scripts",
            Self::ServiceSpecs => "service_specs",
            Self::BindingsOfResource => "bindings_of_resource",
            Self::BindingsOfPrincipal => "bindings_of_principal",
            Self::BindingsOfPrincipalInAll => "bindings_of_principal_in_all",
            Self::AppsOfWorkspace => "apps_of_workspace",
            Self::KeptNames => "kept_names",
            Self::ShareLinks => "share_links",
            Self::LogSources => "log_sources",
        })
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file could not be made.
    #[error("make database file {path}")]
    File {
        /// Where.
        path: camino::Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database does not answer.
    #[error("open database {url}")]
    Connect {
        /// Which, without password.
        url: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The schema comes from a newer program.
    #[error(
        "database {url} was made by a newer version of Rigbox: it has the schema change \
         {migration}, which this version ({version}) does not know; install that version again"
    )]
    Newer {
        /// Which, without password.
        url: String,
        /// The first schema change that is not known.
        migration: String,
        /// Version of this program.
        version: &'static str,
    },
    /// A schema change failed. The ones before it are done and stay.
    #[error("schema change {migration} of database {url}")]
    Migrate {
        /// Which, without password.
        url: String,
        /// Its file name.
        migration: &'static str,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match kind(database.as_ref()) {
                Kind::DiskFull => Self::DiskFull(error.into()),
                Kind::Unavailable => Self::Unavailable(error.into()),
                Kind::Corrupt => {
                    Self::Corrupt { what: "the database".to_owned(), source: error.into() }
                }
                Kind::Other => Self::Internal(error.into()),
            },
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => {
                Self::DiskFull(error.into())
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.into()),
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::Corrupt { what: format!("column {index}"), source: error.into() }
            }
            _ => Self::Internal(error.into()),
        }
    }
}

impl StoreError {
    /// Turns a broken unique constraint into a conflict about `what`.
    pub(crate) fn or_conflict(
        error: sqlx::Error,
        what: &'static str,
        id: &dyn fmt::Display,
    ) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => {
                Self::Conflict { what, id: id.to_string() }
            }
            _ => error.into(),
        }
    }

    pub(crate) fn not_found(what: &'static str, id: &dyn fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    /// Whether another row refers to something that is not there.
    pub(crate) fn is_foreign_key(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Database(database) if database.is_foreign_key_violation())
    }
}

enum Kind {
    DiskFull,
    Unavailable,
    Corrupt,
    Other,
}

/// Sorts by the codes of both engines: SQLite's are numbers (the low byte is the kind), those of
/// PostgreSQL have five characters.
fn kind(error: &dyn DatabaseError) -> Kind {
    let code = error.code().unwrap_or(Cow::Borrowed(""));
    if code.len() == 5 {
        return match (code.as_ref(), code.get(..2).unwrap_or_default()) {
            ("53100", _) => Kind::DiskFull,
            // Damaged data or index.
            ("XX001" | "XX002", _) => Kind::Corrupt,
            // Lost connection; out of resources; shutting down; serialisation, deadlock; cancelled
            // or lock not had in time.
            (_, "08" | "53" | "57" | "40") | ("55P03", _) => Kind::Unavailable,
            _ => Kind::Other,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // SQLITE_FULL
        Ok(13) => Kind::DiskFull,
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Ok(11 | 26) => Kind::Corrupt,
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_READONLY, SQLITE_INTERRUPT, SQLITE_IOERR,
        // SQLITE_CANTOPEN, SQLITE_PROTOCOL
        Ok(5 | 6 | 8 | 9 | 10 | 14 | 15) => Kind::Unavailable,
        _ => Kind::Other,
    }
}
