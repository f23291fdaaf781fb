//! What a change of something else means for apps: of their workspace, and of their owner's account.
//! Invariants: called in transactions that hold the counter; each app that an edge has to be told of
//! gets a revision of its own.

use rigbox_types::{AccountId, AppId, Revision, WorkspaceId};

use super::{AppRow, forget_access, names, row, touch};
use crate::{
    StoreError,
    feed::Wake,
    row::{Columns, count},
    tx::Tx,
};

const IDS_OF_WORKSPACE: &str = "SELECT id FROM apps WHERE workspace_id = $1 ORDER BY id";

const IDS_OF_ACCOUNT: &str = "SELECT id FROM apps WHERE account_id = $1 ORDER BY id";

const ALL_OF_WORKSPACE: &str =
    concat!("SELECT ", row::columns!(), " WHERE a.workspace_id = $1 ORDER BY a.id");

const DELETE: &str = "DELETE FROM apps WHERE id = $1";

const REMOVAL: &str = "INSERT INTO app_removals (revision, app_id, removed_at) VALUES ($1, $2, $3)";

/// The apps of a workspace are served otherwise than before.
pub(crate) async fn workspace_changed(
    tx: &mut Tx<'_>,
    workspace: &WorkspaceId,
) -> Result<(), StoreError> {
    touch_all(tx, IDS_OF_WORKSPACE, workspace.as_str()).await
}

/// The owner of apps was disabled, or is not any longer.
pub(crate) async fn account_changed(tx: &mut Tx<'_>, account: AccountId) -> Result<(), StoreError> {
    touch_all(tx, IDS_OF_ACCOUNT, &account.to_string()).await
}

/// A workspace is about to go, and its apps with it.
pub(crate) async fn workspace_gone(
    tx: &mut Tx<'_>,
    workspace: &WorkspaceId,
    now: i64,
) -> Result<(), StoreError> {
    let rows = sqlx::query(ALL_OF_WORKSPACE).bind(workspace.as_str()).fetch_all(tx.on()).await?;
    for row in &rows {
        let revision = tx.revision().await?;
        remove(tx, &row::read(row)?, (revision, now)).await?;
    }
    Ok(())
}

/// Takes one app away with all that is kept by its id.
pub(super) async fn remove(
    tx: &mut Tx<'_>,
    app: &AppRow,
    (revision, now): (Revision, i64),
) -> Result<(), StoreError> {
    sqlx::query(DELETE).bind(app.id.as_str()).execute(tx.on()).await?;
    sqlx::query(REMOVAL)
        .bind(count(revision.0))
        .bind(app.id.as_str())
        .bind(now)
        .execute(tx.on())
        .await?;
    forget_access(tx, &app.id).await?;
    names::keep(tx, app.account, app.published.name.as_str(), now).await?;
    if let Some(domain) = app.published.verified() {
        names::keep(tx, app.account, domain, now).await?;
    }
    tx.wake(Wake::App(app.id.clone()));
    Ok(())
}

/// Gives up the names whose time is over.
pub(crate) async fn forget(tx: &mut Tx<'_>, now: i64) -> Result<(), StoreError> {
    names::forget(tx, now).await
}

async fn touch_all(tx: &mut Tx<'_>, text: &'static str, key: &str) -> Result<(), StoreError> {
    let rows = sqlx::query(text).bind(key.to_owned()).fetch_all(tx.on()).await?;
    for row in &rows {
        let id: AppId = Columns::of("apps", row).parsed("id")?;
        touch(tx, &id).await?;
    }
    Ok(())
}
