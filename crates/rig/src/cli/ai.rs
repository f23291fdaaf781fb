//! Commands about AI.

use clap::{Args, Subcommand, ValueEnum};
use rigbox_types::api::ai::{AiInject, AiMode, AiProvider};

use super::examples;

/// `rig proxy …`
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Switch AI on; in the workspace, print what leads programs of this shell to it
    #[command(after_help = examples!("rig proxy on --workspace demo", "eval \"$(rig proxy on)\""))]
    On(AiTarget),
    /// Switch AI off; in the workspace, print what takes it from this shell
    #[command(after_help = examples!("rig proxy off --workspace demo", "eval \"$(rig proxy off)\""))]
    Off(AiTarget),
    /// Show whether AI is on, who has decided that, and who pays
    #[command(after_help = examples!("rig proxy status demo", "rig proxy status"))]
    Status(AiTarget),
    /// Print what leads programs of a shell to AI; in a workspace only
    #[command(after_help = examples!("eval \"$(rig proxy env)\""))]
    Env,
    /// Put the same into .env of this folder, between marks; in a workspace only
    #[command(after_help = examples!("rig proxy dotenv"))]
    Dotenv,
}

/// A workspace, as a word or behind an option; none is the only one, or in a workspace that one.
#[derive(Debug, Clone, Args)]
pub(crate) struct AiTarget {
    /// Workspace, by name or id; may be left out where there is one
    #[arg(value_name = "WORKSPACE")]
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

impl AiTarget {
    /// What was typed.
    pub(crate) fn typed(&self) -> Option<&str> {
        self.option.as_deref().or(self.workspace.as_deref())
    }
}

/// `rig ai …`
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AiCommand {
    /// Show what holds for a workspace
    #[command(after_help = examples!("rig ai show demo", "rig ai show demo --output json"))]
    Show(AiTarget),
    /// Change what holds for a workspace, from its next call on; what is not given stays
    #[command(after_help = examples!(
        "rig ai set demo --provider openai --model openai/gpt-5",
        "rig ai set demo --model default",
    ))]
    Set(AiSetArgs),
    /// Show who pays for AI, or say it: the platform for credits, or you with keys of your own
    #[command(after_help = examples!(
        "rig ai mode",
        "rig ai mode byok",
        "rig ai mode managed --workspace demo",
        "rig ai mode default --workspace demo",
    ))]
    Mode(AiModeArgs),
    /// Show what holds for workspaces that have not decided, or change it
    #[command(after_help = examples!(
        "rig ai defaults",
        "rig ai defaults --enabled on --provider anthropic",
        "rig ai defaults --enabled default",
    ))]
    Defaults(AiDefaultsArgs),
    /// Show what AI was used, and what it has cost
    #[command(after_help = examples!(
        "rig ai usage",
        "rig ai usage --daily",
        "rig ai usage --workspace demo --range 24h",
    ))]
    Usage(AiUsageArgs),
    /// Keys of your own at AI providers
    #[command(subcommand, after_help = examples!(
        "rig ai key set openai < key.txt",
        "rig ai key ls",
    ))]
    Key(AiKeyCommand),
}

/// `rig ai set`
#[derive(Debug, Clone, Args)]
pub(crate) struct AiSetArgs {
    #[command(flatten)]
    pub(crate) target: AiTarget,
    /// Provider whose key counts
    #[arg(long, value_enum, value_name = "PROVIDER")]
    pub(crate) provider: Option<ProviderWord>,
    /// Model of requests that name none; `default` leaves it to the account
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// How programs get to a provider with keys of your own
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) inject: Option<InjectWord>,
}

/// `rig ai mode`
#[derive(Debug, Clone, Args)]
pub(crate) struct AiModeArgs {
    /// Who pays; shown when missing
    #[arg(value_enum)]
    pub(crate) mode: Option<ModeWord>,
    /// Of this workspace, by name or id, instead of all that have not decided
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
}

/// `rig ai defaults`
#[derive(Debug, Clone, Args)]
pub(crate) struct AiDefaultsArgs {
    /// Who pays
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) mode: Option<ModeWord>,
    /// Provider whose key counts
    #[arg(long, value_enum, value_name = "PROVIDER")]
    pub(crate) provider: Option<ProviderWord>,
    /// Model of requests that name none; `default` is the installation's
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Whether AI is on; `default` leaves it to each workspace
    #[arg(long, value_enum, value_name = "on|off|default")]
    pub(crate) enabled: Option<EnabledWord>,
}

/// `rig ai usage`
#[derive(Debug, Clone, Args)]
pub(crate) struct AiUsageArgs {
    /// Of this workspace alone, by name or id
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
    /// How far back; 30 days of the account, or 24h of a workspace, when missing
    #[arg(long, value_name = "RANGE", value_parser = ["1h", "6h", "24h", "7d"])]
    pub(crate) range: Option<String>,
    /// Of the account, by day, workspace and model
    #[arg(long, conflicts_with_all = ["workspace", "range"])]
    pub(crate) daily: bool,
}

/// `rig ai key …`
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AiKeyCommand {
    /// Keep a key: from standard input, or asked for where that is a terminal
    #[command(after_help = examples!(
        "rig ai key set openai < key.txt",
        "rig ai key set anthropic --workspace demo",
    ))]
    Set(AiKeyArgs),
    /// Forget a key
    #[command(visible_alias = "delete", after_help = examples!("rig ai key rm openai"))]
    Rm(AiKeyArgs),
    /// List the keys that count, without what is secret
    #[command(visible_alias = "list", after_help = examples!("rig ai key ls", "rig ai key ls --workspace demo"))]
    Ls {
        /// For this workspace, by name or id
        #[arg(long, short = 'w', value_name = "WORKSPACE")]
        workspace: Option<String>,
    },
}

/// Which key.
#[derive(Debug, Clone, Args)]
pub(crate) struct AiKeyArgs {
    /// Where it is a key
    #[arg(value_enum)]
    pub(crate) provider: ProviderWord,
    /// For this workspace alone, by name or id
    #[arg(long, short = 'w', value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
    /// Catches a key on the command line, to say why that is refused.
    #[arg(hide = true)]
    pub(crate) misplaced: Option<String>,
}

/// Who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeWord {
    /// The platform calls with its keys and takes credits
    Managed,
    /// Your own keys, and no credits
    Byok,
    /// What holds where nothing was decided
    Default,
}

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderWord {
    /// Claude
    Anthropic,
    /// OpenAI
    Openai,
    /// Gemini
    Google,
    /// Models of many others
    Openrouter,
    /// Web search
    Brave,
}

/// How programs get to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InjectWord {
    /// Through the platform; no key is in the workspace
    Proxy,
    /// By themselves: your keys are in the workspace's environment
    Env,
}

/// Whether AI is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnabledWord {
    /// It is
    On,
    /// It is not
    Off,
    /// Each workspace decides
    Default,
}

impl ModeWord {
    /// None for what was not decided.
    pub(crate) fn mode(self) -> Option<AiMode> {
        match self {
            Self::Managed => Some(AiMode::Managed),
            Self::Byok => Some(AiMode::Byok),
            Self::Default => None,
        }
    }
}

impl EnabledWord {
    /// None for what was not decided.
    pub(crate) fn enabled(self) -> Option<bool> {
        match self {
            Self::On => Some(true),
            Self::Off => Some(false),
            Self::Default => None,
        }
    }
}

impl From<ProviderWord> for AiProvider {
    fn from(word: ProviderWord) -> Self {
        match word {
            ProviderWord::Anthropic => Self::Anthropic,
            ProviderWord::Openai => Self::Openai,
            ProviderWord::Google => Self::Google,
            ProviderWord::Openrouter => Self::Openrouter,
            ProviderWord::Brave => Self::Brave,
        }
    }
}

impl From<InjectWord> for AiInject {
    fn from(word: InjectWord) -> Self {
        match word {
            InjectWord::Proxy => Self::Proxy,
            InjectWord::Env => Self::Env,
        }
    }
}
