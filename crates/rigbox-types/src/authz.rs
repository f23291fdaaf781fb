//! The one authorisation function. A right is a value that only this module can make.
//! Invariants: deny by default; pure: callers bring the facts; a key never may more than its account,
//! and only one that is narrowed to nothing may change the account, which is where keys are made: no
//! key makes one that may more than itself.
//! Does not authenticate (see the control plane's `authn`) and looks nothing up.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ApiKeyId, KeyScope, KeyScopes, SessionId, WorkspaceId};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A program or person with an account's API key or session.
    Key {
        /// What was shown.
        credential: Credential,
        /// Whose it is.
        account: AccountId,
        /// What the account may do on the platform.
        standing: Standing,
        /// What the credential is narrowed to; a session never is.
        scopes: KeyScopes,
    },
    /// Code inside a workspace, known by its network namespace.
    Guest {
        /// The workspace it runs in.
        workspace: WorkspaceId,
        /// Who owns that workspace.
        account: AccountId,
    },
}

/// What an account is known by. What is shown here is the id, never the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key.
    Key(ApiKeyId),
    /// A session of somebody who signed in.
    Session(SessionId),
}

/// What an account is on the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Whoever installed the platform.
    Operator,
    /// Everyone else.
    User,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Session(id) => write!(f, "session:{id}"),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Nothing that needs an identity.
    Public,
    /// See one's own account: limits, regions, settings.
    AccountRead,
    /// Change one's own account's things: keys, scripts, specs; create workspaces.
    AccountWrite,
    /// See a workspace.
    WorkspaceRead,
    /// Start, stop, resize, delete a workspace.
    WorkspaceWrite,
    /// Run code in a workspace and touch its files.
    WorkspaceEnter,
    /// See the workspace one runs in, from inside.
    GuestRead,
    /// Make, see and change accounts and their plans.
    Administer,
}

/// What the facts about the thing asked for are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Something without an owner.
    Public,
    /// An account itself.
    Account(AccountId),
    /// A workspace and who owns it.
    Workspace {
        /// The workspace.
        id: WorkspaceId,
        /// Its owner.
        owner: AccountId,
    },
    /// The platform with all its accounts.
    Platform,
}

/// Proof that `authorise` said yes to something about `T`. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised<T> {
    target: T,
    right: Right,
}

impl<T> Authorised<T> {
    /// What may be touched.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// What may be done with it.
    pub fn right(&self) -> Right {
        self.right
    }

    /// Gives the proof up for what it is about.
    pub fn into_target(self) -> T {
        self.target
    }
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The caller may not even know that the thing exists: answer as if it did not.
    #[error("not found")]
    Unknown,
    /// The caller may see it, but not do this.
    #[error("not allowed")]
    Forbidden,
}

/// Decides whether `who` may do `right` to `resource`, and hands out `target` as proof.
///
/// # Errors
/// [`Denied::Unknown`] where the caller may not know of the resource, else [`Denied::Forbidden`].
pub fn authorise<T>(
    who: &Principal,
    right: Right,
    resource: &Resource,
    target: T,
) -> Result<Authorised<T>, Denied> {
    let granted = Authorised { target, right };
    match (who, resource) {
        (_, Resource::Public) if right == Right::Public => Ok(granted),
        (_, Resource::Public) => Err(Denied::Forbidden),
        // That there are accounts is no secret, so nobody is told that there are none.
        (Principal::Key { standing: Standing::Operator, scopes, .. }, Resource::Platform)
            if right == Right::Administer && scopes.is_full() =>
        {
            Ok(granted)
        }
        (_, Resource::Platform) => Err(Denied::Forbidden),
        // A key acts for its account, and an operator for every account.
        (Principal::Key { account, standing, scopes, .. }, Resource::Account(owner)) => {
            if account != owner && *standing != Standing::Operator {
                return Err(Denied::Unknown);
            }
            let allows = |scope| scope_on_account(scope, right);
            // That there is an account says the key itself.
            if scopes.iter().any(allows) { Ok(granted) } else { Err(Denied::Forbidden) }
        }
        (Principal::Key { account, standing, scopes, .. }, Resource::Workspace { id, owner }) => {
            if account != owner && *standing != Standing::Operator {
                return Err(Denied::Unknown);
            }
            let allows = |right| scopes.iter().any(|scope| scope_on_workspace(scope, right, id));
            if allows(right) {
                Ok(granted)
            } else if allows(Right::WorkspaceRead) {
                Err(Denied::Forbidden)
            } else {
                Err(Denied::Unknown)
            }
        }
        // Code in a workspace sees that workspace and nothing else.
        (Principal::Guest { workspace, .. }, Resource::Workspace { id, .. }) => {
            if workspace != id {
                return Err(Denied::Unknown);
            }
            if right == Right::GuestRead { Ok(granted) } else { Err(Denied::Forbidden) }
        }
        (Principal::Guest { .. }, Resource::Account(_)) => Err(Denied::Unknown),
    }
}

/// Whether a key with this scope may do `right` to its account.
fn scope_on_account(scope: &KeyScope, right: Right) -> bool {
    match scope {
        KeyScope::Full => matches!(right, Right::AccountRead | Right::AccountWrite),
        KeyScope::Read => right == Right::AccountRead,
        // An account has the names of all its workspaces, and scripts and keys that reach them.
        KeyScope::Workspace(_) | KeyScope::App(_) => false,
    }
}

/// Whether a key with this scope may do `right` to a workspace that its account may.
fn scope_on_workspace(scope: &KeyScope, right: Right, id: &WorkspaceId) -> bool {
    let any = matches!(right, Right::WorkspaceRead | Right::WorkspaceWrite | Right::WorkspaceEnter);
    match scope {
        KeyScope::Full => any,
        KeyScope::Read => right == Right::WorkspaceRead,
        KeyScope::Workspace(own) => any && own == id,
        KeyScope::App(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u8) -> AccountId {
        AccountId::from_random([n; 16])
    }

    fn key(n: u8, standing: Standing) -> Principal {
        let scopes = KeyScopes::full();
        Principal::Key {
            credential: Credential::Key(ApiKeyId::from_random([n; 16])),
            account: account(n),
            standing,
            scopes,
        }
    }

    /// A user's key with these scopes.
    fn narrow(n: u8, words: &[&str]) -> Principal {
        let scopes: Vec<KeyScope> = words.iter().map(|word| word.parse().unwrap()).collect();
        let scopes = scopes.try_into().unwrap();
        let credential = Credential::Key(ApiKeyId::from_random([n; 16]));
        Principal::Key { credential, account: account(n), standing: Standing::User, scopes }
    }

    fn workspace(n: u8, owner: u8) -> Resource {
        Resource::Workspace { id: WorkspaceId::from_random([n; 8]), owner: account(owner) }
    }

    fn check(who: &Principal, right: Right, resource: &Resource, expected: Result<(), Denied>) {
        assert_eq!(authorise(who, right, resource, ()).map(|_| ()), expected, "{who:?} {right:?}");
    }

    #[test]
    fn a_user_enters_only_its_own_workspace() {
        let user = key(1, Standing::User);
        check(&user, Right::WorkspaceEnter, &workspace(9, 1), Ok(()));
        check(&user, Right::WorkspaceEnter, &workspace(9, 2), Err(Denied::Unknown));
        check(&user, Right::WorkspaceRead, &workspace(9, 2), Err(Denied::Unknown));
    }

    #[test]
    fn only_the_operator_manages_accounts() {
        let (operator, user) = (key(1, Standing::Operator), key(2, Standing::User));
        check(&operator, Right::Administer, &Resource::Platform, Ok(()));
        check(&operator, Right::AccountWrite, &Resource::Platform, Err(Denied::Forbidden));
        // A narrowed key of the operator manages nobody.
        for scope in ["read", "workspace:ws-abcdefgh"] {
            let mut narrowed = narrow(1, &[scope]);
            if let Principal::Key { standing, .. } = &mut narrowed {
                *standing = Standing::Operator;
            }
            check(&narrowed, Right::Administer, &Resource::Platform, Err(Denied::Forbidden));
        }
        check(&user, Right::Administer, &Resource::Platform, Err(Denied::Forbidden));
        let own = Resource::Account(account(2));
        check(&user, Right::Administer, &own, Err(Denied::Forbidden));
        let guest =
            Principal::Guest { workspace: WorkspaceId::from_random([9; 8]), account: account(1) };
        check(&guest, Right::Administer, &Resource::Platform, Err(Denied::Forbidden));
    }

    #[test]
    fn code_in_a_workspace_sees_that_workspace_and_changes_nothing() {
        let guest =
            Principal::Guest { workspace: WorkspaceId::from_random([9; 8]), account: account(1) };
        check(&guest, Right::GuestRead, &workspace(9, 1), Ok(()));
        check(&guest, Right::WorkspaceWrite, &workspace(9, 1), Err(Denied::Forbidden));
        check(&guest, Right::GuestRead, &workspace(8, 1), Err(Denied::Unknown));
        check(&guest, Right::AccountRead, &Resource::Account(account(1)), Err(Denied::Unknown));
    }

    #[test]
    fn a_key_that_reads_changes_nothing() {
        let key = narrow(1, &["read"]);
        let own = Resource::Account(account(1));
        check(&key, Right::AccountRead, &own, Ok(()));
        check(&key, Right::AccountWrite, &own, Err(Denied::Forbidden));
        check(&key, Right::WorkspaceRead, &workspace(9, 1), Ok(()));
        for right in [Right::WorkspaceWrite, Right::WorkspaceEnter, Right::GuestRead] {
            check(&key, right, &workspace(9, 1), Err(Denied::Forbidden));
        }
        check(&key, Right::WorkspaceRead, &workspace(9, 2), Err(Denied::Unknown));
        check(&key, Right::AccountRead, &Resource::Account(account(2)), Err(Denied::Unknown));
    }

    #[test]
    fn a_key_of_a_workspace_knows_of_nothing_else() {
        let id = WorkspaceId::from_random([9; 8]);
        let key = narrow(1, &[&format!("workspace:{id}")]);
        for right in [Right::WorkspaceRead, Right::WorkspaceWrite, Right::WorkspaceEnter] {
            check(&key, right, &workspace(9, 1), Ok(()));
            check(&key, right, &workspace(8, 1), Err(Denied::Unknown));
            // A scope gives nothing that the account does not have.
            check(&key, right, &workspace(9, 2), Err(Denied::Unknown));
        }
        for right in [Right::AccountRead, Right::AccountWrite] {
            check(&key, right, &Resource::Account(account(1)), Err(Denied::Forbidden));
        }
    }

    #[test]
    fn scopes_add_up() {
        let id = WorkspaceId::from_random([9; 8]);
        let key = narrow(1, &["read", &format!("workspace:{id}")]);
        check(&key, Right::WorkspaceEnter, &workspace(9, 1), Ok(()));
        check(&key, Right::WorkspaceRead, &workspace(8, 1), Ok(()));
        check(&key, Right::WorkspaceEnter, &workspace(8, 1), Err(Denied::Forbidden));
        check(&key, Right::AccountWrite, &Resource::Account(account(1)), Err(Denied::Forbidden));
    }

    #[test]
    fn a_key_of_an_app_may_nothing_in_the_api() {
        let key = narrow(1, &["app:app-abcdefgh"]);
        check(&key, Right::AccountRead, &Resource::Account(account(1)), Err(Denied::Forbidden));
        check(&key, Right::WorkspaceRead, &workspace(9, 1), Err(Denied::Unknown));
    }
}
