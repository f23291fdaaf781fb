//! Workspaces that something of their account reaches into: a setup script, a service spec, the SSH
//! keys, what was decided about AI. When it changes or goes, what their guests are told changes too, so they get a new
//! generation in the same transaction.

use rigbox_types::{AccountId, ServiceSpecId, SetupScriptId, Timestamp, WorkspaceId};

use super::{WorkspaceRow, change, row};
use crate::{StoreError, tx::Tx};

/// The list is a JSON array of ids; an id is too random to be part of anything else.
const WITH_SCRIPT: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE account_id = $1 AND setup_scripts LIKE $2 ORDER BY id"
);

const WITH_SPEC: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE account_id = $1 AND service_specs LIKE $2 ORDER BY id"
);

/// All of the account, those that are to be deleted too: one more generation does no harm.
const OF_ACCOUNT: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE account_id = $1 AND id LIKE $2 ORDER BY id"
);

/// What is attached.
#[derive(Debug, Clone)]
pub(crate) enum Attachment {
    Script(SetupScriptId),
    Spec(ServiceSpecId),
    /// What every workspace of the account has.
    All,
    /// What one workspace has.
    Workspace(WorkspaceId),
}

/// Whether the thing itself stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Changed,
    Removed,
}

/// Gives every workspace with `attachment` a new generation, without it where it was removed. The
/// transaction must not have locked any other row before.
pub(crate) async fn touch_attached(
    tx: &mut Tx<'_>,
    account: AccountId,
    (attachment, fate): (Attachment, Fate),
    now: Timestamp,
) -> Result<(), StoreError> {
    // Before the rows are read, so that nobody changes them meanwhile.
    let mut revision = tx.revision().await?;
    let (text, pattern) = match &attachment {
        Attachment::Script(id) => (WITH_SCRIPT, format!("%{id}%")),
        Attachment::Spec(id) => (WITH_SPEC, format!("%{id}%")),
        Attachment::All => (OF_ACCOUNT, "%".to_owned()),
        // No letter, digit or hyphen of an id is a wildcard.
        Attachment::Workspace(id) => (OF_ACCOUNT, id.to_string()),
    };
    let rows = sqlx::query(text).bind(account.to_string()).bind(pattern).fetch_all(tx.on()).await?;
    for found in &rows {
        let mut row = row::read(found)?;
        if fate == Fate::Removed {
            detach(&mut row, &attachment);
        }
        change::renew(&mut row, revision, now);
        change::write(tx, &row).await?;
        revision = tx.revision().await?;
    }
    Ok(())
}

fn detach(row: &mut WorkspaceRow, attachment: &Attachment) {
    match attachment {
        Attachment::Script(id) => row.wanted.setup_scripts.retain(|attached| attached != id),
        Attachment::Spec(id) => row.wanted.service_specs.retain(|attached| attached != id),
        Attachment::All | Attachment::Workspace(_) => {}
    }
}
