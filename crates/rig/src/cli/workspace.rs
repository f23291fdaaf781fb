//! Commands about workspaces.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use rigbox_types::{
    ImageName, RegionName, ServiceSpecId, SetupScriptId, TemplateId, WorkspaceName,
};

use super::examples;
use crate::size;

/// A workspace, as a word or behind an option.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Workspace, by name or id
    #[arg(value_name = "WORKSPACE", required_unless_present = "workspace_option")]
    workspace: Option<String>,
    /// Workspace, by name or id (instead of the word)
    #[arg(
        id = "workspace_option",
        long = "workspace",
        short = 'w',
        value_name = "WORKSPACE",
        conflicts_with = "workspace"
    )]
    option: Option<String>,
}

impl Target {
    /// What was typed.
    pub(crate) fn typed(&self) -> &str {
        self.option.as_deref().or(self.workspace.as_deref()).unwrap_or_default()
    }
}

/// `rig workspace …`
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// List workspaces, newest first
    #[command(visible_alias = "list", after_help = examples!(
        "rig workspace ls",
        "rig workspace ls --shared",
        "rig workspace ls --output json",
    ))]
    Ls(ListArgs),
    /// Show one workspace, with why it failed when it did
    #[command(visible_alias = "get", after_help = examples!("rig workspace show demo"))]
    Show(Target),
    /// Create a workspace without booting it
    #[command(visible_alias = "create", after_help = examples!(
        "rig workspace new demo",
        "rig workspace new --name demo --template dev --ram 2GiB --vcpu 2 --disk 8GiB",
        "rig workspace new demo --env MODE=test --env-file .env --egress allow:debian.org,10.1.0.0/16",
    ))]
    New(NewArgs),
    /// Create a workspace, boot it, and wait until it is ready
    #[command(after_help = examples!(
        "rig workspace spawn demo",
        "rig workspace spawn --name demo --template dev --ram 2GiB",
        "rig workspace spawn demo --output json",
    ))]
    Spawn(SpawnArgs),
    /// Boot a workspace and wait until it is ready
    #[command(after_help = examples!(
        "rig workspace start demo",
        "rig workspace start demo --no-wait",
        "rig workspace start demo --wait-for-apps",
    ))]
    Start(StartArgs),
    /// Shut a workspace down, keep its disk, and wait until it is off
    #[command(after_help = examples!("rig workspace stop demo"))]
    Stop(StateArgs),
    /// Shut a workspace down, boot it, and wait until it is ready
    #[command(after_help = examples!("rig workspace restart demo"))]
    Restart(StateArgs),
    /// Delete a workspace with its disk; asks first on a terminal
    #[command(visible_alias = "delete", after_help = examples!(
        "rig workspace rm demo",
        "rig workspace rm demo --yes",
        "rig workspace rm demo --force",
    ))]
    Rm(RemoveArgs),
    /// End a start that has not come to its end
    #[command(after_help = examples!("rig workspace cancel demo"))]
    Cancel(StateArgs),
    /// Try again what failed
    #[command(after_help = examples!("rig workspace retry demo"))]
    Retry(StateArgs),
    /// Read the journal of a workspace
    #[command(after_help = examples!(
        "rig workspace logs demo",
        "rig workspace logs demo --follow --lines 20",
        "rig workspace logs demo --service web",
    ))]
    Logs(LogsArgs),
    /// Show what a workspace uses right now
    #[command(after_help = examples!("rig workspace metrics demo"))]
    Metrics(Target),
    /// List what listens in a workspace
    #[command(after_help = examples!("rig workspace ports demo"))]
    Ports(Target),
    /// List the services of a workspace, or show one
    #[command(after_help = examples!("rig workspace services demo", "rig workspace services demo web"))]
    Services(ServicesArgs),
    /// Change memory, vCPUs or disk of a stopped workspace; a disk only grows
    #[command(after_help = examples!(
        "rig workspace resize demo --ram 2GiB --vcpu 2",
        "rig workspace resize demo --disk 20GiB",
    ))]
    Resize(ResizeArgs),
    /// Environment variables of a workspace
    #[command(subcommand, after_help = examples!(
        "rig workspace env ls demo",
        "rig workspace env set demo MODE=test",
    ))]
    Env(EnvCommand),
    /// Show how to reach a workspace by SSH
    #[command(after_help = examples!("rig workspace ssh-info demo"))]
    SshInfo(Target),
    /// Run a command in a workspace (same as `rig exec`)
    #[command(after_help = examples!("rig workspace exec demo -- uname -a"))]
    Exec(ExecArgs),
    /// Copy files to and from a workspace (same as `rig cp`)
    #[command(after_help = examples!("rig workspace cp report.txt demo:"))]
    Cp(CopyArgs),
}

impl WorkspaceCommand {
    /// Whether it writes events, one a line, where output is for programs.
    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::Spawn(args) => !args.wait.no_wait,
            Self::Start(args) => !args.state.wait.no_wait,
            Self::Stop(args) | Self::Restart(args) | Self::Cancel(args) | Self::Retry(args) => {
                !args.wait.no_wait
            }
            Self::Rm(args) => !args.wait.no_wait,
            Self::Logs(args) => args.follow,
            Self::Exec(_) => true,
            _ => false,
        }
    }
}

/// `rig workspace ls`
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Show at most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Those of others that are shared with you, instead of your own
    #[arg(long)]
    pub(crate) shared: bool,
    /// Those of an account that you have a role on, by its id
    #[arg(long, value_name = "ID", conflicts_with = "shared")]
    pub(crate) owner: Option<String>,
}

/// `rig workspace new`
#[derive(Debug, Clone, Args)]
pub(crate) struct NewArgs {
    /// Name: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME", required_unless_present = "name_option")]
    name: Option<WorkspaceName>,
    /// Name (instead of the word)
    #[arg(id = "name_option", long = "name", value_name = "NAME", conflicts_with = "name")]
    name_option: Option<WorkspaceName>,
    /// Template that supplies what is not given (see `rig templates`)
    #[arg(long, short = 't')]
    pub(crate) template: Option<TemplateId>,
    /// Image that the disk is made from
    #[arg(long)]
    pub(crate) image: Option<ImageName>,
    /// Memory, such as 512MiB or 2GiB; a plain number is MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) ram: Option<u32>,
    /// Virtual CPUs
    #[arg(long, value_name = "N")]
    pub(crate) vcpu: Option<u8>,
    /// Disk, such as 8GiB; a plain number is MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) disk: Option<u32>,
    /// Environment variable; without a value, the one of your own environment. Repeatable
    #[arg(long, short = 'e', value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// File of environment variables, K=V a line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Region to run in
    #[arg(long)]
    pub(crate) region: Option<RegionName>,
    /// Setup script to attach, by id. Repeatable
    #[arg(long = "setup-script-id", value_name = "ID")]
    pub(crate) setup_script_ids: Vec<SetupScriptId>,
    /// Service spec to attach, by id. Repeatable
    #[arg(long = "service-spec-id", value_name = "ID")]
    pub(crate) service_spec_ids: Vec<ServiceSpecId>,
    /// What it may reach: open, none, or allow:NAME,CIDR,…
    #[arg(long, value_name = "POLICY")]
    pub(crate) egress: Option<String>,
}

impl NewArgs {
    /// The name that was typed; clap demands one.
    pub(crate) fn name(&self) -> Option<&WorkspaceName> {
        self.name_option.as_ref().or(self.name.as_ref())
    }
}

/// `rig workspace spawn`
#[derive(Debug, Clone, Args)]
pub(crate) struct SpawnArgs {
    #[command(flatten)]
    pub(crate) new: NewArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Whether and how long to wait.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait; print the API's answer and leave
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Wait (what happens anyway; for scripts that want to say so)
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) wait: bool,
    /// Give up waiting after this many seconds; the workspace goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 900, conflicts_with = "no_wait")]
    pub(crate) wait_timeout: u64,
}

/// `rig workspace start`
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Also wait until all its apps that are not stopped answer
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) wait_for_apps: bool,
}

/// `rig workspace stop` and its like.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `rig workspace rm`
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Also from a state that does not settle; does not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `rig workspace logs`
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Go on with new lines as they are written
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// How many of the newest lines to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(0..=5000))]
    pub(crate) lines: u32,
    /// Only lines of this systemd unit
    #[arg(long, conflicts_with = "service")]
    pub(crate) unit: Option<String>,
    /// Only lines of this service of yours
    #[arg(long)]
    pub(crate) service: Option<String>,
}

/// `rig workspace services`
#[derive(Debug, Clone, Args)]
pub(crate) struct ServicesArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Show only this one
    pub(crate) name: Option<String>,
}

/// `rig workspace resize`
#[derive(Debug, Clone, Args)]
#[group(id = "sizes")]
pub(crate) struct ResizeArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Memory, such as 2GiB; a plain number is MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse, required_unless_present_any = ["vcpu", "disk"])]
    pub(crate) ram: Option<u32>,
    /// Virtual CPUs
    #[arg(long, value_name = "N")]
    pub(crate) vcpu: Option<u8>,
    /// Disk, such as 20GiB; a plain number is MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) disk: Option<u32>,
}

/// `rig workspace env …`
#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// List the variables; values are masked unless --reveal
    #[command(visible_alias = "list", after_help = examples!("rig workspace env ls demo", "rig workspace env ls demo --reveal"))]
    Ls(EnvListArgs),
    /// Print the value of one variable
    #[command(after_help = examples!("rig workspace env get demo MODE"))]
    Get(EnvGetArgs),
    /// Set variables and keep the others
    #[command(after_help = examples!(
        "rig workspace env set demo MODE=test DEBUG=1",
        "rig workspace env set demo TOKEN",
        "rig workspace env set demo --file .env",
    ))]
    Set(EnvSetArgs),
    /// Remove variables and keep the others
    #[command(after_help = examples!("rig workspace env unset demo MODE DEBUG"))]
    Unset(EnvUnsetArgs),
}

/// `rig workspace env ls`
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvListArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Show the values
    #[arg(long)]
    pub(crate) reveal: bool,
}

/// Words of which the first is the workspace unless an option names it.
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvGetArgs {
    /// The workspace (unless --workspace names it) and the variable
    #[arg(value_name = "[WORKSPACE] NAME", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<String>,
    /// Workspace, by name or id
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
}

/// `rig workspace env set`
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvSetArgs {
    /// The workspace (unless --workspace names it) and the variables; one without a value is taken
    /// from your own environment, which keeps it out of the process list
    #[arg(value_name = "[WORKSPACE] K=V")]
    pub(crate) words: Vec<String>,
    /// Workspace, by name or id
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
    /// File of variables, K=V a line; `-` is standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
}

/// `rig workspace env unset`
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvUnsetArgs {
    /// The workspace (unless --workspace names it) and the variables
    #[arg(value_name = "[WORKSPACE] NAME", required = true)]
    pub(crate) words: Vec<String>,
    /// Workspace, by name or id
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
}

/// `rig shell`
#[derive(Debug, Clone, Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `rig exec`
#[derive(Debug, Clone, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Working directory; the user's home when missing
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Environment variable; without a value, the one of your own environment. Repeatable
    #[arg(long, short = 'e', value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// Who runs it; `developer` when missing
    #[arg(long, short = 'u')]
    pub(crate) user: Option<String>,
    /// End it after this many seconds; rig then ends with 124
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// Give it a terminal, as `rig shell` does
    #[arg(long)]
    pub(crate) tty: bool,
    /// Do not pass on standard input
    #[arg(long, short = 'n', action = ArgAction::SetTrue, conflicts_with = "tty")]
    pub(crate) no_stdin: bool,
    /// Command and its arguments; no shell in between
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `rig cp`
#[derive(Debug, Clone, Args)]
pub(crate) struct CopyArgs {
    /// Local path, WORKSPACE:PATH, or - for standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Local path, WORKSPACE:PATH, or - for standard output
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// Copy directories with all that is in them; symbolic links are left out
    #[arg(long, short = 'r')]
    pub(crate) recursive: bool,
    /// Whose rights to use in the workspace; `developer` when missing
    #[arg(long, short = 'u')]
    pub(crate) user: Option<String>,
}
