//! Programs that the product is measured beside, as processes of the run: started, waited for, ended.
//! Invariant: none outlives the run, however it ends. Does not know how any but nginx is configured.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::procfs;

/// How long a peer may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long one may take to end before it is ended.
const END_LIMIT: Duration = Duration::from_secs(10);
/// Open connections of one worker or thread: HAProxy wants two descriptors for each, and refuses to start
/// where the system has fewer.
pub(crate) const CONNECTIONS: u32 = 8_000;

/// A server's process. Ended, with what it started, when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts it, and waits until it listens at `port`.
    pub(crate) fn start(command: Command, folder: &Utf8Path, port: u16) -> Result<Self> {
        Self::start_within(START_LIMIT, command, folder, port)
    }

    /// The same of one that takes longer.
    pub(crate) fn start_within(
        limit: Duration,
        mut command: Command,
        folder: &Utf8Path,
        port: u16,
    ) -> Result<Self> {
        let what = format!("start {command:?}");
        let said = folder.join("said.txt");
        let file = std::fs::File::create(&said).with_context(|| format!("make {said}"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Self { child: command.spawn().with_context(|| what.clone())?, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < limit, "{what}: it does not listen");
            if let Some(status) = running.child.try_wait()? {
                let said = std::fs::read_to_string(&said).unwrap_or_default();
                bail!("{what}: ended with {status}: {said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > END_LIMIT {
                end_all(&procfs::family(self.child.id()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What does not end when it is asked to.
fn end_all(family: &[u32]) {
    for pid in family.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?.port())
}

/// Starts an nginx with this inside of `http`.
pub(crate) fn nginx(folder: &Utf8Path, workers: usize, http: &str, port: u16) -> Result<Running> {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/{what};\n"))
        .concat();
    let config = format!(
        "user root; worker_processes {workers}; worker_rlimit_nofile 65536; daemon off;\n\
         pid {folder}/nginx.pid; error_log {folder}/error.log;\n\
         events {{ worker_connections {CONNECTIONS}; }}\n\
         http {{ access_log off;\n{temporary}{http}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).with_context(|| format!("write {path}"))?;
    Running::start(words("nginx", &["-p", folder.as_str(), "-c", path.as_str()]), folder, port)
}

/// A program of the system, or of the tools that `scripts/setup --bench` installs.
pub(crate) fn words(program: &str, words: &[&str]) -> Command {
    let tools = std::env::var_os("RIGBOX_TOOLS").map(|tools| Path::new(&tools).join("bin"));
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let mut folders = tools.into_iter().chain(folders);
    let path = folders.find_map(|at| Some(at.join(program)).filter(|path| path.exists()));
    // Where the run ends in a way that drops nothing, it goes too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(path.unwrap_or_else(|| program.into())).args(words);
    command
}
