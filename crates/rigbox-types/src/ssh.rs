//! What control and the SSH gateway tell each other: who comes with which key, and what it opens.
//! Invariant: the gateway learns of an account what one session of it needs, and decides with
//! [`crate::authz::authorise`] alone.
//! Does not know how a session is carried.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, SshKeyId, WorkspaceId, access::Role, authz::Standing};

/// Longest user name that is looked at, in bytes: a workspace's name with its id's suffix has far less.
pub const USER_MAX_LEN: usize = 255;

/// Somebody has come to the gateway with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user name, which names a workspace.
    pub user: String,
    /// Fingerprint of the key: `SHA256:` and the digest, as `ssh-keygen -l` writes it.
    pub fingerprint: String,
    /// Where the connection comes from, for the audit record.
    pub from: String,
    /// The public half of the key that this session will show to the workspace, in the form of
    /// `authorized_keys`. None as long as the client has only named its key and proved nothing: then all
    /// that is answered is whether the key is known.
    pub session_key: Option<String>,
}

/// What a key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum LoginAnswer {
    /// It is no account's key.
    Unknown,
    /// It is an account's; nothing was proved yet.
    Known,
    /// What it opens cannot be entered now.
    Refused {
        /// Why, and what to do, in words for people.
        message: String,
    },
    /// There is no workspace of that name for it.
    Menu(Menu),
    /// A workspace to enter.
    Entry(Box<Entry>),
}

/// The workspaces that a key opens, for whoever named none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Menu {
    /// Whose key it is.
    pub holder: Holder,
    /// They, newest first; no more than [`MENU_MAX`].
    pub entries: Vec<MenuEntry>,
}

/// Most workspaces of a menu.
pub const MENU_MAX: usize = 200;

/// A workspace in a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuEntry {
    /// Its name.
    pub name: String,
    /// The user name that leads to it.
    pub user: String,
    /// Its status, as the API has it.
    pub status: String,
}

/// Whose key opens something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The key.
    pub key: SshKeyId,
    /// Its account.
    pub account: AccountId,
}

/// A workspace that a key opens, and what opens its own SSH server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose key it is.
    pub holder: Holder,
    /// What the account is on the platform.
    pub standing: Standing,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who owns it.
    pub owner: AccountId,
    /// The role that the account was given on it, or on the account of its owner.
    pub granted: Option<Role>,
    /// Where to dial it, as `unix:/path` of the host's dial socket or `https://name:port`.
    pub host: String,
    /// The user within the workspace.
    pub user: String,
    /// The key that its SSH server has to have, in the form of `authorized_keys`.
    pub host_key: String,
    /// A certificate for the session's key, in base64: what follows the type in a `-cert.pub` file.
    pub certificate: String,
}

/// An open session, as the gateway asks about it again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// Whose key it was opened with.
    pub holder: Holder,
    /// The workspace that was entered; none for a menu.
    pub workspace: Option<WorkspaceId>,
}

/// Most sessions of one question.
pub const HELD_MAX: usize = 1_000;

/// Which of the sessions that were asked about are to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// In the order of the question: why a session ends, in words for people, or none where it goes on.
    pub ends: Vec<Option<String>>,
}

/// Something was forwarded within a session, for the audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// The session.
    pub session: Held,
    /// Where its connection came from.
    pub from: String,
    /// What was forwarded, such as `tcp localhost:5432`.
    pub what: String,
}

/// Most forwards of one report.
pub const FORWARDED_MAX: usize = 1_000;

/// A line of the stream that a gateway follows: `Settings` first, then what to ask about again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum SshEvent {
    /// How the gateway is to serve.
    Settings(SshSettings),
    /// The right to some sessions may have ended: those of an account, of a workspace, or all.
    Look {
        /// Of whose keys; none for anybody's.
        account: Option<AccountId>,
        /// Of which workspace; none for any.
        workspace: Option<WorkspaceId>,
    },
    /// Fills silence.
    Heartbeat,
}

/// How a gateway serves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshSettings {
    /// The private half of its Ed25519 host key, 32 bytes in hexadecimal: the same for all gateways of the
    /// region. Not shown by `Debug`.
    pub host_key: String,
}

impl fmt::Debug for SshSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshSettings").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_key_is_not_shown() {
        let settings = SshSettings { host_key: "5ec7e7".to_owned() };
        let shown = format!("{:?}", SshEvent::Settings(settings));
        assert!(!shown.contains("5ec7e7"), "{shown}");
    }
}
