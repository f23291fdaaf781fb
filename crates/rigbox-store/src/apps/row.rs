//! One app as it is kept, with what it takes from its workspace.

use rigbox_types::{
    AccountId, AppId, AppName, Desired, Email, Generation, HostId, Observed, Revision, Status,
    Timestamp, WorkspaceId,
    api::apps::{AppKind, AppProtocol},
    edge::Visibility,
    state::{self, Freshness},
};
use serde_json::Value;
use sqlx::any::AnyRow;

use crate::{StoreError, row::Columns};

/// The columns, and from where.
macro_rules! columns {
    () => {
        "a.id, a.account_id, a.workspace_id, a.name, a.kind, a.port, a.protocol, a.active, \
         a.visibility, a.allowed_emails, a.custom_domain, a.verified_domain, a.description, \
         a.metadata, a.created_at, a.updated_at, a.revision, w.host_id, w.desired, w.observed, \
         w.observed_generation, w.restart_generation, w.retry_generation, h.address, p.disabled_at \
         FROM apps a JOIN workspaces w ON w.id = a.workspace_id \
         LEFT JOIN hosts h ON h.id = w.host_id LEFT JOIN profiles p ON p.account_id = a.account_id"
    };
}
pub(crate) use columns;

/// An app to be made.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its id, random.
    pub id: AppId,
    /// The workspace that answers.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: AppName,
    /// What it is.
    pub kind: AppKind,
    /// The port in the workspace; 0 for a `cli`.
    pub port: u16,
    /// What is spoken there.
    pub protocol: AppProtocol,
    /// For people.
    pub description: Option<String>,
    /// What a program keeps with it.
    pub metadata: Value,
}

/// One app.
#[derive(Debug, Clone, PartialEq)]
pub struct AppRow {
    /// Its id.
    pub id: AppId,
    /// Who owns its workspace.
    pub account: AccountId,
    /// The workspace that answers.
    pub workspace: WorkspaceId,
    /// What it is.
    pub kind: AppKind,
    /// What is spoken on its port.
    pub protocol: AppProtocol,
    /// What an edit may change.
    pub published: Published,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Position of its last change, or of its workspace's, in the stream.
    pub revision: Revision,
    /// The host that has the workspace.
    pub host: HostId,
    /// Where that host's fabric listener is, where it has registered.
    pub address: Option<String>,
    /// What the workspace is doing.
    pub status: Status,
    /// Grows with each request about the life of the workspace, and so with each boot.
    pub generation: Generation,
    /// Whether the owner's account is disabled.
    pub owner_disabled: bool,
}

/// What is published of an app, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its name.
    pub name: AppName,
    /// The port in the workspace; 0 for a `cli`.
    pub port: u16,
    /// Whether requests may pass.
    pub active: bool,
    /// Who may visit it.
    pub visibility: Visibility,
    /// Whom it is shown to where it is privileged.
    pub allowed_emails: Vec<Email>,
    /// A host name of its owner's.
    pub custom_domain: Option<String>,
    /// Whether that was found to lead here.
    pub domain_verified: bool,
    /// For people.
    pub description: Option<String>,
    /// What a program keeps with it.
    pub metadata: Value,
}

impl Published {
    /// The custom domain, where it is verified.
    #[must_use]
    pub fn verified(&self) -> Option<&str> {
        self.custom_domain.as_deref().filter(|_| self.domain_verified)
    }
}

/// Reads a row selected with [`columns`].
pub(crate) fn read(row: &AnyRow) -> Result<AppRow, StoreError> {
    let columns = Columns::of("apps", row);
    let desired: Desired = columns.word("desired")?;
    let observed: Observed = columns.word("observed")?;
    let restart = columns.number("restart_generation").map(Generation)?;
    let retry = columns.number("retry_generation").map(Generation)?;
    let seen = columns.number("observed_generation").map(Generation)?;
    let generation = restart.max(retry);
    let freshness = if seen >= generation { Freshness::Current } else { Freshness::Behind };
    Ok(AppRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        workspace: columns.parsed("workspace_id")?,
        kind: columns.word("kind")?,
        protocol: columns.word("protocol")?,
        published: Published {
            name: columns.parsed("name")?,
            port: columns.number("port")?,
            active: columns.flag("active")?,
            visibility: columns.word("visibility")?,
            allowed_emails: columns.json("allowed_emails")?,
            custom_domain: columns.raw("custom_domain")?,
            domain_verified: columns.raw::<Option<String>>("verified_domain")?.is_some(),
            description: columns.raw("description")?,
            metadata: columns.json("metadata")?,
        },
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
        revision: columns.number("revision").map(Revision)?,
        host: columns.parsed("host_id")?,
        address: columns.raw("address")?,
        status: state::status(desired, observed, freshness),
        generation,
        owner_disabled: columns.moment_optional("disabled_at")?.is_some(),
    })
}
