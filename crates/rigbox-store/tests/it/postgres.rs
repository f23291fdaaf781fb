//! A PostgreSQL server of the test's own: unix socket only, gone with the test however it ends.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rigbox_store::StoreUrl;

/// Where Debian has the servers, one folder a version.
const SERVERS: &str = "/usr/lib/postgresql";

/// The system user that a server runs as when the tests run as root: it refuses root itself.
const USER: &str = "postgres";

/// Nothing that a test proves survives a power cut, so nothing is forced to disk.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=150",
    "shared_buffers=16MB",
];

/// A running server.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        // The short name leaves room for the socket's own in 107 bytes.
        let dir = tempfile::Builder::new().prefix("rb-pg").tempdir_in("/tmp").unwrap();
        let data = dir.path().join("data");
        run(Command::new("cp").arg("-a").arg(template()).arg(&data));
        give_to_user(dir.path());
        let mut server = Self { dir, child: None };
        server.start_again();
        server
    }

    /// Starts it after [`Server::kill`].
    pub(crate) fn start_again(&mut self) {
        let mut command = as_user("postgres");
        command.arg("-D").arg(self.dir.path().join("data"));
        command.arg("-k").arg(self.dir.path());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("server ended: {said:#?}") };
            let ready = line.contains("database system is ready to accept connections");
            said.push(line);
            if ready {
                break;
            }
        }
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    /// Ends it like a crash.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn url(&self) -> StoreUrl {
        let dir = self.dir.path().to_str().unwrap();
        format!("postgres://{USER}@localhost/postgres?host={dir}").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A data directory as initdb makes it, made once for all tests of a target directory.
fn template() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = tmp.join("postgres-template");
    let lock = File::create(tmp.join("postgres-template.lock")).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        let fresh = tempfile::Builder::new().prefix("rb-pg").tempdir_in("/tmp").unwrap();
        give_to_user(fresh.path());
        let data = fresh.path().join("data");
        let mut initdb = as_user("initdb");
        initdb.args(["--wal-segsize=1"]);
        initdb.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]);
        run(initdb.args(["-U", USER, "-D"]).arg(&data));
        // Whole or not at all, should this be killed.
        let half = tmp.join("postgres-template.new");
        run(Command::new("rm").arg("-rf").arg(&half));
        run(Command::new("cp").arg("-a").arg(&data).arg(&half));
        std::fs::rename(&half, &template).unwrap();
    }
    template
}

/// A program of the server, as the user that it may run as. It ends with this thread.
fn as_user(program: &str) -> Command {
    let program = newest_server().join("bin").join(program);
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
    }
    command.arg(program).current_dir("/").process_group(0);
    command
}

fn newest_server() -> PathBuf {
    let entries = std::fs::read_dir(SERVERS).into_iter().flatten().flatten();
    let versions = entries.filter(|entry| entry.path().join("bin/initdb").exists());
    let newest = versions
        .max_by_key(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    let Some(newest) = newest else {
        panic!("no PostgreSQL server in {SERVERS}: install it with `apt-get install postgresql`");
    };
    newest.path()
}

fn give_to_user(dir: &Path) {
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg(format!("{USER}:{USER}")).arg(dir));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
