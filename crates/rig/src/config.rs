//! The configuration file: named contexts (server and key) and the default output.
//! Invariant: the file is written whole or not at all, and nobody but its owner may read it.
//! Does not decide which context a command uses (see `profile`).

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rigbox_types::ApiKeyId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    client::ServerUrl,
    error::{CommandError, CommandResult},
    output::Format,
};

/// Largest configuration that is read.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Longest wait for another rig that changes the configuration: it holds the lock for
/// milliseconds.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Permission bits that let somebody else in.
const FOREIGN_BITS: u32 = 0o077;

/// What the file says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The context that commands use when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current_context: Option<String>,
    /// How data is written when the command line does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Format>,
    /// Servers by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One server and the key for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Its address.
    pub(crate) url: ServerUrl,
    /// The API key; none when signed out.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub(crate) key: Option<SecretString>,
    /// The id of a key that was made by signing in here: signing out deletes it on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<ApiKeyId>,
    /// Certificates to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// The file is the one place where a key is written in the clear.
fn exposed<S: Serializer>(key: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(|key| key.expose_secret()).serialize(serializer)
}

/// Where the configuration is.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// `$XDG_CONFIG_HOME/rigbox/config.json`, or below `~/.config`.
    pub(crate) fn locate() -> CommandResult<Self> {
        let directory =
            |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = directory("XDG_CONFIG_HOME")
            .or_else(|| directory("HOME").map(|home| home.join(".config")))
            .ok_or_else(|| {
                CommandError::failed("no place for the configuration: HOME is not set")
                    .hint("export XDG_CONFIG_HOME=/path/of/a/directory")
            })?;
        Ok(Self { path: base.join("rigbox").join("config.json") })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; nothing when there is no file.
    pub(crate) fn read(&self) -> CommandResult<Config> {
        let name = self.path.display();
        let text = match read_bounded(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(error) => return Err(CommandError::file(format!("read {name}"), &error)),
        };
        serde_json::from_str(&text).map_err(|error| {
            CommandError::failed(format!("{name} is not readable as configuration: {error}"))
                .hint(format!("mv {name} {name}.old && rig login"))
        })
    }

    /// Changes it: reads, applies and writes while no other rig does.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Config) -> CommandResult<T>,
    ) -> CommandResult<T> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("/"));
        let denied = |error| CommandError::file(format!("write {}", self.path.display()), &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(denied)?;
        let lock = private(&directory.join("config.lock"), false).map_err(denied)?;
        acquire(&lock).map_err(denied)?;
        let mut config = self.read()?;
        let done = change(&mut config)?;
        self.replace(directory, &config).map_err(denied)?;
        Ok(done)
    }

    fn replace(&self, directory: &Path, config: &Config) -> io::Result<()> {
        let draft = directory.join(format!("config.json.{}", std::process::id()));
        let written = (|| {
            let mut file = private(&draft, true)?;
            let mut text = serde_json::to_string_pretty(config)?;
            text.push('\n');
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            File::open(directory)?.sync_all()
        })();
        if written.is_err() {
            // The reason that is told is why it was not written; the draft may not even exist.
            fs::remove_file(&draft).unwrap_or_default();
        }
        written
    }

    /// The permission bits, when somebody else may read or change the file.
    pub(crate) fn foreign_mode(&self) -> Option<u32> {
        let mode = fs::metadata(&self.path).ok()?.mode() & 0o777;
        (mode & FOREIGN_BITS != 0).then_some(mode)
    }
}

fn private(path: &Path, empty: bool) -> io::Result<File> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(empty).mode(0o600).open(path)?;
    // A file that was there keeps its mode: set it, so that no key is ever readable by others.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

fn acquire(lock: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() > LOCK_LIMIT => {
                return Err(io::Error::other("another rig keeps it locked"));
            }
            Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
}

/// Reads a text file of ours or of the user's, unless it is absurdly large.
pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    use io::Read as _;

    let mut text = String::new();
    let file = File::open(path)?;
    if file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)? as u64 > FILE_MAX_BYTES {
        return Err(io::Error::other("the file is larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &tempfile::TempDir) -> ConfigFile {
        ConfigFile { path: directory.path().join("rigbox").join("config.json") }
    }

    fn context(key: &str) -> Context {
        Context {
            url: "http://127.0.0.1:7070".parse().unwrap(),
            key: Some(SecretString::from(key)),
            key_id: None,
            ca_file: None,
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        for key in ["rb_one", "rb_two"] {
            file.change(|config| {
                config.contexts.insert("a".to_owned(), context(key));
                Ok(())
            })
            .unwrap();
            let read = file.read().unwrap();
            let read = read.contexts.get("a").unwrap().key.as_ref().unwrap().expose_secret();
            assert_eq!(read, key);
            assert_eq!(file.foreign_mode(), None);
        }
        let left: Vec<_> = fs::read_dir(file.path().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_key_is_not_in_the_debug_text() {
        assert!(!format!("{:?}", context("rb_secret")).contains("rb_secret"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        fs::create_dir_all(file.path().parent().unwrap()).unwrap();
        fs::write(file.path(), r#"{"context": "a"}"#).unwrap();
        let error = file.read().unwrap_err();
        assert!(error.message.contains("current_context"), "{error}");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.foreign_mode(), Some(0o644));
    }
}
