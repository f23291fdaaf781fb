//! A PostgreSQL server of the run's own, with the defaults of an installation: what it has answered
//! is on disk. Gone with the run.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Where Debian has the servers, one folder a version.
const SERVERS: &str = "/usr/lib/postgresql";
/// The system user that a server runs as: it refuses root.
const USER: &str = "postgres";
/// A common size; the rest is as it comes.
const SETTINGS: [&str; 3] = ["listen_addresses=", "shared_buffers=256MB", "max_wal_size=2GB"];

/// A running server.
pub(crate) struct Server {
    child: Child,
    folder: Utf8PathBuf,
}

impl Server {
    /// Makes a cluster in `folder` and starts it.
    pub(crate) fn start(folder: &Utf8Path) -> Result<Self> {
        let folder = folder.join("pg");
        fs::create_dir(&folder).with_context(|| format!("make {folder}"))?;
        // Its directories are passed through by another user.
        run(Command::new("chmod").arg("711").arg(folder.parent().unwrap_or(&folder)))?;
        run(Command::new("chown").arg(format!("{USER}:{USER}")).arg(&folder))?;
        let data = folder.join("data");
        let initdb = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", USER, "-D"];
        run(as_user("initdb")?.args(initdb).arg(&data))?;
        let mut command = as_user("postgres")?;
        command.arg("-D").arg(&data).arg("-k").arg(&folder);
        SETTINGS.iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut server = Self { child: child.context("start postgres")?, folder };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let output = self.child.stderr.take().context("the server's output")?;
        let mut lines = BufReader::new(output).lines();
        let mut said = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else { bail!("postgres ended: {said:#?}") };
            let ready = line.contains("database system is ready to accept connections");
            said.push(line);
            if ready {
                break;
            }
        }
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}@localhost/postgres?host={}", self.folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGINT).ok();
        }
        self.child.wait().ok();
    }
}

fn as_user(program: &str) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT", "--reuid", USER, "--regid", USER, "--init-groups"]);
    command.arg(newest()?.join("bin").join(program)).current_dir("/");
    Ok(command)
}

fn newest() -> Result<PathBuf> {
    let folders =
        fs::read_dir(Path::new(SERVERS)).context("find PostgreSQL: scripts/setup --dev")?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let all = folders.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    all.filter(|path| path.join("bin/initdb").exists()).max_by_key(number).context("no PostgreSQL")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
