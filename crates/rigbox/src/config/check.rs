//! `rigbox config check`: everything about a configuration that can be known without starting anything.
//! Invariant: finds all that is wrong at once, each with its key; changes nothing; shows no value of a
//! file that holds a secret. What `up` refuses for its form is refused here first, by the same code.

use std::{
    fs, io,
    net::{IpAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    process::ExitCode,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::StoreUrl;
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::{Config, DriverChoice, Source, load, load::ConfigError};
use crate::{layout::Layout, listen::holder, output, state::State};

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What it is about; none where the file cannot be read at all.
    key: Option<String>,
    /// Where in the file, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    severity: Severity,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// The platform would not start, or not work.
    Error,
    /// It works, and probably not as it is meant to.
    Warning,
}

impl Finding {
    fn error(key: &str, message: impl Into<String>) -> Self {
        let (key, message) = (Some(key.to_owned()), message.into());
        Self { key, line: None, severity: Severity::Error, message }
    }

    fn warning(key: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, message) }
    }
}

/// Checks it. Exit code 1 where something is wrong.
///
/// # Errors
/// Where the data directory has no path.
pub(crate) fn run(
    data: &Utf8Path,
    asked: Option<&Utf8Path>,
    is_json: bool,
) -> anyhow::Result<ExitCode> {
    let layout = Layout::new(data)?;
    let (source, findings) = match load(asked, &layout.configs()) {
        Ok((config, source)) => (Some(source), look(&layout, &config)),
        Err(error) => (None, vec![of_load(&error)]),
    };
    let is_good = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let file = match &source {
        Some(Source::File(path)) => Some(path.as_str()),
        Some(Source::Defaults) | None => asked.map(Utf8Path::as_str),
    };
    if is_json {
        let document = json!({ "ok": is_good, "file": file, "findings": findings });
        output::data(&serde_json::to_string_pretty(&document)?);
    } else {
        tell(source.as_ref(), &findings, is_good);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(source: Option<&Source>, findings: &[Finding], is_good: bool) {
    for finding in findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let key = match &finding.key {
            // The message of a file that was refused has place and key in it.
            Some(key) if source.is_some() => format!("{key}: "),
            Some(_) | None => String::new(),
        };
        output::note(&format!("{word}: {key}{}", finding.message));
    }
    if is_good {
        output::note(&match source {
            Some(Source::File(path)) => format!("{path} is in order"),
            Some(Source::Defaults) | None => {
                "there is no configuration file; all defaults".to_owned()
            }
        });
    }
}

fn of_load(error: &ConfigError) -> Finding {
    let (key, line) = match error {
        ConfigError::Read { .. } => (None, None),
        ConfigError::UnknownKey { key, line, .. } => (Some(key.clone()), Some(*line)),
        ConfigError::Form { line, .. } => (None, Some(*line)),
        ConfigError::Value { key, .. } => (Some((*key).to_owned()), None),
    };
    let message = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    Finding { key, line, severity: Severity::Error, message }
}

fn look(layout: &Layout, config: &Config) -> Vec<Finding> {
    let mut all = Vec::new();
    port(layout, config, &mut all);
    let filters = [
        ("control.log", &config.control.log),
        ("ai.log", &config.ai.log),
        ("host.log", &config.host.log),
        ("edge.log", &config.edge.log),
        ("ssh.log", &config.ssh.log),
    ];
    for (key, filter) in filters {
        if EnvFilter::try_new(filter).is_err() {
            all.push(Finding::error(key, "is no filter; such as info, or info,rigbox_store=debug"));
        }
    }
    all.extend(config.control.database_url_file.as_deref().and_then(database));
    for (key, folder) in
        [("images.recipes", &config.images.recipes), ("images.guest", &config.images.guest)]
    {
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            all.push(Finding::error(key, format!("{folder} is no folder")));
        }
    }
    programs(config, &mut all);
    all
}

/// The API's address: of this machine, and free unless the platform itself has it.
fn port(layout: &Layout, config: &Config, all: &mut Vec<Finding>) {
    const KEY: &str = "api.listen";
    let address = config.api.listen;
    if !address.ip().is_loopback() {
        let message = "is not loopback, and the API speaks plain HTTP: put TLS in front of it";
        all.push(Finding::warning(KEY, message));
    }
    let own = State::read(layout).ok().flatten();
    let is_own = own.is_some_and(|state| {
        state.supervisor.is_alive() && state.api == format!("http://{address}")
    });
    if is_own {
        return;
    }
    match TcpListener::bind(address) {
        Ok(_free) => {}
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let port = address.port();
            all.push(Finding::error(KEY, format!("port {port} is taken by {}", holder(port))));
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let ip: IpAddr = address.ip();
            all.push(Finding::error(KEY, format!("{ip} is no address of this machine")));
        }
        // Whoever may not bind it here may as another user.
        Err(_) => {}
    }
}

/// The file with the URL of a database, without what is in it.
fn database(path: &Utf8Path) -> Option<Finding> {
    const KEY: &str = "control.database_url_file";
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Some(Finding::warning(KEY, format!("{path} cannot be read by this user")));
        }
        Err(error) => return Some(Finding::error(KEY, format!("{path}: {error}"))),
    };
    if let Err(error) = text.trim().parse::<StoreUrl>() {
        return Some(Finding::error(KEY, format!("{path}: {error}")));
    }
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let is_open = mode & 0o077 != 0;
    is_open.then(|| {
        Finding::warning(KEY, format!("{path} holds a password and has mode {mode:04o}, not 0600"))
    })
}

/// The programs of the driver that was chosen. `auto` takes what there is.
fn programs(config: &Config, all: &mut Vec<Finding>) {
    let host = &config.host;
    let needed: &[(&str, &Utf8PathBuf)] = match host.driver {
        DriverChoice::Auto => &[],
        DriverChoice::Firecracker => {
            &[("host.firecracker", &host.firecracker), ("host.jailer", &host.jailer)]
        }
        DriverChoice::Qemu | DriverChoice::QemuTcg => &[("host.qemu", &host.qemu)],
    };
    for (key, path) in needed {
        if !path.is_file() {
            all.push(Finding::error(key, format!("{path} is not there; rigbox doctor says more")));
        }
    }
    if host.driver == DriverChoice::Auto && !host.qemu.is_file() && !host.firecracker.is_file() {
        let message = "neither QEMU nor Firecracker is where the configuration says; rigbox doctor";
        all.push(Finding::error("host.driver", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &Config) -> Vec<(String, Severity)> {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().to_str().unwrap().into()).unwrap();
        let found = look(&layout, config).into_iter();
        found.map(|finding| (finding.key.unwrap_or_default(), finding.severity)).collect()
    }

    /// Nothing is wrong with it on any machine.
    fn good() -> Config {
        let mut config = Config::default();
        config.api.listen = "127.0.0.1:0".parse().unwrap();
        config.host.qemu = "/proc/self/exe".into();
        config
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once() {
        assert_eq!(keys(&good()), []);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = good();
        config.api.listen = taken.local_addr().unwrap();
        config.control.log = "a=b=c".to_owned();
        config.control.database_url_file = Some("/nowhere/url".into());
        config.images.recipes = Some("/nowhere".into());
        config.host.driver = DriverChoice::Firecracker;
        config.host.jailer = "/nowhere/jailer".into();
        config.host.firecracker = "/proc/self/exe".into();
        let wrong = [
            "api.listen",
            "control.log",
            "control.database_url_file",
            "images.recipes",
            "host.jailer",
        ];
        assert_eq!(keys(&config), wrong.map(|key| (key.to_owned(), Severity::Error)));
    }

    #[test]
    fn a_secret_that_others_can_read_is_a_warning_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Utf8Path::from_path(file.path()).unwrap();
        fs::write(path, "postgres://user:hunter2@name/database\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let found = database(path).unwrap();
        assert_eq!(found.severity, Severity::Warning);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(database(path), None);
        fs::write(path, "hunter2").unwrap();
        let refused = database(path).unwrap();
        assert_eq!(refused.severity, Severity::Error);
        assert!(!format!("{found:?}{refused:?}").contains("hunter2"));
    }

    #[test]
    fn an_address_that_others_reach_is_a_warning() {
        let mut config = good();
        config.api.listen = "0.0.0.0:0".parse().unwrap();
        assert_eq!(keys(&config), [("api.listen".to_owned(), Severity::Warning)]);
    }
}
