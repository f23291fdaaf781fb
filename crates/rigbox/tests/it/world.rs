//! A platform of a test's own: data directory, port, programs; nothing of it is left afterwards.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long a broken supervisor is watched. A working one takes about a second.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct World {
    folder: TempDir,
    pub(crate) up: Option<Child>,
}

impl World {
    pub(crate) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        let folder = tempfile::Builder::new().prefix("rbs").tempdir().unwrap();
        let world = Self { folder, up: None };
        for name in ["bin", "images", "guest", "data"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        let own = env!("CARGO_BIN_EXE_rigbox");
        if fs::hard_link(own, world.path("bin/rigbox")).is_err() {
            fs::copy(own, world.path("bin/rigbox")).unwrap();
        }
        world.program("rigbox-host", include_str!("agent.sh"));
        world.program("rigbox-launch", "#!/bin/sh\n");
        world.program("rig", "#!/bin/sh\ncat >\"$HOME/key-of-rig\"\n");
        world.configure("127.0.0.1:0");
        world
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn configure(&self, listen: &str) {
        let text = format!(
            "[api]\nlisten = \"{listen}\"\n[edge]\nlisten = \"127.0.0.1:0\"\n[ssh]\nlisten = \"127.0.0.1:0\"\n[images]\nready = [\"tiny\"]\n[first]\nworkspace = \"\"\n"
        );
        fs::write(self.path("data/rigbox.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn rigbox(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/rigbox"));
        command
            .args(arguments)
            .arg("--data")
            .arg(self.path("data"))
            .env("RIGBOX_IMAGES", self.path("images"))
            .env("RIGBOX_GUEST", self.path("guest"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `rigbox` to its end; exit code and everything it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        said(&self.rigbox(arguments).output().unwrap())
    }

    /// Starts `rigbox up` and waits until it says that it is ready.
    pub(crate) fn up(&mut self) {
        self.up_with(|_| {});
        self.ready();
    }

    /// Waits until the supervisor that was started last says that it is ready.
    pub(crate) fn ready(&self) {
        let own = self.supervisor();
        self.wait("the platform", |world| {
            let state = world.state();
            state.is_some_and(|s| s["phase"] == "ready" && s["supervisor"]["pid"] == own)
        });
    }

    pub(crate) fn up_with(&mut self, change: impl FnOnce(&mut Command)) {
        let log = fs::File::create(self.path("up.log")).unwrap();
        let mut command = self.rigbox(&["up"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        change(&mut command);
        self.up = Some(command.spawn().unwrap());
    }

    /// Waits until the supervisor ended; exit code and everything it said.
    pub(crate) fn ended(&mut self) -> (i32, String) {
        let mut up = self.up.take().unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = up.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "the supervisor does not end");
            thread::sleep(Duration::from_millis(10));
        };
        (status.code().unwrap_or(-1), fs::read_to_string(self.path("up.log")).unwrap())
    }

    pub(crate) fn signal(&self, pid: u32, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn supervisor(&self) -> u32 {
        self.up.as_ref().unwrap().id()
    }

    /// What the supervisor wrote down.
    pub(crate) fn state(&self) -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(self.path("data/run/up.json")).ok()?).ok()
    }

    pub(crate) fn role(&self, name: &str) -> Option<u32> {
        let state = self.state()?;
        let role = state["roles"].as_array()?.iter().find(|role| role["role"] == name)?;
        u32::try_from(role["process"]["pid"].as_u64()?).ok()
    }

    /// The status of an answer of the API.
    pub(crate) fn get(&self, path: &str) -> u16 {
        let state = self.state().unwrap();
        let address = state["api"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request =
            format!("GET /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Processes that have something of this world in their command lines.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let here = self.folder.path().to_str().unwrap();
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            words.contains(here).then(|| (pid, words.replace('\0', " ")))
        })
        .collect()
    }

    /// Waits for a value; what the supervisor said is the report where it does not come.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            if start.elapsed() > LIMIT {
                let log = fs::read_to_string(self.path("up.log")).unwrap_or_default();
                panic!("waited in vain for {what}\n{log}\n{:?}", self.processes());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                // It may have ended by itself meanwhile.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        if let Some(mut up) = self.up.take() {
            up.wait().ok();
        }
    }
}

/// Exit code and both outputs.
pub(crate) fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// The mode bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
