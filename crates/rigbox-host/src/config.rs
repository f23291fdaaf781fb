//! The host agent's configuration: one TOML file, typed, unknown keys refused.
//! Does not read the environment and holds no secret.

use std::{fs, io, net::Ipv4Addr, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_fabric::Address;
use rigbox_types::{HostId, RegionName, host::Speed};
use rigbox_vmm::{DriverChoice, DriverConfig, IoLimits};
use serde::Deserialize;

use crate::Layout;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data directory.
    pub data: Utf8PathBuf,
    /// Which host this is.
    pub id: HostId,
    /// The region it serves.
    pub region: RegionName,
    /// Where control listens for hosts.
    pub control: Address,
    /// Where the AI proxy listens for hosts; none: AI calls of workspaces are refused.
    #[serde(default)]
    pub ai: Option<Address>,
    /// Where this host listens for control.
    pub listen: Address,
    /// The socket for dials on this machine; none: `run/host/dial.sock` below the data directory.
    #[serde(default)]
    pub dial: Option<Utf8PathBuf>,
    /// The socket for dials of this machine's edge; none: it has none here.
    #[serde(default)]
    pub dial_edge: Option<Utf8PathBuf>,
    /// The socket for dials of this machine's SSH gateway; none: it has none here.
    #[serde(default)]
    pub dial_ssh: Option<Utf8PathBuf>,
    /// The user that control runs as on this machine; none: root only.
    #[serde(default)]
    pub control_uid: Option<u32>,
    /// The user that the edge runs as on this machine: it reaches apps and nothing else.
    #[serde(default)]
    pub edge_uid: Option<u32>,
    /// The user that the SSH gateway runs as on this machine: it reaches port 22 and nothing else.
    #[serde(default)]
    pub ssh_uid: Option<u32>,
    /// Certificate, key and CA where an address is not a unix socket.
    #[serde(default)]
    pub identity_dir: Option<Utf8PathBuf>,
    /// Drivers and their tools.
    #[serde(default)]
    pub vmm: Vmm,
    /// Namespaces and addresses.
    #[serde(default)]
    pub network: Network,
    /// Disks.
    #[serde(default)]
    pub disk: Disk,
    /// What may be promised; each one left out is measured at start.
    #[serde(default)]
    pub capacity: Capacity,
    /// What one workspace may use at most.
    #[serde(default)]
    pub limits: Limits,
    /// How long things may take.
    #[serde(default)]
    pub times: Times,
}

/// Drivers and their tools.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vmm {
    /// Which driver.
    #[serde(default)]
    pub driver: DriverChoice,
    /// QEMU, where it is not Debian's.
    #[serde(default)]
    pub qemu: Option<Utf8PathBuf>,
    /// Firecracker, where it is not in `/usr/local/bin`.
    #[serde(default)]
    pub firecracker: Option<Utf8PathBuf>,
    /// The jailer, where it is not in `/usr/local/bin`.
    #[serde(default)]
    pub jailer: Option<Utf8PathBuf>,
    /// The trampoline, where it is not beside the agent.
    #[serde(default)]
    pub launcher: Option<Utf8PathBuf>,
}

/// Namespaces and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Addresses of the veth pairs, two a workspace; none: a free range of 10.192.0.0/10.
    pub cidr: Option<String>,
    /// Namespaces that are made before they are needed. Making one takes about 50 ms; eight cover
    /// a burst of starts without a noticeable cost at rest.
    pub pool_size: u32,
    /// Resolvers for the guests; empty: those of the machine's `/etc/resolv.conf`.
    pub resolvers: Vec<Ipv4Addr>,
    /// First user id of the VMMs; each workspace has its own above it.
    pub first_uid: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self { cidr: None, pool_size: 8, resolvers: Vec::new(), first_uid: 2_000_000 }
    }
}

/// Disks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// Size of the pool file in GiB, where one is made; none: 70 % of what is free then. The file
    /// is sparse.
    pub pool_gib: Option<u32>,
    /// Whether a pool file is made where the data directory has no reflinks. Without one, disks are
    /// copied, which takes seconds instead of milliseconds.
    pub pool: PoolChoice,
    /// Free space below which no disk is made or grown, in MiB: the file system and the running
    /// guests need room.
    pub reserve_mib: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self { pool_gib: None, pool: PoolChoice::Auto, reserve_mib: 256 }
    }
}

/// Whether there is a pool file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolChoice {
    /// Where the data directory has no reflinks.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// What may be promised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// Virtual CPUs; none: 16 for each CPU, because most workspaces idle.
    pub vcpus: Option<u32>,
    /// Memory in MiB; none: what the machine has, less an eighth and at least 1 GiB for the rest.
    pub memory_mib: Option<u64>,
    /// Disk in MiB; none: the size of the file system that disks are on.
    pub disk_mib: Option<u64>,
}

/// What one workspace may use at most. 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes a second to and from its disk; none: no limit.
    pub disk_bps: Option<u64>,
    /// Operations a second on its disk; none: no limit.
    pub disk_iops: Option<u64>,
    /// Bytes a second, each way, on its network; none: no limit.
    pub net_bps: Option<u64>,
}

/// All workspaces share one disk, and without a limit one that copies files keeps the others from
/// reading. These leave a SATA SSD (500 MB/s, tens of thousands of operations) room for others, and
/// a boot reads less in its time. The network is left to whoever runs the machine: a limit costs each
/// start a queue, and what leads out is slower than the machine in most places.
impl Default for Limits {
    fn default() -> Self {
        Self { disk_bps: Some(200_000_000), disk_iops: Some(5_000), net_bps: None }
    }
}

impl Limits {
    /// What a workspace may use whose plan allows `speed`: the lower of each two numbers.
    #[must_use]
    pub fn with(&self, speed: Speed) -> IoLimits {
        let lower = |own: Option<u64>, plan: Option<u64>| {
            [own.filter(|own| *own > 0), plan].into_iter().flatten().min()
        };
        IoLimits {
            disk_bps: lower(self.disk_bps, speed.disk_bps),
            disk_iops: lower(self.disk_iops, speed.disk_iops),
            net_bps: lower(self.net_bps, speed.net_bps),
        }
    }
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// From the start of the VMM until the guest is ready. Emulated guests that boot ten at once
    /// on two cores were measured at under a minute.
    pub boot_ms: u64,
    /// For the guest's orderly shutdown. systemd gives a unit 90 s by default; a user who waits for
    /// `stop` will not.
    pub shutdown_ms: u64,
    /// For the reaction to the power button.
    pub power_ms: u64,
    /// How long a VM that should run may stay out of reach of a new agent before it is ended and
    /// booted anew. It may well serve its user meanwhile, and a machine that is short of memory or
    /// processes recovers within minutes.
    pub adopt_ms: u64,
    /// How long a VM must have been ready for earlier failures to be forgotten.
    pub settle_ms: u64,
    /// Between two sweeps.
    pub sweep_ms: u64,
    /// Between two reports, where nothing changes.
    pub report_ms: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            boot_ms: 180_000,
            shutdown_ms: 30_000,
            power_ms: 5_000,
            adopt_ms: 600_000,
            settle_ms: 60_000,
            sweep_ms: 60_000,
            report_ms: 10_000,
        }
    }
}

impl Times {
    pub(crate) fn boot(&self) -> Duration {
        Duration::from_millis(self.boot_ms)
    }

    pub(crate) fn shutdown(&self) -> Duration {
        Duration::from_millis(self.shutdown_ms)
    }

    pub(crate) fn power(&self) -> Duration {
        Duration::from_millis(self.power_ms)
    }

    pub(crate) fn adopt(&self) -> Duration {
        Duration::from_millis(self.adopt_ms)
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    pub(crate) fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }

    pub(crate) fn report(&self) -> Duration {
        Duration::from_millis(self.report_ms)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a configuration.
    #[error("{path} is not a configuration of a host")]
    Parse {
        /// Which file.
        path: Utf8PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// As [`ConfigError`].
    pub fn read(path: &Utf8Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(read)?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: source.into() })
    }

    /// Where dials on this machine are answered.
    #[must_use]
    pub fn dial_path(&self) -> Utf8PathBuf {
        self.dial.clone().unwrap_or_else(|| self.data.join("run/host/dial.sock"))
    }

    /// What the drivers need to know.
    #[must_use]
    pub fn driver(&self, layout: &Layout) -> DriverConfig {
        let mut driver =
            DriverConfig::new(layout.jails_dir(), layout.host_dir().join("probe.json"));
        driver.driver = self.vmm.driver;
        driver.launcher = self.vmm.launcher.clone();
        if let Some(qemu) = &self.vmm.qemu {
            driver.qemu.clone_from(qemu);
        }
        if let Some(firecracker) = &self.vmm.firecracker {
            driver.firecracker.clone_from(firecracker);
        }
        if let Some(jailer) = &self.vmm.jailer {
            driver.jailer.clone_from(jailer);
        }
        driver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "data = '/d'\nid = 'host-aaaaaaaa'\nregion = 'local'\n\
        control = 'unix:/d/c.sock'\nlisten = 'unix:/d/h.sock'\n";

    #[test]
    fn the_least_configuration_has_defaults_for_the_rest() {
        let config: Config = toml::from_str(LEAST).unwrap();
        assert_eq!(config.dial_path(), "/d/run/host/dial.sock");
        assert_eq!(config.times, Times::default());
        assert_eq!(config.ai, None);
        let config: Config = toml::from_str(&format!("{LEAST}ai = 'unix:/d/ai.sock'\n")).unwrap();
        assert_eq!(config.ai, Some("unix:/d/ai.sock".parse().unwrap()));
    }

    #[test]
    fn the_lower_of_the_host_s_and_the_plan_s_limit_holds() {
        let own = Limits { disk_bps: Some(200), disk_iops: Some(0), net_bps: None };
        let plan = Speed { disk_bps: Some(300), disk_iops: Some(40), net_bps: Some(5) };
        let both = IoLimits { disk_bps: Some(200), disk_iops: Some(40), net_bps: Some(5) };
        assert_eq!(own.with(plan), both);
        let slower = Speed { disk_bps: Some(100), ..plan };
        assert_eq!(own.with(slower).disk_bps, Some(100));
        let none = IoLimits { disk_bps: Some(200), ..IoLimits::default() };
        assert_eq!(own.with(Speed::default()), none);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        for wrong in ["pool = 1", "[network]\npoolsize = 1", "[times]\nboot_s = 1"] {
            assert!(toml::from_str::<Config>(&format!("{LEAST}{wrong}\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_platforms_file_says_of_our_defaults_is_true() {
        let file =
            Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../rigbox/src/config/default.toml");
        let text = fs::read_to_string(file).unwrap();
        let limits = Limits::default();
        let (bps, iops) = (limits.disk_bps.unwrap(), limits.disk_iops.unwrap());
        for line in [
            format!("Without it: {} for each of the machine's", crate::admission::VCPUS_PER_CPU),
            format!("# disk_bps = {bps}\n"),
            format!("# disk_iops = {iops}\n"),
        ] {
            assert!(text.contains(&line), "{line}");
        }
    }
}
