//! The control zone's part of a backup: its database as a stream, and a word in the audit record.
//! Reads and loads the database past a control that may run or not. Does not know what else is in a
//! backup, nor where it goes.

use std::{io, sync::Arc};

use camino::Utf8Path;
use rigbox_store::{Store, StoreUrl, SystemClock, audit::NewEntry, transfer};
use rigbox_types::api::audit::AuditStage;

use crate::audit::{AuditError, chain_key_kept};

pub use rigbox_store::transfer::{Exported, Imported, TransferError, WorkspaceThen};

/// Writes one moment of the database.
///
/// # Errors
/// As [`TransferError`].
pub async fn export(
    store: &StoreUrl,
    out: &mut (dyn io::Write + Send),
) -> Result<Exported, TransferError> {
    let store = Store::open(store, Arc::new(SystemClock)).await?;
    let exported = store.export(out).await;
    store.close().await;
    exported
}

/// Loads it into a database that nobody has used.
///
/// # Errors
/// As [`TransferError`].
pub async fn import(
    store: &StoreUrl,
    input: &mut (dyn io::BufRead + Send),
) -> Result<Imported, TransferError> {
    transfer::import(store, input, Arc::new(SystemClock)).await
}

/// What an operator did to the platform as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Everything, secrets too, was copied to another place.
    Backup,
    /// Everything came from a backup; what happened after it is gone.
    Restore,
}

/// Writes it into the audit record. `target` is where to, or where from.
///
/// # Errors
/// As [`AuditError`]; [`AuditError::NoKey`] where the platform never ran.
pub async fn audit(
    store: &StoreUrl,
    secrets: &Utf8Path,
    (deed, target): (Deed, &str),
) -> Result<(), AuditError> {
    let key = chain_key_kept(secrets)?;
    let action = match deed {
        Deed::Backup => "platform_backup",
        Deed::Restore => "platform_restore",
    };
    let entry = NewEntry {
        stage: AuditStage::Completed,
        request_id: String::new(),
        action: action.to_owned(),
        account: None,
        actor: "root".to_owned(),
        address: None,
        target: target.to_owned(),
        status: None,
        code: None,
    };
    let store = Store::open(store, Arc::new(SystemClock)).await?;
    let written = store.audit().append(&[entry], &key).await;
    store.close().await;
    written?;
    Ok(())
}
