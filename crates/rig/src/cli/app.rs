//! Commands about apps.

use clap::{
    ArgGroup, Args, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, RangedI64ValueParser},
};
use rigbox_types::{
    AppName, Email, ShareLinkId,
    api::{app_metrics::AppMetricsRange, apps::AppKind},
};

use super::examples;
use crate::expiry::{self, Expiry};

/// `rig app …`
#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// List apps, newest first
    #[command(visible_alias = "list", after_help = examples!(
        "rig app ls",
        "rig app ls --workspace demo",
        "rig app ls --output json",
    ))]
    Ls(AppListArgs),
    /// Show one app, and who may visit it
    #[command(visible_alias = "get", after_help = examples!("rig app show my-api"))]
    Show(AppTarget),
    /// Publish a port of a workspace under a name; only you may visit it until you share it
    #[command(visible_alias = "create", after_help = examples!(
        "rig app new my-api --port 3000",
        "rig app new my-api --port 3000 --workspace demo",
        "rig app new backup --kind cli --workspace demo",
    ))]
    New(AppNewArgs),
    /// Let requests reach an app, and start its unit where it has one
    #[command(after_help = examples!("rig app start my-api"))]
    Start(AppTarget),
    /// Let no request reach an app, and stop its unit where it has one
    #[command(after_help = examples!("rig app stop my-api"))]
    Stop(AppTarget),
    /// Restart the unit of an app, and let requests reach it
    #[command(after_help = examples!("rig app restart my-api"))]
    Restart(AppTarget),
    /// Delete an app; its URL leads nowhere from then on. Asks first on a terminal
    #[command(visible_alias = "delete", after_help = examples!(
        "rig app rm my-api",
        "rig app rm my-api --yes",
    ))]
    Rm(AppRemoveArgs),
    /// Give an app another name, and so another URL, at once
    #[command(after_help = examples!("rig app rename my-api shop-api"))]
    Rename(AppRenameArgs),
    /// Change the port or the description of an app; what is not given stays
    #[command(after_help = examples!("rig app update my-api --port 8080"))]
    Update(AppUpdateArgs),
    /// Read the logs of an app
    #[command(after_help = examples!(
        "rig app logs my-api",
        "rig app logs my-api --follow --lines 20",
        "rig app logs my-api --source access.log",
        "rig app logs my-api --requests --follow",
    ))]
    Logs(AppLogsArgs),
    /// Try whether an app answers; ends with 1 where it does not
    #[command(after_help = examples!("rig app health my-api"))]
    Health(AppTarget),
    /// Make an app of what listens on a port already
    #[command(after_help = examples!(
        "rig app expose-port 3000",
        "rig app expose-port 3000 --workspace demo --detect",
        "rig app expose-port 3000 --wrap --name my-api",
    ))]
    ExposePort(ExposePortArgs),
    /// Say who may visit an app, or show it
    #[command(after_help = examples!(
        "rig app share my-api",
        "rig app share my-api --public",
        "rig app share my-api --emails bob@example.com,eve@example.com",
        "rig app share my-api --link --expires 7d",
        "rig app share my-api --links",
        "rig app share my-api --revoke 00000000-0000-4000-8000-00000000000a",
    ))]
    Share(ShareArgs),
    /// Make an app private, empty its list of e-mail addresses, and end its share links
    #[command(after_help = examples!("rig app unshare my-api"))]
    Unshare(AppTarget),
    /// A host name of your own for an app: set it, try it, remove it, or show it
    #[command(after_help = examples!(
        "rig app domain my-api",
        "rig app domain my-api api.example.com",
        "rig app domain my-api --verify",
        "rig app domain my-api --remove",
    ))]
    Domain(DomainArgs),
    /// Show what requests to an app there were
    #[command(after_help = examples!(
        "rig app metrics my-api",
        "rig app metrics my-api --range 24h --series",
    ))]
    Metrics(AppMetricsArgs),
    /// Places where the logs of an app are
    #[command(subcommand, after_help = examples!(
        "rig app log-source ls my-api",
        "rig app log-source add my-api --file /var/log/nginx/access.log",
    ))]
    LogSource(LogSourceCommand),
}

impl AppCommand {
    /// Whether it writes events, one a line, where output is for programs.
    pub(crate) fn streams(&self) -> bool {
        matches!(self, Self::Logs(args) if args.follow)
    }
}

/// An app.
#[derive(Debug, Clone, Args)]
pub(crate) struct AppTarget {
    /// App, by name or id
    pub(crate) app: String,
}

/// The workspace of an app.
#[derive(Debug, Clone, Args)]
pub(crate) struct InWorkspace {
    /// Workspace, by name or id; may be left out while there is only one
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
}

/// `rig app ls`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppListArgs {
    /// Only those of this workspace, by name or id
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
    /// Show at most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Those of others that are shared with you, instead of your own
    #[arg(long)]
    pub(crate) shared: bool,
}

/// What an app is, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AppKindWord {
    /// It answers HTTP on a port
    Service,
    /// A program to be run, without a port and a URL
    Cli,
}

impl From<AppKindWord> for AppKind {
    fn from(word: AppKindWord) -> Self {
        match word {
            AppKindWord::Service => Self::Service,
            AppKindWord::Cli => Self::Cli,
        }
    }
}

/// `rig app new`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppNewArgs {
    /// Name, which its URL begins with: letters, digits and hyphens
    #[arg(value_name = "NAME", required_unless_present = "name_option")]
    name: Option<AppName>,
    /// Name (instead of the word)
    #[arg(id = "name_option", long = "name", value_name = "NAME", conflicts_with = "name")]
    name_option: Option<AppName>,
    /// Port in the workspace; 3000 when missing
    #[arg(long, short = 'p', value_name = "N", value_parser = port())]
    pub(crate) port: Option<u16>,
    /// What it is
    #[arg(long, value_enum, value_name = "KIND", default_value = "service")]
    pub(crate) kind: AppKindWord,
    #[command(flatten)]
    pub(crate) place: InWorkspace,
    /// What it is for, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

impl AppNewArgs {
    /// The name that was typed; clap demands one.
    pub(crate) fn name(&self) -> Option<&AppName> {
        self.name_option.as_ref().or(self.name.as_ref())
    }
}

fn port() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=65_535)
}

/// `rig app rm`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppRemoveArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// `rig app rename`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppRenameArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// The new name
    #[arg(value_name = "NEW_NAME")]
    pub(crate) name: AppName,
}

/// `rig app update`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppUpdateArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// Port in the workspace
    #[arg(long, short = 'p', value_name = "N", value_parser = port(),
          required_unless_present = "description")]
    pub(crate) port: Option<u16>,
    /// What it is for, for people; empty removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

/// `rig app logs`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppLogsArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// Go on with new lines as they are written
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// How many of the newest lines to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(0..=5000))]
    pub(crate) lines: u32,
    /// One of its log sources, by name, place or id; the primary one when missing
    #[arg(long, value_name = "SOURCE", conflicts_with = "requests")]
    pub(crate) source: Option<String>,
    /// Not what the app writes, but the requests that came to it: at most the last 500
    #[arg(long)]
    pub(crate) requests: bool,
}

/// `rig app expose-port`
#[derive(Debug, Clone, Args)]
pub(crate) struct ExposePortArgs {
    /// Port in the workspace
    #[arg(value_name = "PORT", value_parser = port())]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) place: InWorkspace,
    /// Name of the app; that of the program, made a name, when missing
    #[arg(long, value_name = "NAME", conflicts_with = "detect")]
    pub(crate) name: Option<AppName>,
    /// Only look who listens
    #[arg(long)]
    pub(crate) detect: bool,
    /// Have it come back with the workspace: a process that no systemd unit runs is ended, and a unit
    /// that is made of it takes its place
    #[arg(long, conflicts_with = "detect")]
    pub(crate) wrap: bool,
}

/// `rig app share`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("how").args(["public", "private", "emails", "link", "links", "revoke"]))]
pub(crate) struct ShareArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// Anyone may visit it
    #[arg(long)]
    pub(crate) public: bool,
    /// Only you may, and whoever has a role on it or a share link; the list of addresses is kept
    #[arg(long)]
    pub(crate) private: bool,
    /// Also the people with these e-mail addresses, who sign in; replaces the list
    #[arg(long, value_name = "EMAIL,…", value_delimiter = ',', num_args = 1)]
    pub(crate) emails: Vec<Email>,
    /// Make a link that lets in whoever has it; it is printed once, on standard output
    #[arg(long)]
    pub(crate) link: bool,
    /// When the link ends: a time from now (12h, 7d, 8w) or a moment (RFC 3339); in a week when
    /// missing
    #[arg(long, value_name = "WHEN", value_parser = expiry::parse, requires = "link")]
    pub(crate) expires: Option<Expiry>,
    /// What the link is for, for people
    #[arg(long, value_name = "NAME", requires = "link")]
    pub(crate) name: Option<String>,
    /// List its share links
    #[arg(long)]
    pub(crate) links: bool,
    /// End a share link, by its id
    #[arg(long, value_name = "ID")]
    pub(crate) revoke: Option<ShareLinkId>,
}

/// `rig app domain`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("what").args(["domain", "verify", "remove"]))]
pub(crate) struct DomainArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// Host name that is to lead to the app, beside its own one
    #[arg(value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Try whether the name leads here; ends with 1 where it does not
    #[arg(long)]
    pub(crate) verify: bool,
    /// Remove it
    #[arg(long)]
    pub(crate) remove: bool,
}

/// `rig app metrics`
#[derive(Debug, Clone, Args)]
pub(crate) struct AppMetricsArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// How far back
    #[arg(long, value_name = "RANGE", default_value = "1h",
          value_parser = PossibleValuesParser::new(AppMetricsRange::WORDS.iter().copied()))]
    pub(crate) range: String,
    /// Show how it went over time instead of sums
    #[arg(long)]
    pub(crate) series: bool,
}

/// `rig app log-source …`
#[derive(Debug, Subcommand)]
pub(crate) enum LogSourceCommand {
    /// List them, the primary one first
    #[command(visible_alias = "list", after_help = examples!("rig app log-source ls my-api"))]
    Ls(AppTarget),
    /// Add a place
    #[command(after_help = examples!(
        "rig app log-source add my-api --unit nginx.service",
        "rig app log-source add my-api --file /var/log/app.log --name app --primary",
    ))]
    Add {
        #[command(flatten)]
        target: AppTarget,
        #[command(flatten)]
        source: LogSourceArgs,
    },
    /// Change one; what is not given stays
    #[command(after_help = examples!("rig app log-source update my-api app --primary"))]
    Update {
        #[command(flatten)]
        target: AppTarget,
        /// Log source, by name, place or id
        source: String,
        #[command(flatten)]
        change: LogSourceArgs,
    },
    /// Forget one; its logs stay where they are
    #[command(visible_alias = "delete", after_help = examples!("rig app log-source rm my-api app"))]
    Rm {
        #[command(flatten)]
        target: AppTarget,
        /// Log source, by name, place or id
        source: String,
    },
}

/// Fields of a log source.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("place").args(["unit", "container", "file"]))]
pub(crate) struct LogSourceArgs {
    /// Journal of this systemd unit
    #[arg(long)]
    pub(crate) unit: Option<String>,
    /// Output of this container
    #[arg(long)]
    pub(crate) container: Option<String>,
    /// File in the workspace
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<String>,
    /// Name, for people
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Read this one when none is named
    #[arg(long)]
    pub(crate) primary: bool,
}

/// `rig open`
#[derive(Debug, Clone, Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) target: AppTarget,
    /// Open no browser, only print the URL
    #[arg(long)]
    pub(crate) print: bool,
}
