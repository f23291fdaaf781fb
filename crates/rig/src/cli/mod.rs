//! The command line: what can be typed, and the help for it.
//! Invariant: every command has examples, and every example is a command that parses (tested).
//! Does not do anything.

mod access;
mod account;
mod ai;
mod app;
pub(crate) mod inside;
mod workspace;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

pub(crate) use access::{AccessCommand, AccessThing, CheckArgs, GrantArgs, RevokeArgs};
pub(crate) use account::{
    ApiArgs, ApiKeyCommand, AuditArgs, CaCommand, CompletionsArgs, ConfigCommand, ContextCommand,
    CreditsArgs, LoginArgs, LogoutArgs, ServiceSpecChange, ServiceSpecCommand, Setting,
    SetupScriptChange, SetupScriptCommand, SshConfigArgs, SshKeyCommand, TemplateCommand,
};
pub(crate) use ai::{
    AiCommand, AiDefaultsArgs, AiKeyArgs, AiKeyCommand, AiModeArgs, AiSetArgs, AiTarget,
    AiUsageArgs, ModeWord, ProxyCommand,
};
pub(crate) use app::{
    AppCommand, AppListArgs, AppLogsArgs, AppMetricsArgs, AppNewArgs, AppRemoveArgs, AppRenameArgs,
    AppTarget, AppUpdateArgs, DomainArgs, ExposePortArgs, LogSourceArgs, LogSourceCommand,
    OpenArgs, ShareArgs,
};
pub(crate) use workspace::{
    CopyArgs, EnvCommand, EnvGetArgs, EnvListArgs, EnvSetArgs, EnvUnsetArgs, ExecArgs, ListArgs,
    LogsArgs, NewArgs, RemoveArgs, ResizeArgs, ServicesArgs, ShellArgs, SpawnArgs, StateArgs,
    Target, WaitArgs, WorkspaceCommand,
};

/// The examples of a command, as its help shows them.
macro_rules! examples {
    ($($line:literal),+ $(,)?) => {
        concat!("Examples:", $("\n  ", $line),+)
    };
}
use examples;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "rig",
    version,
    about = "Your own cloud of micro-VM workspaces, from the command line",
    after_help = examples!(
        "rig login                                  sign in by a browser",
        "rig workspace spawn demo                   create a workspace and boot it",
        "rig shell demo                             a terminal in it",
        "rig exec demo -- uname -a                  one command in it",
        "rig cp report.txt demo:                    a file into its home",
        "rig app new my-api --port 3000             a port of it gets a URL",
        "rig workspace ls --output json             what there is, for programs",
    ),
    after_long_help = "\
Examples:
  rig login                                  sign in by a browser
  rig workspace spawn demo                   create a workspace and boot it
  rig shell demo                             a terminal in it
  rig exec demo -- uname -a                  one command in it
  rig cp report.txt demo:                    a file into its home
  rig app new my-api --port 3000             a port of it gets a URL
  rig workspace ls --output json             what there is, for programs

Environment:
  RIG_API_KEY      API key; wins over the one that `rig login` keeps
  RIGBOX_API_URL   server; wins over the context's
  RIG_CONTEXT      context to use when --context is not given
  RIGBOX_CA        certificates to trust, like --ca
  NO_COLOR         no colours

Exit codes:
  0  done
  1  refused or failed
  2  wrong use
  3  not signed in
  `rig exec` and `rig shell` end with the code of what ran in the workspace.",
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    infer_long_args = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// How data is written; commands that take time stream one JSON event a line
    #[arg(long, short = 'o', global = true, value_enum, value_name = "FORMAT", help_heading = GLOBAL)]
    pub(crate) output: Option<Format>,

    /// Same as --output json
    #[arg(long, global = true, hide = true, conflicts_with = "output")]
    pub(crate) json: bool,

    /// Use this server instead of the current one (see `rig context ls`)
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    pub(crate) context: Option<String>,

    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(crate) ca: Option<PathBuf>,

    /// Never start a pager (none is started so far)
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_pager: bool,

    /// Show requests and answers on standard error, without keys
    #[arg(long, short = 'v', global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
}

const GLOBAL: &str = "Global options";

/// What rig can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in to a server: by a browser, or with an API key
    #[command(after_help = examples!(
        "rig login",
        "rig login --url https://rigbox.example --context work",
        "rig login --token < key.txt",
        "rig login --import-token ~/rigbox/admin.key",
    ))]
    Login(LoginArgs),
    /// Forget the key of a server
    #[command(after_help = examples!("rig logout", "rig logout --all"))]
    Logout(LogoutArgs),
    /// Show which server and account you use; in a workspace, which workspace you are in
    #[command(after_help = examples!("rig whoami", "rig whoami --output json"))]
    Whoami,
    /// Servers that you have signed in to
    #[command(subcommand, after_help = examples!("rig context ls", "rig context use work"))]
    Context(ContextCommand),
    /// Show the account at a glance; in a workspace, that workspace
    #[command(after_help = examples!("rig status", "rig status --output json"))]
    Status,
    /// Templates that a workspace can be made from
    #[command(subcommand, after_help = examples!("rig template ls"))]
    Template(TemplateCommand),
    /// List the templates (short for `rig template ls`)
    #[command(after_help = examples!("rig templates", "rig templates --output yaml"))]
    Templates,
    /// Show how many workspaces there is room for
    #[command(after_help = examples!("rig capacity"))]
    Capacity,
    /// Trust the CA that signs for this installation's names
    #[command(
        subcommand,
        after_help = examples!("rig ca install", "rig ca show > rigbox-ca.pem")
    )]
    Ca(CaCommand),
    /// Show what the account may use and does use
    #[command(after_help = examples!("rig limits"))]
    Limits,
    /// Show how many AI credits are left, and what became of the others
    #[command(after_help = examples!(
        "rig credits",
        "rig credits --statement",
        "rig credits --statement --limit 200 --output json",
        "rig credits --csv > statement.csv",
    ))]
    Credits(CreditsArgs),
    /// Lead programs of a workspace to AI: switch it on and off, and print what they need
    #[command(subcommand, after_help = examples!(
        "rig proxy on --workspace demo",
        "rig proxy status --workspace demo",
    ))]
    Proxy(ProxyCommand),
    /// Who pays for AI, with which provider, model and keys, and what was used
    #[command(subcommand, after_help = examples!(
        "rig ai show demo",
        "rig ai mode byok",
        "rig ai key set openai < key.txt",
        "rig ai usage",
    ))]
    Ai(Box<AiCommand>),
    /// Show who asked for what in the account, newest first
    #[command(after_help = examples!("rig audit", "rig audit --limit 200 --output json"))]
    Audit(AuditArgs),
    /// Create, run and look into workspaces
    #[command(
        subcommand,
        visible_alias = "ws",
        after_help = examples!("rig workspace ls", "rig workspace spawn demo --ram 1GiB")
    )]
    Workspace(Box<WorkspaceCommand>),
    /// List workspaces (short for `rig workspace ls`)
    #[command(after_help = examples!("rig ls", "rig ls --limit 5"))]
    Ls(ListArgs),
    /// Open a terminal in a workspace
    #[command(after_help = examples!("rig shell demo"))]
    Shell(ShellArgs),
    /// Run a command in a workspace
    #[command(after_help = examples!(
        "rig exec demo -- uname -a",
        "rig exec demo --cwd /tmp --env DEBUG=1 -- ./build.sh",
        "cat dump.sql | rig exec demo -- sqlite3 app.db",
        "rig exec demo --tty -- htop",
    ))]
    Exec(ExecArgs),
    /// Copy files to and from a workspace
    #[command(after_help = examples!(
        "rig cp report.txt demo:",
        "rig cp -r ./site demo:/srv/www",
        "rig cp demo:/var/log/syslog ./syslog",
        "rig cp demo:notes.txt -",
    ))]
    Cp(CopyArgs),
    /// Publish ports of workspaces under names, and say who may visit them
    #[command(
        subcommand,
        visible_alias = "apps",
        after_help = examples!(
            "rig app new my-api --port 3000",
            "rig app share my-api --public",
            "rig app ls",
        )
    )]
    App(Box<AppCommand>),
    /// Print the URL of an app, and open it in a browser where there is one
    #[command(after_help = examples!("rig open my-api", "rig open my-api --print"))]
    Open(OpenArgs),
    /// Scripts that run when a workspace boots
    #[command(subcommand, after_help = examples!(
        "rig setup-script create --name tools --file tools.sh",
        "rig setup-script ls",
    ))]
    SetupScript(SetupScriptCommand),
    /// Services that run in workspaces as systemd units
    #[command(subcommand, after_help = examples!(
        "rig service-spec create --name web --exec '/usr/bin/python3 -m http.server 8000'",
        "rig service-spec ls",
    ))]
    ServiceSpec(ServiceSpecCommand),
    /// Public SSH keys that open your workspaces
    #[command(subcommand, after_help = examples!("rig ssh-key add", "rig ssh-key ls"))]
    SshKey(SshKeyCommand),
    /// Let `ssh NAME` reach your workspaces: writes ~/.ssh/config and known_hosts
    #[command(after_help = examples!(
        "rig ssh-config",
        "rig ssh-config --print",
        "rig ssh-config --remove",
    ))]
    SshConfig(SshConfigArgs),
    /// API keys of the account, for programs and other machines
    #[command(subcommand, after_help = examples!(
        "rig api-key create --name ci --scope workspace:demo",
        "rig api-key ls",
    ))]
    ApiKey(ApiKeyCommand),
    /// Who may reach a workspace or an account, and with which role
    #[command(subcommand, after_help = examples!(
        "rig access grant bob@example.com demo --role developer",
        "rig access ls demo",
    ))]
    Access(AccessCommand),
    /// Send a request to the API
    #[command(after_help = examples!(
        "rig api GET /workspaces",
        "rig api POST /workspaces --body workspace.json",
        "rig api GET '/workspaces?max_results=5'",
    ))]
    Api(ApiArgs),
    /// Write a script that completes commands in your shell
    #[command(after_help = examples!(
        "rig completions bash > ~/.local/share/bash-completion/completions/rig",
        "rig completions zsh > ~/.zfunc/_rig",
        "rig completions fish > ~/.config/fish/completions/rig.fish",
    ))]
    Completions(CompletionsArgs),
    /// Show and change the configuration of rig
    #[command(subcommand, after_help = examples!("rig config show", "rig config set output json"))]
    Config(ConfigCommand),
    /// Check the configuration, the server and the key
    #[command(after_help = examples!("rig doctor", "rig doctor --output json"))]
    Doctor,
}

impl Command {
    /// Whether it writes events, one a line, where output is for programs.
    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::Login(_) | Self::Exec(_) => true,
            Self::Workspace(command) => command.streams(),
            Self::App(command) => command.streams(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
