//! Commands about the account, its scripts, specs and keys, and about rig itself.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use rigbox_types::api::{service_specs::RestartPolicy, setup_scripts::RunOn};

use super::{Target, examples};
use crate::{
    expiry::{self, Expiry},
    output::Format,
};

/// `rig login`
#[derive(Debug, Clone, Args)]
pub(crate) struct LoginArgs {
    /// Server; the current one, or http://127.0.0.1:7070, when missing
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Take an API key from standard input instead, or ask for it where that is a terminal
    #[arg(long, conflicts_with = "import_token")]
    pub(crate) token: bool,
    /// Take an API key from this file instead; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) import_token: Option<PathBuf>,
    /// Open no browser, only print where to go
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Catches a key on the command line, to say why that is refused.
    #[arg(hide = true)]
    pub(crate) misplaced: Option<String>,
}

/// `rig logout`
#[derive(Debug, Clone, Args)]
pub(crate) struct LogoutArgs {
    /// Of all servers
    #[arg(long, conflicts_with = "context")]
    pub(crate) all: bool,
}

/// `rig audit`
#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Most entries
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
}

/// `rig credits`
#[derive(Debug, Clone, Args)]
pub(crate) struct CreditsArgs {
    /// What became of them, newest first
    #[arg(long)]
    pub(crate) statement: bool,
    /// The whole statement as a table for other programs (CSV)
    #[arg(long, conflicts_with = "limit")]
    pub(crate) csv: bool,
    /// Most entries of the statement
    #[arg(long, requires = "statement", value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
}

/// `rig context …`
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List them
    #[command(visible_alias = "list", after_help = examples!("rig context ls"))]
    Ls,
    /// Make one the current one
    #[command(after_help = examples!("rig context use work"))]
    Use {
        /// Its name
        name: String,
    },
    /// Add one without signing in
    #[command(after_help = examples!(
        "rig context add work --url https://rigbox.example",
        "rig context add lab --url https://10.0.0.5:7070 --ca lab-ca.pem",
    ))]
    Add {
        /// Its name
        name: String,
        /// Server
        #[arg(long)]
        url: String,
    },
    /// Remove one with its key
    #[command(after_help = examples!("rig context rm work"))]
    Rm {
        /// Its name
        name: String,
    },
}

/// `rig template …`
#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// List the templates, the default one first
    #[command(visible_alias = "list", after_help = examples!("rig template ls"))]
    Ls,
}

/// `rig ca …`
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Write the CA's certificate, PEM
    #[command(after_help = examples!("rig ca show", "rig ca show > rigbox-ca.pem"))]
    Show,
    /// Have this machine and its browsers trust the CA: it can sign for the installation's domain alone
    #[command(
        long_about = "Have this machine and its browsers trust the CA: it can sign for the \
            installation's domain alone. Puts it into the store of Debian (needs root) and, where \
            certutil is installed, into the user's store of Chromium, and says what it did.",
        after_help = examples!("rig ca install")
    )]
    Install,
}

/// When a setup script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunOnWord {
    /// Once, at the first boot
    #[value(name = "first_boot", alias = "first-boot")]
    FirstBoot,
    /// At every boot
    #[value(name = "every_start", alias = "every-start")]
    EveryStart,
}

impl From<RunOnWord> for RunOn {
    fn from(word: RunOnWord) -> Self {
        match word {
            RunOnWord::FirstBoot => Self::FirstBoot,
            RunOnWord::EveryStart => Self::EveryStart,
        }
    }
}

/// When systemd starts a service again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RestartWord {
    /// After every end
    Always,
    /// After an end that was not clean
    OnFailure,
    /// Never
    No,
}

impl From<RestartWord> for RestartPolicy {
    fn from(word: RestartWord) -> Self {
        match word {
            RestartWord::Always => Self::Always,
            RestartWord::OnFailure => Self::OnFailure,
            RestartWord::No => Self::No,
        }
    }
}

/// `rig setup-script …`
#[derive(Debug, Subcommand)]
pub(crate) enum SetupScriptCommand {
    /// Add a script
    #[command(after_help = examples!(
        "rig setup-script create --name tools --file tools.sh",
        "echo 'sudo apt-get install -y ripgrep' | rig setup-script create --name rg --file -",
    ))]
    Create(SetupScriptChange),
    /// List them in the order in which they run
    #[command(visible_alias = "list", after_help = examples!("rig setup-script ls"))]
    Ls,
    /// Print one
    #[command(after_help = examples!("rig setup-script show tools"))]
    Show {
        /// Name or id
        script: String,
    },
    /// Change one; what is not given stays
    #[command(after_help = examples!("rig setup-script update tools --run-on every_start"))]
    Update {
        /// Name or id
        script: String,
        #[command(flatten)]
        change: SetupScriptChange,
    },
    /// Delete one
    #[command(visible_alias = "delete", after_help = examples!("rig setup-script rm tools"))]
    Rm {
        /// Name or id
        script: String,
    },
}

/// Fields of a setup script.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetupScriptChange {
    /// Name, for people
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// File with the script (bash); `-` is standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// When it runs
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) run_on: Option<RunOnWord>,
    /// Scripts run in this order, lowest first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) order: Option<i32>,
}

/// `rig service-spec …`
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceSpecCommand {
    /// Add a service spec
    #[command(after_help = examples!(
        "rig service-spec create --name web --exec '/usr/bin/python3 -m http.server 8000' --auto-enable true",
    ))]
    Create(ServiceSpecChange),
    /// List them, newest first
    #[command(visible_alias = "list", after_help = examples!("rig service-spec ls"))]
    Ls,
    /// Print the unit that a spec becomes
    #[command(after_help = examples!("rig service-spec show web"))]
    Show {
        /// Name or id
        spec: String,
    },
    /// Change one from the next start on; what is not given stays
    #[command(after_help = examples!("rig service-spec update web --restart always"))]
    Update {
        /// Name or id
        spec: String,
        #[command(flatten)]
        change: ServiceSpecChange,
    },
    /// Delete one
    #[command(visible_alias = "delete", after_help = examples!("rig service-spec rm web"))]
    Rm {
        /// Name or id
        spec: String,
    },
}

/// Fields of a service spec.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceSpecChange {
    /// Name: lower-case letters, digits and hyphens
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Command line, not run through a shell
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// Environment variable; all of them together replace those of before. Repeatable
    #[arg(long, short = 'e', value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// File of more environment, inside the workspace; empty removes it
    #[arg(long, value_name = "PATH")]
    pub(crate) environment_file: Option<String>,
    /// When systemd starts it again
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) restart: Option<RestartWord>,
    /// Whether it starts with the workspace
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) auto_enable: Option<bool>,
    /// File with bash that runs before the service first starts; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) setup_file: Option<PathBuf>,
}

/// `rig ssh-key …`
#[derive(Debug, Subcommand)]
pub(crate) enum SshKeyCommand {
    /// Add a public key
    #[command(after_help = examples!(
        "rig ssh-key add",
        "rig ssh-key add ~/.ssh/work.pub --name laptop",
    ))]
    Add {
        /// File of the public key, `-` for standard input; the key that ssh uses by itself when missing
        file: Option<PathBuf>,
        /// Name, for people; the comment of the key when missing
        #[arg(long)]
        name: Option<String>,
    },
    /// List them, newest first
    #[command(visible_alias = "list", after_help = examples!("rig ssh-key ls"))]
    Ls,
    /// Delete one
    #[command(visible_alias = "delete", after_help = examples!("rig ssh-key rm laptop"))]
    Rm {
        /// Name, id or fingerprint
        key: String,
    },
    /// Write the account's keys into a running workspace
    #[command(after_help = examples!("rig ssh-key sync demo"))]
    Sync(Target),
}

/// `rig ssh-config`
#[derive(Debug, Args)]
pub(crate) struct SshConfigArgs {
    /// Print what would be written, and write nothing
    #[arg(long, conflicts_with = "remove")]
    pub(crate) print: bool,
    /// Take out again what was written
    #[arg(long)]
    pub(crate) remove: bool,
    /// The configuration of ssh; ~/.ssh/config when missing
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The keys that ssh knows; ~/.ssh/known_hosts when missing
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
}

/// `rig api-key …`
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make a key; it is printed once, on standard output
    #[command(after_help = examples!(
        "rig api-key create --name laptop",
        "rig api-key create --name dashboard --scope read --expires 90d",
        "rig api-key create --name ci --scope workspace:demo > ci.key",
    ))]
    Create {
        /// Name, for people
        #[arg(long)]
        name: Option<String>,
        /// When it ends: a time from now (12h, 30d, 8w) or a moment (RFC 3339); never when missing
        #[arg(long, value_name = "WHEN", value_parser = expiry::parse)]
        expires: Option<Expiry>,
        /// What it is for: full, read, workspace:NAME or app:ID; full when missing. Repeatable
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
    },
    /// List them, newest first
    #[command(visible_alias = "list", after_help = examples!("rig api-key ls"))]
    Ls,
    /// Delete one; it is refused from then on
    #[command(visible_alias = "delete", after_help = examples!("rig api-key rm ci"))]
    Rm {
        /// Name, id, or how it begins
        key: String,
    },
    /// Give one a new secret, printed once; the old one is refused from then on
    #[command(after_help = examples!("rig api-key rotate ci > ci.key"))]
    Rotate {
        /// Name, id, or how it begins
        key: String,
    },
}

/// `rig api`
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// GET, POST, PUT, PATCH or DELETE
    pub(crate) method: String,
    /// Path, below /api/v1 unless it begins with /api/ or /rig/
    pub(crate) path: String,
    /// File with the body; `-` is standard input
    #[arg(long, short = 'b', value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
}

/// `rig completions`
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_parser = clap::value_parser!(Shell))]
    pub(crate) shell: Shell,
}

/// `rig config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what is used and where it comes from
    #[command(visible_alias = "ls", after_help = examples!("rig config show"))]
    Show,
    /// Print the path of the configuration file
    #[command(after_help = examples!("rig config path"))]
    Path,
    /// Set a default
    #[command(after_help = examples!("rig config set output json"))]
    Set {
        #[command(subcommand)]
        setting: Setting,
    },
}

/// What can be set.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Setting {
    /// How data is written when the command line does not say
    #[command(after_help = examples!("rig config set output json"))]
    Output {
        /// The format
        #[arg(value_enum)]
        format: Format,
    },
}
