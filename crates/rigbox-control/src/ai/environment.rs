//! The environment that leads programs of a workspace to AI.

use rigbox_store::{StoreError, ai::AiSettings, workspaces::WorkspaceRow};
use rigbox_types::{api::ai::AiInject, guest::ai};
use secrecy::ExposeSecret as _;
use std::collections::BTreeMap;

use super::app::keys_for;
use crate::{control::Control, error::ApiResult};

/// What is written into the guest; none where AI is off.
pub(crate) async fn written(
    control: &Control,
    row: &WorkspaceRow,
) -> Result<Option<BTreeMap<String, String>>, StoreError> {
    let settings = match control.store.ai().workspace(&row.id).await {
        // Gone since its row was read.
        Err(StoreError::NotFound { .. }) => return Ok(None),
        read => read?.settings,
    };
    if !settings.enabled().0 {
        return Ok(None);
    }
    match of(control, row, &settings).await {
        Ok(env) => Ok(Some(env)),
        Err(error) => {
            // A key that cannot be read must not keep the workspace from all the rest.
            error.log();
            Ok(None)
        }
    }
}

/// What programs need, whether AI is on or not.
pub(super) async fn of(
    control: &Control,
    row: &WorkspaceRow,
    settings: &AiSettings,
) -> ApiResult<BTreeMap<String, String>> {
    match settings.inject() {
        AiInject::Proxy => Ok(ai::through_gateway()),
        // The owner wants the keys in there; nobody else can have decided that.
        AiInject::Env => {
            let mut keys = Vec::new();
            for key in keys_for(control, row).await? {
                let opened = control.vault.unseal(&key.place, key.provider, &key.sealed);
                let opened = opened.map_err(super::app::refused)?;
                keys.push((key.provider, opened.expose_secret().to_owned()));
            }
            Ok(ai::with_keys(keys))
        }
    }
}
