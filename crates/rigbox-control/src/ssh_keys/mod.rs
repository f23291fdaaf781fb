//! Public SSH keys of an account, which open all its workspaces. They reach guests as part of the
//! assignment, like everything that a guest is told.

pub(crate) mod http;
mod key;

use rigbox_store::StoreError;
use rigbox_types::AccountId;

use crate::control::Control;

/// The account's keys as lines of an `authorized_keys` file.
pub(crate) async fn authorized_keys(
    control: &Control,
    account: AccountId,
) -> Result<Vec<String>, StoreError> {
    let rows = control.store.ssh_keys().of_account(account).await?;
    Ok(rows.into_iter().map(|row| row.key.public_key).collect())
}
