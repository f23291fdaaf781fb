//! Who calls, with whose key and at whose expense: asked of the database for each call, so that a switch
//! counts from the next one on.
//! Invariants: the caller is the workspace whose network namespace the host's relay listens in, and only
//! the host that has a workspace speaks for it; nothing of the request says who it is.

use std::sync::Arc;

use http::StatusCode;
use rigbox_ai::{prices::ProviderName, vault::Vault};
use rigbox_store::{
    Store, StoreError,
    ai::{AiCaller, AiKeyPlace},
};
use rigbox_types::{
    HostId, WorkspaceId,
    api::ai::{AiMode, AiProvider},
};
use secrecy::SecretString;

use crate::{provider::Provider, refusal::Refusal};

/// Finds out who calls.
pub(crate) async fn identify(
    store: &Store,
    host: &str,
    workspace: &str,
) -> Result<Arc<AiCaller>, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such workspace");
    let id: WorkspaceId = workspace.parse().map_err(|_| missing())?;
    let host: HostId = host.parse().map_err(|_| missing())?;
    let caller = match store.ai().caller(&id).await {
        Ok(caller) => caller,
        Err(StoreError::NotFound { .. }) => return Err(missing()),
        Err(error) => return Err(Refusal::internal("who calls", &error)),
    };
    if caller.host != host {
        tracing::warn!(%host, workspace = %id, "a host spoke for a workspace that it does not have");
        return Err(missing());
    }
    if caller.account_disabled {
        let message = "the account of this workspace is disabled";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    if !caller.enabled {
        let message = "AI is off for this workspace; switch it on with `rig proxy on`, here or, where \
             its owner has switched it off, outside";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "proxy_off", message));
    }
    Ok(caller)
}

/// The key that a call is made with.
pub(crate) fn key(
    caller: &AiCaller,
    vault: &Vault,
    provider: &Provider,
) -> Result<SecretString, Refusal> {
    match caller.mode {
        AiMode::Managed => managed(provider),
        AiMode::Byok => own(caller, vault, &provider.name),
    }
}

/// Whether the platform calls a provider with a key of its own, where it is to pay.
pub(crate) fn check_offered(caller: &AiCaller, provider: &Provider) -> Result<(), Refusal> {
    match caller.mode {
        AiMode::Managed => managed(provider).map(drop),
        AiMode::Byok => Ok(()),
    }
}

fn managed(provider: &Provider) -> Result<SecretString, Refusal> {
    if provider.scheme == rigbox_ai::route::headers::Scheme::Open {
        return Ok(SecretString::default());
    }
    provider.key.clone().ok_or_else(|| {
        let name = &provider.name;
        let message = format!(
            "the platform has no key for {name}; its operator can add one (ai.providers.{name}.key_file), \
             or use a key of your own (`rig ai key set`)"
        );
        Refusal::new(StatusCode::NOT_FOUND, "provider_not_configured", message)
    })
}

fn own(caller: &AiCaller, vault: &Vault, name: &ProviderName) -> Result<SecretString, Refusal> {
    let missing = || {
        let message = format!(
            "this workspace uses keys of its owner (mode byok), and there is none for {name}; set it \
             with `rig ai key set`, or use the platform's with `rig ai mode managed`"
        );
        Refusal::new(StatusCode::FORBIDDEN, "missing_key", message)
    };
    let provider = AiProvider::of_word(name.as_str());
    let provider = provider.ok_or_else(missing)?;
    let key = caller.key(provider).ok_or_else(missing)?;
    let workspace = key.of_workspace.then(|| caller.workspace.clone());
    let place = AiKeyPlace { account: caller.account, workspace };
    let opened = vault.unseal(&place, provider, &key.sealed);
    opened.map_err(|error| Refusal::internal("an owner's key", &error))
}
