//! Where it is measured: a server in a network namespace, which is the workspace; a jump host; the
//! gateway; and configurations of the client that lead to the server by each of the three ways.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{process::Process, procfs};

/// Files of a run's folder.
pub(super) const AUTHORITY: &str = "authority.pub";
pub(super) const PERSON: &str = "person.pub";
pub(super) const HOST_KEY: &str = "host-key.pub";

/// The two ends of the namespace, of the addresses that are for measurements (RFC 2544).
const HERE: &str = "198.18.83.1/30";
const THERE: &str = "198.18.83.2/30";
const SERVER: &str = "198.18.83.2:22";
const SSHD: &str = "/usr/sbin/sshd";
/// How long a server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The key exchange of all sides: the one that OpenSSH prefers takes it a tenth of a second.
const KEX: &str = "curve25519-sha256";
/// The ciphers of the client, as results name them.
pub(super) const CIPHERS: [(&str, &str); 2] =
    [("aes", "aes256-gcm@openssh.com"), ("chacha", "chacha20-poly1305@openssh.com")];

/// A way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Gateway,
    Jump,
    Direct,
}

impl Side {
    pub(super) const ALL: [Self; 3] = [Self::Gateway, Self::Jump, Self::Direct];

    /// In results, and the host that the client is told.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Jump => "jump",
            Self::Direct => "direct",
        }
    }
}

pub(super) struct Place {
    folder: Utf8PathBuf,
    gateway: Process,
    jump: Server,
    // After what runs in it.
    _server: Server,
    _namespace: Namespace,
}

impl Place {
    pub(super) fn make(folder: &Utf8Path) -> Result<Self> {
        for name in [PERSON, HOST_KEY] {
            let key = folder.join(name.trim_end_matches(".pub"));
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.as_str()])?;
        }
        // Debian has it made by the service, which is not started.
        fs::create_dir_all("/run/sshd").context("make /run/sshd")?;
        let namespace = Namespace::make()?;
        let gateway = Process::start(&["serve-ssh", folder.as_str(), SERVER])?;
        let listen = "ListenAddress 198.18.83.2\nPort 22\n";
        let server = Server::start(folder, ("server", listen), Some(&namespace.0), SERVER)?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listen = format!("ListenAddress 127.0.0.1\nPort {}\n", address.port());
        let jump = Server::start(folder, ("jump", &listen), None, &address.to_string())?;
        let folder = folder.to_owned();
        let place = Self { folder, gateway, jump, _server: server, _namespace: namespace };
        place.configure(address)?;
        Ok(place)
    }

    fn configure(&self, jump: SocketAddr) -> Result<()> {
        let gateway: SocketAddr = self.gateway.address.parse().context("the gateway's address")?;
        let (folder, user) = (&self.folder, user()?);
        for (name, cipher) in CIPHERS {
            let text = format!(
                "Host gateway\n HostName 127.0.0.1\n Port {}\n User work\n\
                 Host hop\n HostName 127.0.0.1\n Port {}\n\
                 Host jump\n HostName 198.18.83.2\n ProxyJump hop\n\
                 Host direct\n HostName 198.18.83.2\n\
                 Host *\n User {user}\n Ciphers {cipher}\n KexAlgorithms {KEX}\n IdentityFile {folder}/person\n\
                 IdentitiesOnly yes\n IdentityAgent none\n BatchMode yes\n ControlPath none\n\
                 UserKnownHostsFile /dev/null\n GlobalKnownHostsFile /dev/null\n\
                 StrictHostKeyChecking no\n LogLevel ERROR\n",
                gateway.port(),
                jump.port(),
            );
            fs::write(self.config(name), text).context("write a configuration")?;
        }
        Ok(())
    }

    fn config(&self, cipher: &str) -> Utf8PathBuf {
        self.folder.join(format!("ssh_config.{cipher}"))
    }

    /// The client on a way.
    pub(super) fn ssh(&self, side: Side, cipher: &str) -> tokio::process::Command {
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.arg("-F").arg(self.config(cipher)).kill_on_drop(true).arg(side.name());
        ssh
    }

    /// The processes between client and server.
    fn family(&self, side: Side) -> Vec<u32> {
        match side {
            Side::Gateway => vec![self.gateway.pid()],
            Side::Jump => procfs::family(self.jump.0.id()),
            Side::Direct => Vec::new(),
        }
    }

    /// Time that they were executed.
    pub(super) fn executed(&self, side: Side) -> Result<Duration> {
        self.family(side).into_iter().map(procfs::executed).sum()
    }

    /// Memory of them, KiB.
    pub(super) fn memory(&self, side: Side) -> Result<u64> {
        self.family(side).into_iter().map(|pid| Ok(procfs::memory(pid)?.pss)).sum()
    }

    /// How many descriptors the gateway has, or processes the jump host: as many as before once
    /// sessions have ended.
    pub(super) fn held(&self, side: Side) -> Result<usize> {
        if side == Side::Jump {
            return Ok(self.family(side).len());
        }
        let path = format!("/proc/{}/fd", self.gateway.pid());
        Ok(fs::read_dir(&path).with_context(|| format!("read {path}"))?.count())
    }
}

/// A server of OpenSSH's. Gone, with what it has started, when it is dropped.
struct Server(Child);

impl Server {
    fn start(
        folder: &Utf8Path,
        (name, listen): (&str, &str),
        namespace: Option<&str>,
        address: &str,
    ) -> Result<Self> {
        let path = folder.join(format!("sshd_config.{name}"));
        let text = format!(
            "{listen}HostKey {folder}/host-key\nTrustedUserCAKeys {folder}/{AUTHORITY}\n\
             AuthorizedKeysFile {folder}/{PERSON}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\n\
             MaxStartups 10000\nMaxSessions 10000\nLogLevel ERROR\nSetEnv SHLVL=2\n"
        );
        fs::write(&path, text).with_context(|| format!("write {path}"))?;
        let mut words = vec![SSHD, "-D", "-f", path.as_str()];
        if let Some(namespace) = namespace {
            words.splice(..0, ["ip", "netns", "exec", namespace]);
        }
        let (program, rest) = words.split_first().context("no words")?;
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::null());
        let server = Self(command.spawn().context("start sshd (Debian package openssh-server)")?);
        let (until, address) = (Instant::now() + START_LIMIT, address.parse()?);
        while TcpStream::connect_timeout(&address, START_LIMIT).is_err() {
            ensure!(Instant::now() < until, "the server {name} does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        use nix::{sys::signal, unistd::Pid};
        for pid in procfs::family(self.0.id()).into_iter().rev() {
            if let Ok(pid) = i32::try_from(pid) {
                // One that has ended since is gone already.
                signal::kill(Pid::from_raw(pid), signal::Signal::SIGKILL).ok();
            }
        }
        self.0.wait().ok();
    }
}

/// A network namespace with a pair of interfaces. Gone when it is dropped.
struct Namespace(String);

impl Namespace {
    fn make() -> Result<Self> {
        let name = format!("rbssh{}", std::process::id());
        run("ip", &["netns", "add", &name])?;
        let namespace = Self(name);
        let name = namespace.0.as_str();
        let (here, there) = (name, "eth0");
        let pair = ["link", "add", here, "type", "veth", "peer", "name", there, "netns", name];
        run("ip", &pair)?;
        run("ip", &["address", "add", HERE, "dev", here])?;
        run("ip", &["link", "set", here, "up"])?;
        run("ip", &["-n", name, "address", "add", THERE, "dev", there])?;
        run("ip", &["-n", name, "link", "set", there, "up"])?;
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The pair goes with the end that is in the namespace.
        run("ip", &["link", "delete", &self.0]).ok();
        run("ip", &["netns", "delete", &self.0]).ok();
    }
}

/// Who runs this, and logs in.
pub(super) fn user() -> Result<String> {
    let said = Command::new("id").arg("-un").output().context("ask who this is")?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// Of OpenSSH.
pub(super) fn version() -> Result<String> {
    let said = Command::new("ssh").arg("-V").output().context("ask ssh for its version")?;
    Ok(String::from_utf8_lossy(&said.stderr).trim().to_owned())
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let said = Command::new(program).args(words).output();
    let said = said.with_context(|| format!("start {program}"))?;
    if !said.status.success() {
        bail!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(())
}
