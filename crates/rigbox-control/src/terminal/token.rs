//! Terminal tokens: for clients that cannot send a header with a WebSocket, which browsers cannot.
//! Owns the tokens that were handed out. Invariant: a token opens one terminal of one workspace,
//! once, within [`TERMINAL_TOKEN_S`], while its key is there; only its hash is kept; the number of open ones is bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rigbox_types::{
    AccountId, Authorised, Credential, Principal, WorkspaceId, limits::TERMINAL_TOKEN_S,
};
use sha2::{Digest as _, Sha256};

use crate::{
    error::{ApiError, ApiResult},
    source::random,
};

/// Most tokens that are open at once.
const MAX_OPEN: usize = 4_096;
const LIFE: Duration = Duration::from_secs(TERMINAL_TOKEN_S as u64);

struct Open {
    since: Instant,
    workspace: WorkspaceId,
    principal: Principal,
}

/// The open tokens.
pub(crate) struct TerminalTokens {
    // The hash of 256 random bits is looked up, so a time that depends on it tells nothing.
    open: Mutex<HashMap<[u8; 32], Open>>,
}

impl TerminalTokens {
    pub(crate) fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    /// Makes a token for a caller that was authorised.
    pub(crate) fn make(
        &self,
        workspace: &Authorised<WorkspaceId>,
        principal: Principal,
    ) -> ApiResult<String> {
        let token = URL_SAFE_NO_PAD.encode(random::<32>().map_err(ApiError::internal)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.retain(|_, entry| entry.since.elapsed() < LIFE);
        }
        if open.len() >= MAX_OPEN {
            return Err(ApiError::unavailable("too many terminals are being opened", 5));
        }
        let entry =
            Open { since: Instant::now(), workspace: workspace.target().clone(), principal };
        open.insert(hash(&token), entry);
        Ok(token)
    }

    /// Takes a token: it is worth nothing afterwards, even where it was for another workspace.
    pub(crate) fn take(&self, token: &str, workspace: &WorkspaceId) -> Option<Principal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = open.remove(&hash(token))?;
        let good = entry.workspace == *workspace && entry.since.elapsed() < LIFE;
        good.then_some(entry.principal)
    }

    /// Ends the tokens that were made with a credential; all of them where none is named.
    pub(crate) fn forget(&self, gone: Option<Credential>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, entry| match &entry.principal {
            Principal::Key { credential, .. } => gone.is_some_and(|gone| gone != *credential),
            Principal::Guest { .. } => true,
        });
    }

    /// Ends the tokens of an account.
    pub(crate) fn forget_account(&self, account: AccountId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, entry| {
            let (Principal::Key { account: owner, .. } | Principal::Guest { account: owner, .. }) =
                &entry.principal;
            *owner != account
        });
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use rigbox_types::{
        ApiKeyId, KeyScopes, Right,
        authz::{Resource, Standing, authorise},
    };

    use super::*;

    #[test]
    fn a_token_opens_its_own_workspace_once() {
        let tokens = TerminalTokens::new();
        let (mine, other) = (WorkspaceId::from_random([1; 8]), WorkspaceId::from_random([2; 8]));
        let account = AccountId::from_random([1; 16]);
        let principal = Principal::Key {
            credential: Credential::Key(ApiKeyId::from_random([1; 16])),
            account,
            standing: Standing::User,
            scopes: KeyScopes::full(),
        };
        let resource = Resource::Workspace { id: mine.clone(), owner: account };
        let proof = authorise(&principal, Right::WorkspaceEnter, &resource, mine.clone()).unwrap();

        let token = tokens.make(&proof, principal.clone()).unwrap();
        assert_eq!(tokens.take(&token, &mine), Some(principal.clone()));
        assert_eq!(tokens.take(&token, &mine), None);

        let token = tokens.make(&proof, principal.clone()).unwrap();
        assert_eq!(tokens.take(&token, &other), None);
        assert_eq!(tokens.take(&token, &mine), None);
        assert_eq!(tokens.take("", &mine), None);

        let token = tokens.make(&proof, principal.clone()).unwrap();
        tokens.forget(Some(Credential::Key(ApiKeyId::from_random([2; 16]))));
        let again = tokens.make(&proof, principal.clone()).unwrap();
        assert_eq!(tokens.take(&token, &mine), Some(principal));
        tokens.forget(Some(Credential::Key(ApiKeyId::from_random([1; 16]))));
        assert_eq!(tokens.take(&again, &mine), None);
    }
}
