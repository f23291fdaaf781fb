//! The one authorisation function. A right is a value that only this module can make.
//! Invariants: deny by default; pure: callers bring the facts, of which a role that was given is one;
//! a key never may more than its account, and only one that is narrowed to nothing may change the
//! account or who may reach it, which is where keys are made: no key makes one that may more than
//! itself; a role gives nothing of an account but its workspaces: never its keys.
//! Does not authenticate (see the control plane's `authn`) and looks nothing up.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ApiKeyId, AppId, KeyScope, KeyScopes, SessionId, SshKeyId, WorkspaceId,
    access::{Conditions, Role, ScopeKind, Tags},
    edge::Visibility,
};

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
    /// An SSH key, to the gateway.
    SshKey(SshKeyId),
}

impl Principal {
    /// An account with all that it may: to ask what that is. Nobody acts as this.
    #[must_use]
    pub fn whole(account: AccountId, standing: Standing) -> Self {
        let credential = Credential::Key(ApiKeyId::from_random([0; 16]));
        Self::Key { credential, account, standing, scopes: KeyScopes::full() }
    }
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
            Self::SshKey(id) => write!(f, "ssh-key:{id}"),
        }
    }
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What is asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Right {
            $($(#[$doc])* $name,)+
        }

        impl Right {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The right's word.
            #[must_use]
            pub fn word(self) -> String {
                let word = serde_json::to_value(self).ok();
                word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
            }

            /// The right with this word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|right| right.word() == word)
            }
        }
    };
}

rights! {
    /// Nothing that needs an identity.
    Public,
    /// See one's own account: limits, regions, settings.
    AccountRead,
    /// Change one's own account's things: keys, scripts, specs.
    AccountWrite,
    /// List the workspaces of an account.
    WorkspaceList,
    /// Create workspaces in an account.
    WorkspaceCreate,
    /// See a workspace.
    WorkspaceRead,
    /// Start and stop a workspace.
    WorkspaceOperate,
    /// Resize a workspace, replace its environment, delete it.
    WorkspaceWrite,
    /// Run code in a workspace and touch its files.
    WorkspaceEnter,
    /// Have a request answered by an app.
    AppVisit,
    /// See an app and its logs.
    AppRead,
    /// Start and stop an app.
    AppOperate,
    /// Change an app, who may visit it too, and delete it.
    AppWrite,
    /// See who may reach a thing, and its tags.
    AccessRead,
    /// Say who may reach a thing, up to an admin, and change its tags.
    AccessWrite,
    /// Make somebody an owner, or an owner something else.
    AccessOwn,
    /// Give up a role that one was given.
    AccessLeave,
    /// See the workspace one runs in, from inside.
    GuestRead,
    /// Change what the workspace one runs in may say of itself, from inside.
    GuestWrite,
    /// Make, see and change accounts, their plans and how fast they may ask.
    Administer,
}

/// What the facts about the thing asked for are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Something without an owner.
    Public,
    /// An account itself.
    Account {
        /// The account.
        id: AccountId,
        /// The role that the caller's account was given on it.
        granted: Option<Role>,
    },
    /// A workspace and who owns it.
    Workspace {
        /// The workspace.
        id: WorkspaceId,
        /// Its owner.
        owner: AccountId,
        /// The role that the caller's account was given on it, or on the account of its owner.
        granted: Option<Role>,
    },
    /// An app, whose workspace it is in, and who may visit it.
    App {
        /// The app.
        id: AppId,
        /// The workspace that answers.
        workspace: WorkspaceId,
        /// Who owns that workspace.
        owner: AccountId,
        /// The role that the caller's account was given on the app, on its workspace or on the account
        /// of its owner.
        granted: Option<Role>,
        /// Who may visit it.
        visibility: Visibility,
        /// Whether the caller's e-mail address is one of those that the app lists.
        listed: bool,
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
        (Principal::Key { account, standing, scopes, .. }, Resource::Account { id, .. }) => {
            let role = role(who, resource).ok_or(Denied::Unknown)?;
            let owns = account == id || *standing == Standing::Operator;
            let allows = |right| {
                let given = owns && is_of_account(right) || gives(role, ScopeKind::Account, right);
                given && scopes.iter().any(|scope| scope_on_account(scope, right))
            };
            if allows(right) {
                Ok(granted)
            } else if owns || allows(Right::WorkspaceList) {
                // That there is the own account says the key itself.
                Err(Denied::Forbidden)
            } else {
                Err(Denied::Unknown)
            }
        }
        (Principal::Key { scopes, .. }, Resource::Workspace { id, .. }) => {
            let role = role(who, resource).ok_or(Denied::Unknown)?;
            let allows = |right| {
                gives(role, ScopeKind::Workspace, right)
                    && scopes.iter().any(|scope| scope_on_workspace(scope, right, id))
            };
            if allows(right) {
                Ok(granted)
            } else if allows(Right::WorkspaceRead) {
                Err(Denied::Forbidden)
            } else {
                Err(Denied::Unknown)
            }
        }
        (_, Resource::App { .. }) => judge_app(who, right, resource).map(|()| granted),
        // Code in a workspace sees that workspace and nothing else.
        (Principal::Guest { workspace, .. }, Resource::Workspace { id, .. }) => {
            if workspace != id {
                return Err(Denied::Unknown);
            }
            let is_its = matches!(right, Right::GuestRead | Right::GuestWrite);
            if is_its { Ok(granted) } else { Err(Denied::Forbidden) }
        }
        (Principal::Guest { .. }, Resource::Account { .. }) => Err(Denied::Unknown),
    }
}

/// [`authorise`] for an app.
fn judge_app(who: &Principal, right: Right, resource: &Resource) -> Result<(), Denied> {
    let Resource::App { id, workspace, owner, granted, visibility, listed } = resource else {
        return Err(Denied::Unknown);
    };
    if right == Right::AppVisit && *visibility == Visibility::Public {
        return Ok(());
    }
    let Principal::Key { account, scopes, .. } = who else { return Err(Denied::Unknown) };
    let within = |right| scopes.iter().any(|scope| scope_on_app(scope, right, id, workspace));
    if right == Right::AppVisit {
        // Not even an operator is a visitor of what is somebody's own.
        let listed = *visibility == Visibility::Privileged && *listed;
        let welcome = account == owner || granted.is_some() || listed;
        return if welcome && within(right) { Ok(()) } else { Err(Denied::Forbidden) };
    }
    let role = role(who, resource).ok_or(Denied::Unknown)?;
    let allows = |right| gives(role, ScopeKind::App, right) && within(right);
    if allows(right) {
        Ok(())
    } else if allows(Right::AppRead) {
        Err(Denied::Forbidden)
    } else {
        Err(Denied::Unknown)
    }
}

/// Who visits an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visiting<'a> {
    /// Who showed nothing that is known.
    Anyone,
    /// A browser that asks, before a request of another origin, what that may do: it cannot show
    /// anything, and the answer is the app's own.
    Preflight,
    /// Who has a link that lets in to this app.
    Link(&'a AppId),
    /// An account.
    Known(&'a Principal),
}

/// Decides whether a visitor's request may reach an app, and hands out `target` as proof. For a known
/// one, [`authorise`] decides.
///
/// # Errors
/// [`Denied::Unknown`] where showing something else may help, [`Denied::Forbidden`] where what was
/// shown is not enough.
pub fn authorise_visit<T>(
    who: Visiting<'_>,
    resource: &Resource,
    target: T,
) -> Result<Authorised<T>, Denied> {
    let granted = Authorised { target, right: Right::AppVisit };
    match (who, resource) {
        (Visiting::Known(principal), _) => {
            authorise(principal, Right::AppVisit, resource, granted.target)
        }
        (_, Resource::App { visibility: Visibility::Public, .. }) => Ok(granted),
        (Visiting::Preflight, Resource::App { .. }) => Ok(granted),
        (Visiting::Preflight, _) => Err(Denied::Forbidden),
        (Visiting::Link(of), Resource::App { id, .. }) if of == id => Ok(granted),
        (Visiting::Link(_), _) => Err(Denied::Forbidden),
        (Visiting::Anyone, _) => Err(Denied::Unknown),
    }
}

/// What the caller's account is to an account or a workspace: its owner, as the operator is of all,
/// or what it was given. None where it is nothing to it, and for what has no owner.
#[must_use]
pub fn role(who: &Principal, resource: &Resource) -> Option<Role> {
    let Principal::Key { account, standing, .. } = who else { return None };
    let (owner, granted) = match resource {
        Resource::Account { id, granted } => (id, granted),
        Resource::Workspace { owner, granted, .. } | Resource::App { owner, granted, .. } => {
            (owner, granted)
        }
        Resource::Public | Resource::Platform => return None,
    };
    if account == owner || *standing == Standing::Operator { Some(Role::Owner) } else { *granted }
}

/// The highest of the roles that were given, of those whose conditions hold between the tags of the
/// thing that each was given on and those of the account that got it.
#[must_use]
pub fn granted<'a>(
    given: impl IntoIterator<Item = (Role, &'a Conditions, &'a Tags)>,
    account: &Tags,
) -> Option<Role> {
    let counts = |(_, conditions, thing): &(Role, &Conditions, &Tags)| {
        conditions.is_empty() || conditions.hold(thing, account)
    };
    given.into_iter().filter(counts).map(|(role, ..)| role).max()
}

/// What a role on a thing of some kind gives; on an account, also what it gives on its workspaces.
#[must_use]
pub fn permissions(role: Role, kind: ScopeKind) -> Vec<Right> {
    Right::ALL.iter().copied().filter(|right| gives(role, kind, *right)).collect()
}

/// The right to give or take a role.
#[must_use]
pub fn right_to_bind(role: Role) -> Right {
    match role {
        Role::Viewer | Role::Developer | Role::Admin => Right::AccessWrite,
        Role::Owner => Right::AccessOwn,
    }
}

/// Whether a role on a thing of this kind gives `right`.
fn gives(role: Role, kind: ScopeKind, right: Right) -> bool {
    let has_workspaces = match kind {
        ScopeKind::Account | ScopeKind::Workspace => true,
        ScopeKind::App => false,
    };
    let least = match right {
        Right::AccessRead | Right::AccessLeave => Role::Viewer,
        Right::AccessWrite => Role::Admin,
        Right::AccessOwn => Role::Owner,
        Right::WorkspaceList if kind == ScopeKind::Account => Role::Viewer,
        Right::WorkspaceCreate if kind == ScopeKind::Account => Role::Admin,
        Right::WorkspaceRead if has_workspaces => Role::Viewer,
        Right::WorkspaceOperate | Right::WorkspaceEnter if has_workspaces => Role::Developer,
        Right::WorkspaceWrite if has_workspaces => Role::Admin,
        Right::AppVisit | Right::AppRead => Role::Viewer,
        Right::AppOperate => Role::Developer,
        Right::AppWrite => Role::Admin,
        Right::Public
        | Right::AccountRead
        | Right::AccountWrite
        | Right::WorkspaceList
        | Right::WorkspaceCreate
        | Right::WorkspaceRead
        | Right::WorkspaceOperate
        | Right::WorkspaceWrite
        | Right::WorkspaceEnter
        | Right::GuestRead
        | Right::GuestWrite
        | Right::Administer => return false,
    };
    role >= least
}

/// Whether a right is to an account's own things, which no role gives.
fn is_of_account(right: Right) -> bool {
    matches!(right, Right::AccountRead | Right::AccountWrite)
}

/// Whether a key with this scope may do `right` to an account that its own one may do it to.
fn scope_on_account(scope: &KeyScope, right: Right) -> bool {
    match scope {
        KeyScope::Full => matches!(
            right,
            Right::AccountRead
                | Right::AccountWrite
                | Right::WorkspaceList
                | Right::WorkspaceCreate
                | Right::AccessRead
                | Right::AccessWrite
                | Right::AccessOwn
                | Right::AccessLeave
        ),
        KeyScope::Read => {
            matches!(right, Right::AccountRead | Right::WorkspaceList | Right::AccessRead)
        }
        // An account has the names of all its workspaces, and scripts and keys that reach them.
        KeyScope::Workspace(_) | KeyScope::App(_) => false,
    }
}

/// Whether a key with this scope may do `right` to an app that its account may do it to.
fn scope_on_app(scope: &KeyScope, right: Right, id: &AppId, workspace: &WorkspaceId) -> bool {
    let reads = matches!(right, Right::AppRead | Right::AccessRead);
    let changes = matches!(right, Right::AppVisit | Right::AppOperate | Right::AppWrite);
    match scope {
        KeyScope::Full => {
            let shares =
                matches!(right, Right::AccessWrite | Right::AccessOwn | Right::AccessLeave);
            reads || changes || shares
        }
        KeyScope::Read => reads,
        KeyScope::Workspace(own) => (reads || changes) && own == workspace,
        KeyScope::App(own) => (reads || changes) && own == id,
    }
}

/// Whether a key with this scope may do `right` to a workspace that its account may.
fn scope_on_workspace(scope: &KeyScope, right: Right, id: &WorkspaceId) -> bool {
    let reads = matches!(right, Right::WorkspaceRead | Right::AccessRead);
    let changes =
        matches!(right, Right::WorkspaceOperate | Right::WorkspaceWrite | Right::WorkspaceEnter);
    match scope {
        // Whoever was let in by a key would stay in when the key ends, so that is for whole ones.
        KeyScope::Full => {
            let shares =
                matches!(right, Right::AccessWrite | Right::AccessOwn | Right::AccessLeave);
            reads || changes || shares
        }
        KeyScope::Read => reads,
        KeyScope::Workspace(own) => (reads || changes) && own == id,
        KeyScope::App(_) => false,
    }
}

#[cfg(test)]
mod tests;
