//! A guest without a VM: an agent with a directory as its root, reached like a VM's.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use rigbox_guest::{
    agent::{Config, Listen, run},
    client::{Agent, ExecStream, ForwardLimits, bridge},
};
use rigbox_types::guest::{ExecExit, ExecRequest, frame::Frame};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest that anything here may take; a hang is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The uid of `developer`: another than root's where the tests may switch.
pub(crate) fn developer_uid() -> u32 {
    let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap());
    if own == 0 { 1000 } else { own }
}

pub(crate) fn is_root() -> bool {
    developer_uid() == 1000
}

/// One guest, and its agent as the host has it.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) agent: Agent,
    running: Running,
    bridging: Option<(JoinHandle<()>, CancellationToken)>,
}

/// An agent in a process of its own, as in a guest, or in this one.
enum Running {
    Process(Child),
    Task(JoinHandle<std::io::Result<()>>),
}

impl Drop for World {
    fn drop(&mut self) {
        if let Running::Process(process) = &mut self.running {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// Makes a directory that looks like a guest's file system.
pub(crate) fn file_system() -> TempDir {
    let folder = tempfile::Builder::new().prefix("rg").tempdir().unwrap();
    let root = folder.path().join("root");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in
        ["etc/ssh", "etc/systemd/system", "home/developer", "run", "var/lib/systemd", "tmp", "bin"]
    {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(root.join("bin/bash"), "").unwrap();
    let uid = developer_uid();
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\ndeveloper:x:{uid}:{uid}:,,,:/home/developer:/bin/bash\n"
    );
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nsudo:x:27:developer\n").unwrap();
    fs::write(root.join("etc/bash.bashrc"), "[ -z \"$PS1\" ] && return\n").unwrap();
    chown(root.join("home/developer"), Some(uid), Some(uid)).unwrap();
    folder
}

impl World {
    /// A guest reached over a hybrid-vsock socket, as under Firecracker.
    pub(crate) async fn vsock() -> Self {
        Self::in_folder(file_system()).await
    }

    pub(crate) async fn in_folder(folder: TempDir) -> Self {
        let uds = path(&folder, "uds");
        let process = Command::new(env!("CARGO_BIN_EXE_rigbox-guest"))
            .arg("--root")
            .arg(folder.path().join("root"))
            .args(["--listen", &format!("hybrid:{uds}")])
            .spawn()
            .unwrap();
        let running = Running::Process(process);
        let world = Self { folder, agent: Agent::new(uds), running, bridging: None };
        world.agent.hello_within(PATIENCE).await.unwrap();
        world
    }

    /// A guest reached over a serial line and the bridge, as under QEMU.
    pub(crate) async fn serial() -> Self {
        let folder = file_system();
        let serial = path(&folder, "serial");
        let config =
            Config { root: folder.path().join("root"), listen: Listen::Serial(serial.into()) };
        let running = Running::Task(tokio::spawn(run(config)));
        let agent = Agent::new(path(&folder, "uds"));
        let mut world = Self { folder, agent, running, bridging: None };
        world.start_bridge();
        world.agent.hello_within(PATIENCE).await.unwrap();
        world
    }

    pub(crate) fn start_bridge(&mut self) {
        let (serial, uds) = (self.path("serial"), self.path("uds"));
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move { bridge(&serial, &uds, token).await.unwrap() });
        self.bridging = Some((task, shutdown));
    }

    /// Ends the bridge as a host process that is killed: nothing is said to the guest.
    pub(crate) async fn kill_bridge(&mut self) {
        let (task, _) = self.bridging.take().unwrap();
        task.abort();
        assert!(task.await.is_err());
    }

    /// Ends the agent as a process that is killed, and gives the guest's file system.
    pub(crate) fn kill_agent(mut self) -> TempDir {
        let Running::Process(process) = &mut self.running else { panic!("not a process") };
        process.kill().unwrap();
        process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        fs::remove_file(folder.path().join("uds")).unwrap();
        folder
    }

    /// Waits for the end of the agent.
    pub(crate) async fn ended(&mut self) -> std::io::Result<()> {
        let Running::Task(task) = &mut self.running else { panic!("not a task") };
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        path(&self.folder, name)
    }

    /// A path of the guest as the test reaches it.
    pub(crate) fn guest_path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.guest_path(path)).unwrap()
    }

    /// One exchange as the host forwards it.
    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let limits = ForwardLimits {
            head_timeout: PATIENCE,
            request_bytes: 64 * 1024 * 1024,
            response_bytes: 64 * 1024 * 1024,
        };
        let response = self.agent.forward(request, limits).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let request = Request::builder().method(method).uri(path);
        self.request(request.body(Full::new(body.into())).unwrap()).await
    }
}

fn path(folder: &TempDir, name: &str) -> Utf8PathBuf {
    Utf8Path::from_path(folder.path()).unwrap().join(name)
}

/// What the error document of an answer says.
pub(crate) fn code(response: &Response<Bytes>) -> String {
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    body["error"]["code"].as_str().unwrap().to_owned()
}

pub(crate) fn command(words: &[&str]) -> ExecRequest {
    ExecRequest {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        ..ExecRequest::default()
    }
}

pub(crate) fn shell(script: &str) -> ExecRequest {
    command(&["/bin/sh", "-c", script])
}

/// The next frame, which must come.
pub(crate) async fn next(stream: &mut ExecStream) -> Frame {
    tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap()
}

/// Reads output until it contains a text.
pub(crate) async fn read_until(stream: &mut ExecStream, text: &str) -> String {
    let mut output = String::new();
    while !output.contains(text) {
        let frame = tokio::time::timeout(PATIENCE, stream.next()).await;
        let frame = frame.unwrap_or_else(|_| panic!("no {text:?} in {output:?}"));
        match frame.unwrap().unwrap() {
            Frame::Stdout(bytes) => output.push_str(&String::from_utf8_lossy(&bytes)),
            Frame::Started(_) | Frame::Credit(_) => {}
            other => panic!("{other:?} after {output:?}"),
        }
    }
    output
}

/// Reads to the end; gives standard output and how the command ended.
pub(crate) async fn read_to_exit(stream: &mut ExecStream) -> (Vec<u8>, ExecExit) {
    let mut output = Vec::new();
    loop {
        match next(stream).await {
            Frame::Stdout(bytes) => output.extend(bytes),
            Frame::Exit(exit) => return (output, exit),
            Frame::Started(_) | Frame::Credit(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Looks until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A process that has ended and is not reaped yet does nothing any more.
    !stat.is_empty() && !stat.contains(") Z ")
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}
