//! Where things are: the files of one platform below its data directory, and the programs that
//! were installed together with this one.
//! Invariant: the only place that joins these names. Makes nothing (see `data`).

use std::{env, io};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::config::Config;

/// The data directory of a platform that nobody chose another one for.
pub(crate) const DEFAULT_DATA: &str = "/var/lib/rigbox";

/// The configuration of a platform that has none in its data directory.
const SYSTEM_CONFIG: &str = "/etc/rigbox/rigbox.toml";

/// A role: one process of the platform.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The API and the database.
    Control,
    /// Calls of AI providers.
    AiProxy,
    /// The micro-VMs of this machine.
    Host,
    /// Apps, to their visitors.
    Edge,
    /// Workspaces, to whoever comes by SSH.
    Ssh,
}

impl Role {
    /// In the order in which they start.
    pub(crate) const ALL: [Self; 5] =
        [Self::Control, Self::AiProxy, Self::Host, Self::Edge, Self::Ssh];

    /// The word for it in commands and file names.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::AiProxy => "ai-proxy",
            Self::Host => "host",
            Self::Edge => "edge",
            Self::Ssh => "ssh",
        }
    }
}

/// The files of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    data: Utf8PathBuf,
}

impl Layout {
    /// Of the platform in `data`.
    ///
    /// # Errors
    /// Where the path cannot be made absolute.
    pub(crate) fn new(data: &Utf8Path) -> io::Result<Self> {
        Ok(Self { data: camino::absolute_utf8(data)? })
    }

    /// The directory itself.
    pub(crate) fn data(&self) -> &Utf8Path {
        &self.data
    }

    /// What a person types to do something with this platform.
    pub(crate) fn command(&self, verb: &str) -> String {
        if self.data == DEFAULT_DATA {
            return format!("rigbox {verb}");
        }
        format!("rigbox {verb} --data {}", self.data)
    }

    /// Where a configuration is looked for.
    pub(crate) fn configs(&self) -> [Utf8PathBuf; 2] {
        [self.config(), SYSTEM_CONFIG.into()]
    }

    /// The platform's own configuration.
    pub(crate) fn config(&self) -> Utf8PathBuf {
        self.data.join("rigbox.toml")
    }

    /// The platform's tag, which every kernel object of it carries.
    pub(crate) fn instance(&self) -> Utf8PathBuf {
        self.data.join("instance")
    }

    /// The id of this machine as a host.
    pub(crate) fn host_id(&self) -> Utf8PathBuf {
        self.data.join("host-id")
    }

    /// There while a restore fills the directory, and where one was cut off.
    pub(crate) fn restoring(&self) -> Utf8PathBuf {
        self.data.join("restoring")
    }

    /// The host's configuration for a backup or a restore.
    pub(crate) fn backup_config(&self) -> Utf8PathBuf {
        self.run().join("backup.toml")
    }

    /// The API key of whoever installed the platform: control makes it, and root can read it.
    pub(crate) fn admin_key(&self) -> Utf8PathBuf {
        self.control().join("admin.key")
    }

    /// There once the SSH key of whoever installed the platform was offered to it.
    pub(crate) fn ssh_key_offered(&self) -> Utf8PathBuf {
        self.data.join("ssh-key-offered")
    }

    /// What only matters while something runs.
    pub(crate) fn run(&self) -> Utf8PathBuf {
        self.data.join("run")
    }

    /// Held by the supervisor.
    pub(crate) fn lock(&self) -> Utf8PathBuf {
        self.run().join("up.lock")
    }

    /// What the supervisor started.
    pub(crate) fn state(&self) -> Utf8PathBuf {
        self.run().join("up.json")
    }

    /// Configuration that the supervisor writes for a role.
    pub(crate) fn role_config(&self, role: Role) -> Utf8PathBuf {
        self.run().join(format!("{}.toml", role.as_str()))
    }

    /// Log of a role, of the supervisor, or of building images.
    pub(crate) fn log(&self, of: &str) -> Utf8PathBuf {
        self.data.join("logs").join(format!("{of}.log"))
    }

    /// What control keeps.
    pub(crate) fn control(&self) -> Utf8PathBuf {
        self.data.join("control")
    }

    /// The embedded database.
    pub(crate) fn database(&self) -> Utf8PathBuf {
        self.control().join("rigbox.db")
    }

    /// Where control makes its socket: its own directory, because it is not root when it does.
    pub(crate) fn control_run(&self) -> Utf8PathBuf {
        self.run().join("control")
    }

    /// Where hosts reach control.
    pub(crate) fn control_socket(&self) -> Utf8PathBuf {
        self.control_run().join("control.sock")
    }

    /// Where the edge of this machine reaches control.
    pub(crate) fn control_edge_socket(&self) -> Utf8PathBuf {
        self.control_run().join("edge.sock")
    }

    /// Where the SSH gateway of this machine reaches control.
    pub(crate) fn control_ssh_socket(&self) -> Utf8PathBuf {
        self.control_run().join("ssh.sock")
    }

    /// What the AI proxy keeps: its journal of calls.
    pub(crate) fn ai_proxy(&self) -> Utf8PathBuf {
        self.data.join("ai-proxy")
    }

    /// Where the AI proxy makes its socket.
    pub(crate) fn ai_proxy_run(&self) -> Utf8PathBuf {
        self.run().join("ai-proxy")
    }

    /// Where hosts reach the AI proxy.
    pub(crate) fn ai_proxy_socket(&self) -> Utf8PathBuf {
        self.ai_proxy_run().join("ai-proxy.sock")
    }

    /// What the edge keeps: routes and certificates, to serve them without control.
    pub(crate) fn edge(&self) -> Utf8PathBuf {
        self.data.join("edge")
    }

    /// Where the edge makes its socket.
    pub(crate) fn edge_run(&self) -> Utf8PathBuf {
        self.run().join("edge")
    }

    /// Where the edge tells its metrics.
    pub(crate) fn edge_metrics(&self) -> Utf8PathBuf {
        self.edge_run().join("metrics.sock")
    }

    /// Where the SSH gateway makes its socket.
    pub(crate) fn ssh_run(&self) -> Utf8PathBuf {
        self.run().join("ssh")
    }

    /// Where the SSH gateway answers once it serves.
    pub(crate) fn ssh_ready(&self) -> Utf8PathBuf {
        self.ssh_run().join("ready.sock")
    }

    /// Where the host makes its sockets.
    pub(crate) fn host_run(&self) -> Utf8PathBuf {
        self.run().join("host")
    }

    /// Where control reaches the host.
    pub(crate) fn host_socket(&self) -> Utf8PathBuf {
        self.host_run().join("host.sock")
    }

    /// Where the host passes connections into workspaces to control.
    pub(crate) fn dial_socket(&self) -> Utf8PathBuf {
        self.host_run().join("dial.sock")
    }

    /// Where the host passes connections to apps to the edge.
    pub(crate) fn dial_edge_socket(&self) -> Utf8PathBuf {
        self.host_run().join("dial-edge.sock")
    }

    /// Where the host passes connections to SSH servers to the gateway.
    pub(crate) fn dial_ssh_socket(&self) -> Utf8PathBuf {
        self.host_run().join("dial-ssh.sock")
    }

    /// Directories that must exist, with the mode of each. What others than root need to pass
    /// through is 0711: they can reach what they know of and list nothing.
    pub(crate) fn folders(&self) -> [(Utf8PathBuf, u32); 11] {
        [
            (self.data.clone(), 0o711),
            (self.run(), 0o711),
            (self.data.join("logs"), 0o700),
            (self.control(), 0o700),
            (self.control_run(), 0o711),
            (self.ai_proxy(), 0o700),
            (self.ai_proxy_run(), 0o700),
            (self.edge(), 0o700),
            (self.edge_run(), 0o700),
            (self.ssh_run(), 0o700),
            (self.host_run(), 0o711),
        ]
    }
}

/// The programs and files that were installed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Install {
    own: Utf8PathBuf,
}

impl Install {
    /// Asks the kernel what runs.
    ///
    /// # Errors
    /// Where it does not say, or the path is not UTF-8.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let own = env::current_exe().context("find this executable")?;
        // The kernel adds a mark to the path of a file that was replaced since.
        let own = Utf8PathBuf::try_from(own).context("the path of this executable")?;
        let own = own.as_str().strip_suffix(" (deleted)").map(Utf8PathBuf::from).unwrap_or(own);
        Ok(Self { own })
    }

    /// This executable.
    pub(crate) fn own(&self) -> &Utf8Path {
        &self.own
    }

    /// A program that belongs to the platform: beside this one, or in its library folder.
    ///
    /// # Errors
    /// Says where it was looked for.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<Utf8PathBuf> {
        let folder = self.folder();
        let places = [folder.join(name), folder.join("../lib/rigbox").join(name)];
        match places.iter().find(|place| place.is_file()) {
            Some(found) => Ok(found.clone()),
            None => {
                bail!("the program {name} is neither in {folder} nor in {folder}/../lib/rigbox")
            }
        }
    }

    /// The folder of image recipes.
    ///
    /// # Errors
    /// Says where it was looked for.
    pub(crate) fn recipes(&self, config: &Config) -> anyhow::Result<Utf8PathBuf> {
        self.resource(
            "RIGBOX_IMAGES",
            config.images.recipes.as_ref(),
            "images.recipes",
            &["../share/rigbox/images", "../../images"],
        )
    }

    /// The folder of the static programs for images.
    ///
    /// # Errors
    /// Says where it was looked for.
    pub(crate) fn guest(&self, config: &Config) -> anyhow::Result<Utf8PathBuf> {
        self.resource(
            "RIGBOX_GUEST",
            config.images.guest.as_ref(),
            "images.guest",
            &["../lib/rigbox/guest", "../guest/x86_64-unknown-linux-gnu/guest"],
        )
    }

    fn resource(
        &self,
        variable: &str,
        configured: Option<&Utf8PathBuf>,
        key: &str,
        relative: &[&str],
    ) -> anyhow::Result<Utf8PathBuf> {
        let chosen = env::var(variable).ok().filter(|path| !path.is_empty()).map(Utf8PathBuf::from);
        if let Some(path) = configured.cloned().or(chosen) {
            return path.canonicalize_utf8().with_context(|| format!("{key}: {path}"));
        }
        let places = relative.iter().map(|place| self.folder().join(place));
        match places.filter_map(|place| place.canonicalize_utf8().ok()).find(|place| place.is_dir())
        {
            Some(found) => Ok(found),
            None => bail!("no folder for {key} was found near {}; set it in rigbox.toml", self.own),
        }
    }

    fn folder(&self) -> &Utf8Path {
        self.own.parent().unwrap_or_else(|| Utf8Path::new("/"))
    }
}
