//! The command line. Data goes to stdout, everything else to stderr; exit code 0 is done, 1 refused
//! or failed, 2 wrong use.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::bail;
use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

use crate::{
    ai_keys::{self, AiVerb},
    ai_proxy, audit,
    backup::{self, BackupPlace, BackupWish, Contents, RestoreWish},
    config::{self, Config, DOCUMENTED, Source},
    control,
    credits::{self, CreditsVerb},
    doctor, down, edge, host,
    layout::{DEFAULT_DATA, Install, Layout},
    output,
    plan::{self, PlanVerb},
    restart, ssh,
    status::{self, Form},
    up::{self, Up},
    user::{self, UserVerb},
};

/// A cloud of your own workspaces, each of them a micro-VM, on this machine.
#[derive(Debug, Parser)]
#[command(name = "rigbox", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the platform here and stay; ends with its first workspace running.
    Up {
        #[command(flatten)]
        place: Place,
        /// Listen there for the API instead of where the configuration says.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// Go to the background once everything runs.
        #[arg(long)]
        detach: bool,
        /// This is the process in the background.
        #[arg(long, hide = true)]
        background: bool,
    },
    /// End the platform and every workspace, and leave nothing on the machine but data.
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Tell what runs of the platform here; exit code 1 where a part does not.
    Status {
        #[command(flatten)]
        place: Place,
        /// Answer in JSON.
        #[arg(long, conflicts_with = "metrics")]
        json: bool,
        /// Print the host's counters as Prometheus reads them.
        #[arg(long)]
        metrics: bool,
    },
    /// Let another process take a role over, without a refused connection or a cut request: after an
    /// upgrade of the program, or to make it read its limits again.
    #[command(after_help = "Example:
  rigbox restart edge

Requests under way end in the process that has them; new ones go to the new one, once it serves. Where
it does not come to serve, the one before stays, and the exit code is 1. Workspaces do not notice. `rigbox up` restarts the other roles.")]
    Restart {
        /// Which role.
        role: Restartable,
        #[command(flatten)]
        place: Place,
    },
    /// Check this machine; every finding comes with its remedy.
    Doctor {
        #[command(flatten)]
        place: Place,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Build and list images.
    #[command(disable_help_flag = true)]
    Image {
        /// As `rigbox image --help` says; also --data and --config, as everywhere.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Back the whole platform up: database, secrets, configuration and disks, while it runs.
    #[command(after_help = "Examples:
  rigbox backup /var/backups/
  rigbox backup s3://my-bucket/rigbox/
  rigbox backup - | age -r age1... > rigbox.age

An object store is reached with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, where it is
not Amazon's, AWS_ENDPOINT_URL. Whoever can read a backup has the platform: keep it as safe.")]
    Backup {
        /// A new file, a directory, `-` for standard output, or s3://BUCKET/KEY.
        #[arg(value_name = "TO")]
        to: BackupPlace,
        /// Leave the disks of workspaces out.
        #[arg(long)]
        database_only: bool,
        /// Take images and kernels along, so that a restored platform need not build them.
        #[arg(long)]
        with_images: bool,
        /// Replace what is there.
        #[arg(long)]
        force: bool,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a platform of a backup, in an empty data directory.
    #[command(after_help = "Examples:
  rigbox restore /var/backups/rigbox-1a2b-20261128T174212Z.tar.zst
  rigbox restore s3://my-bucket/rigbox/rigbox-1a2b-20261128T174212Z.tar.zst --data /srv/rigbox
  rigbox restore --check /var/backups/rigbox-1a2b-20261128T174212Z.tar.zst

It starts nothing: `rigbox up` does. With --config the platform gets that configuration in place of the
one in the backup, so that it can go to another database engine.")]
    Restore {
        /// A file or s3://BUCKET/KEY.
        #[arg(value_name = "FROM")]
        from: BackupPlace,
        /// Only read the backup and say whether it is good.
        #[arg(long)]
        check: bool,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Verify and export the record of who asked for what.
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Give people accounts, change their plans, disable them.
    User {
        #[command(subcommand)]
        verb: UserVerb,
    },
    /// Give people AI credits, put them right, and see what became of them.
    Credits {
        #[command(subcommand)]
        verb: CreditsVerb,
    },
    /// Look after what the AI proxy works with.
    Ai {
        #[command(subcommand)]
        verb: AiVerb,
    },
    /// List, add, change and delete plans.
    Plan {
        #[command(subcommand)]
        verb: PlanVerb,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Run the role that answers the API (started by `up`).
    Control(RoleArguments),
    /// Run the role that runs workspaces (started by `up`).
    Host(RoleArguments),
    /// The role that serves apps to visitors; started by `up`.
    #[command(hide = true)]
    Edge(RoleArguments),
    /// The role that passes calls of AI providers on; started by `up`.
    #[command(hide = true)]
    AiProxy(RoleArguments),
    /// The role that carries SSH sessions to workspaces; started by `up`.
    #[command(hide = true)]
    Ssh(RoleArguments),
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// Check that nothing in the record was changed or taken out; exit code 1 where it was.
    #[command(
        after_help = "Examples:\n  rigbox audit verify\n  rigbox audit verify --kept 812:5f3c…"
    )]
    Verify {
        #[command(flatten)]
        place: Place,
        /// The last entry as a former verification has printed it: it must still be there.
        #[arg(long, value_name = "NUMBER:HASH")]
        kept: Option<audit::Kept>,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print every entry, oldest first, one JSON document a line.
    #[command(after_help = "Examples:\n  rigbox audit export > audit.ndjson")]
    Export {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Check the configuration file without starting anything; exit code 1 where something is wrong.
    #[command(after_help = "Examples:
  rigbox config check
  rigbox config check --config /tmp/new.toml --json")]
    Check {
        #[command(flatten)]
        place: Place,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration in force.
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Print the documented file of all defaults.
    Defaults,
}

/// A role that can be there twice for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Restartable {
    /// What serves apps.
    Edge,
}

/// Which platform.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory of everything that the platform keeps.
    #[arg(long, value_name = "DIR", env = "RIGBOX_DATA", default_value = DEFAULT_DATA)]
    data: Utf8PathBuf,
    /// Configuration file; without it <DATA>/rigbox.toml or /etc/rigbox/rigbox.toml.
    #[arg(long, value_name = "FILE", env = "RIGBOX_CONFIG")]
    config: Option<Utf8PathBuf>,
}

impl Place {
    /// Reads our own options out of arguments that are otherwise for another program.
    fn taken_from(arguments: &mut Vec<String>) -> anyhow::Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let data = taken(arguments, "--data")?.or_else(|| variable("RIGBOX_DATA"));
        let config = taken(arguments, "--config")?.or_else(|| variable("RIGBOX_CONFIG"));
        Ok(Self {
            data: data.unwrap_or_else(|| DEFAULT_DATA.to_owned()).into(),
            config: config.map(Utf8PathBuf::from),
        })
    }
}

/// Removes `--name value` or `--name=value`, and returns the value.
fn taken(arguments: &mut Vec<String>, name: &str) -> anyhow::Result<Option<String>> {
    let with_value = format!("{name}=");
    let Some(at) = arguments.iter().position(|word| word == name || word.starts_with(&with_value))
    else {
        return Ok(None);
    };
    let word = arguments.remove(at);
    if let Some(value) = word.strip_prefix(&with_value) {
        return Ok(Some(value.to_owned()));
    }
    if at == arguments.len() {
        bail!("{name} needs a value");
    }
    Ok(Some(arguments.remove(at)))
}

#[derive(Debug, Args)]
struct RoleArguments {
    /// The role's own configuration file.
    #[arg(long, value_name = "FILE")]
    config: Utf8PathBuf,
    /// End when this process does, which must have started this one.
    #[arg(long, value_name = "PID")]
    parent: Option<u32>,
}

/// Does what the command line says.
///
/// # Errors
/// Says what was refused or failed.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Verb::Up { place, listen, detach, background } => {
            let options = up::Options { detach, background };
            with_platform(&place, listen, |up, _| up::run(up, options))
        }
        Verb::Down { place } => with_platform(&place, None, |up, _| down::run(up)),
        Verb::Status { place, json, metrics } => {
            let form = match (json, metrics) {
                (true, _) => Form::Json,
                (false, true) => Form::Metrics,
                (false, false) => Form::Human,
            };
            with_platform(&place, None, |up, _| status::run(up, form))
        }
        Verb::Restart { role: Restartable::Edge, place } => {
            with_platform(&place, None, |up, _| restart::edge(up))
        }
        Verb::Doctor { place, json } => with_platform(&place, None, |up, _| doctor::run(up, json)),
        Verb::Image { mut arguments } => {
            let place = Place::taken_from(&mut arguments)?;
            with_platform(&place, None, |up, _| match up::image(up, &arguments)? {})
        }
        Verb::Audit { verb: AuditVerb::Verify { place, kept, json } } => {
            with_platform(&place, None, |up, _| audit::verify(up, kept.as_ref(), json))
        }
        Verb::Audit { verb: AuditVerb::Export { place } } => {
            with_platform(&place, None, |up, _| audit::export(up))
        }
        Verb::Backup { to, database_only, with_images, force, json, place } => {
            let contents = if database_only { Contents::Database } else { Contents::Everything };
            let wish = BackupWish { to, contents, images: with_images, force, json };
            with_platform(&place, None, |up, source| backup::backup(up, source, &wish))
        }
        Verb::Restore { from, check, json, place } => {
            let Place { data, config } = place;
            backup::restore(&RestoreWish { from, data, config, check, json })
        }
        Verb::User { verb } => user::user(verb),
        Verb::Credits { verb } => credits::credits(verb),
        Verb::Ai { verb } => ai_keys::ai(&verb),
        Verb::Plan { verb } => plan::plan(verb),
        Verb::Config { verb } => config_verb(&verb),
        Verb::Control(role) => control::run(&role.config, role.parent).map(|()| ExitCode::SUCCESS),
        Verb::AiProxy(role) => ai_proxy::run(&role.config, role.parent).map(|()| ExitCode::SUCCESS),
        Verb::Edge(role) => edge::run(&role.config, role.parent).map(|()| ExitCode::SUCCESS),
        Verb::Ssh(role) => ssh::run(&role.config, role.parent).map(|()| ExitCode::SUCCESS),
        Verb::Host(role) => match host::run(&Install::find()?, &role.config, role.parent)? {},
    }
}

fn config_verb(verb: &ConfigVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ConfigVerb::Check { place, json } => {
            config::check(&place.data, place.config.as_deref(), *json)
        }
        ConfigVerb::Show { place } => with_platform(place, None, |up, _| {
            output::data(toml::to_string(up.config)?.trim_end());
            Ok(ExitCode::SUCCESS)
        }),
        ConfigVerb::Defaults => {
            output::data(DOCUMENTED.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Reads where everything is and what is configured, and acts on it.
///
/// # Errors
/// Where the configuration or a program cannot be read, and as `act`.
pub(crate) fn with_platform<T>(
    place: &Place,
    listen: Option<SocketAddr>,
    act: impl FnOnce(&Up<'_>, &Source) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let layout = Layout::new(&place.data)?;
    let (mut config, source): (Config, _) =
        config::load(place.config.as_deref(), &layout.configs())?;
    if let Some(listen) = listen {
        config.api.listen = listen;
    }
    let install = Install::find()?;
    act(&Up { layout: &layout, install: &install, config: &config }, &source)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn our_options_are_taken_wherever_they_stand() {
        for words in [
            &["build", "tiny", "--data", "/d", "--fresh"][..],
            &["--data=/d", "build", "tiny", "--fresh"],
        ] {
            let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let place = Place::taken_from(&mut words).unwrap();
            assert_eq!(place.data, "/d");
            assert_eq!(words, ["build", "tiny", "--fresh"]);
        }
        assert!(Place::taken_from(&mut vec!["build".to_owned(), "--data".to_owned()]).is_err());
    }
}
