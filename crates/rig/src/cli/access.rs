//! Commands about who may reach what.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use rigbox_types::access::Role;

use super::examples;

/// `rig access …`
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// List who may reach a workspace or an account
    #[command(visible_alias = "list", after_help = examples!(
        "rig access ls demo",
        "rig access ls --account",
    ))]
    Ls(AccessThing),
    /// Give somebody a role, or another one than they have
    #[command(after_help = examples!(
        "rig access grant bob@example.com demo --role developer",
        "rig access grant bob@example.com --account --role viewer",
    ))]
    Grant(GrantArgs),
    /// Take somebody's role away, or give up your own
    #[command(visible_alias = "rm", after_help = examples!(
        "rig access revoke bob@example.com demo",
        "rig access revoke me demo",
    ))]
    Revoke(RevokeArgs),
    /// Say whether somebody may do something, and why; ends with 1 where they may not
    #[command(after_help = examples!(
        "rig access check workspace_exec demo",
        "rig access check workspace_delete demo --as bob@example.com",
        "rig access check workspace_create --account 8c5b3a52-7c3e-4a30-9b1c-3b1d2f1e0a4d",
    ))]
    Check(CheckArgs),
}

/// What it is about.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("thing").required(true).args(["workspace", "account"]))]
pub(crate) struct AccessThing {
    /// Workspace: its name or id
    pub(crate) workspace: Option<String>,
    /// An account with all its workspaces, by its id; your own one when no id is given
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "me")]
    pub(crate) account: Option<String>,
}

/// The roles, as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleWord {
    /// See it
    Viewer,
    /// Start, stop and enter it, too
    Developer,
    /// Resize, delete and share it, too
    Admin,
    /// Everything, also making owners
    Owner,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Developer => Self::Developer,
            RoleWord::Admin => Self::Admin,
            RoleWord::Owner => Self::Owner,
        }
    }
}

/// `rig access grant`
#[derive(Debug, Clone, Args)]
pub(crate) struct GrantArgs {
    /// Who: an e-mail address, or user:ID
    pub(crate) person: String,
    #[command(flatten)]
    pub(crate) thing: AccessThing,
    /// The role
    #[arg(long, short = 'r', value_enum, value_name = "ROLE")]
    pub(crate) role: RoleWord,
}

/// `rig access revoke`
#[derive(Debug, Clone, Args)]
pub(crate) struct RevokeArgs {
    /// Who: an e-mail address, user:ID, or `me`
    pub(crate) person: String,
    #[command(flatten)]
    pub(crate) thing: AccessThing,
}

/// `rig access check`
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// What: an operation of the API such as workspace_exec, or a right such as workspace_enter
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) thing: AccessThing,
    /// Who: an e-mail address or user:ID; when missing, you with the key that is used here
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) person: Option<String>,
}
