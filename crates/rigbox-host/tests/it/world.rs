//! One instance: a data directory with an image, a control, and an agent that can be killed.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, ExitStatus},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_fabric::{Client, ClientAuth};
use rigbox_types::{
    AccountId, Desired, Generation, Timestamp, WorkspaceId,
    host::{Assignment, Egress, GuestSetup, Resources, Speed},
};
use tokio::time::{sleep, timeout};

use crate::{control::Control, roles};

/// Longest wait for a process to end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) control: Control,
    agent: Option<Child>,
}

impl World {
    /// A world whose agent does not run yet.
    pub(crate) async fn new(more: &str) -> Self {
        // Short, because sockets are in it.
        let dir = tempfile::Builder::new().prefix("rbt").tempdir_in("/tmp").unwrap();
        let data = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        let socket = data.join("run/control.sock");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let control = Control::start(format!("unix:{socket}").parse().unwrap()).await;
        let world = Self { dir, control, agent: None };
        world.write_config(more);
        world.make_image();
        world.make_kernel();
        world
    }

    /// A world with few resources, quick times and plain disks.
    pub(crate) async fn quick() -> Self {
        Self::new("").await
    }

    pub(crate) fn data(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().to_owned()
    }

    fn config(&self) -> Utf8PathBuf {
        self.data().join("host.toml")
    }

    fn write_config(&self, more: &str) {
        let data = self.data();
        // Keys of the file itself stand before its tables.
        let (top, more) = more.split_at(more.find('[').unwrap_or(more.len()));
        let disk = if more.contains("[disk]") { "" } else { "[disk]\npool = 'never'\n" };
        let network = if more.contains("[network]") { "" } else { "[network]\npool_size = 2\n" };
        let capacity = if more.contains("[capacity]") {
            ""
        } else {
            "[capacity]\nvcpus = 64\nmemory_mib = 65536\ndisk_mib = 65536\n"
        };
        let times = if more.contains("[times]") {
            ""
        } else {
            "[times]\nboot_ms = 20000\nshutdown_ms = 300\npower_ms = 200\nsettle_ms = 500\n\
             sweep_ms = 200\nreport_ms = 200\n"
        };
        let text = format!(
            "data = '{data}'\nid = 'host-testtest'\nregion = 'local'\n\
             control = 'unix:{data}/run/control.sock'\nlisten = 'unix:{data}/run/host.sock'\n\
             dial = '{data}/run/dial.sock'\ndial_ssh = '{data}/run/dial-ssh.sock'\n\
             {top}{network}{disk}{capacity}{times}{more}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    fn make_image(&self) {
        let dir = self.data().join("images/tiny");
        fs::create_dir_all(&dir).unwrap();
        let root = dir.join("root.ext4");
        run("mke2fs", &["-q", "-F", "-t", "ext4", root.as_str(), "8M"]);
        let manifest = serde_json::json!({
            "name": "tiny", "description": "", "digest": digest(&root), "recipe_digest": "",
            "size_bytes": 8 << 20, "stored_bytes": 0, "built_at": "2026-12-01T00:00:00Z",
            "suite": "", "packages": [],
        });
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    }

    fn make_kernel(&self) {
        let dir = self.data().join("kernels/own");
        fs::create_dir_all(&dir).unwrap();
        let image = dir.join("vmlinux");
        fs::write(&image, "kernel").unwrap();
        let manifest = serde_json::json!({
            "kind": "own", "release": "6", "digest": digest(&image), "initrd_digest": null,
            "built_at": "2026-12-01T00:00:00Z", "packages": [],
        });
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    }

    /// Starts the agent.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the agent, to be killed at a fault point.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.agent.is_none());
        let log = fs::File::options().append(true).create(true).open(self.log()).unwrap();
        let mut command = roles::agent("run", &self.config());
        command.envs(environment.iter().copied()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
    }

    /// Kills the agent as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.agent.as_mut().unwrap().kill().unwrap();
        self.ended().await;
    }

    /// Asks the agent to end, and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        run("kill", &[&self.agent.as_ref().unwrap().id().to_string()]);
        self.ended().await
    }

    /// Waits until the agent has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().unwrap();
        let waiting = tokio::task::spawn_blocking(move || agent.wait().unwrap());
        timeout(PATIENCE, waiting).await.unwrap().unwrap()
    }

    /// Whether the agent has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.agent.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Runs another agent on the same directory and gives back what it says.
    pub(crate) fn second_agent(&self) -> (ExitStatus, String) {
        let output = roles::agent("run", &self.config()).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Takes the instance down. Fails where something is left.
    pub(crate) fn down(&self) {
        let log = fs::File::options().append(true).create(true).open(self.log()).unwrap();
        let status = roles::agent("down", &self.config()).stderr(log).status().unwrap();
        assert!(status.success(), "{}", self.log_text());
    }

    /// A client of the agent's own listener.
    pub(crate) fn client(&self) -> Client {
        let address = format!("unix:{}/run/host.sock", self.data()).parse().unwrap();
        Client::new(address, &ClientAuth::Local).unwrap()
    }

    pub(crate) fn tag(&self) -> String {
        fs::read_to_string(self.data().join("instance")).unwrap()
    }

    fn log(&self) -> Utf8PathBuf {
        self.data().join("agent.log")
    }

    fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Process of a workspace's VM, as its record says.
    pub(crate) fn pid(&self, workspace: &WorkspaceId) -> Option<u32> {
        let record = self.data().join(format!("host/workspaces/{workspace}/record.json"));
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).ok()?).unwrap();
        record["vm"]["process"]["pid"].as_u64().map(|pid| u32::try_from(pid).unwrap())
    }

    /// How many VMs of this instance run, whether a record knows them or not.
    pub(crate) fn vms(&self) -> usize {
        let data = self.data();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let has = |path: std::path::PathBuf, words: &str| {
            fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(words))
        };
        let is_ours = |dir: &std::path::Path| {
            has(dir.join("cmdline"), "guest=ws-") && has(dir.join("environ"), data.as_str())
        };
        processes.filter(|entry| is_ours(&entry.path())).count()
    }

    /// Slot of a workspace, as its record says.
    pub(crate) fn slot(&self, workspace: &WorkspaceId) -> u64 {
        let record = self.data().join(format!("host/workspaces/{workspace}/record.json"));
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        record["slot"].as_u64().unwrap()
    }

    /// Names in a directory of the instance.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        let Ok(entries) = self.data().join(dir).read_dir_utf8() else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().to_owned()).collect()
    }

    /// Nothing of any workspace is left.
    pub(crate) fn assert_clean(&self) {
        for dir in ["host/workspaces", "run/vm", "pool/workspaces"] {
            assert_eq!(self.names(dir), Vec::<String>::new(), "{dir}");
        }
        let parent = format!("rigbox-{}", self.tag());
        for controller in ["cpu", "memory", "pids", "blkio", "unified", "."] {
            let dir = Utf8PathBuf::from(format!("/sys/fs/cgroup/{controller}/{parent}"));
            let Ok(entries) = dir.read_dir_utf8() else { continue };
            let dirs = entries.flatten().filter(|entry| entry.path().is_dir());
            assert_eq!(dirs.count(), 0, "{dir}");
        }
    }

    /// Waits for something that only a look can tell.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let waiting = async {
            while !holds() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "waited for {what}\n{}", self.log_text());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_text());
        }
        if roles::agent("down", &self.config()).status().is_ok_and(|ended| ended.success()) {
            return;
        }
        eprintln!("this world was not taken down: {}", self.data());
    }
}

/// A small workspace; generation is given by control.
pub(crate) fn assignment(n: u8, desired: Desired) -> Assignment {
    Assignment {
        workspace: WorkspaceId::from_random([n; 8]),
        generation: Generation(0),
        desired,
        restart_generation: Generation(0),
        retry_generation: Generation(0),
        force: false,
        image: "tiny".parse().unwrap(),
        resources: Resources { vcpus: 1, memory_mib: 64, disk_mib: 12 },
        speed: Speed::default(),
        egress: Egress::default(),
        guest: GuestSetup {
            name: format!("test-{n}").parse().unwrap(),
            region: "local".parse().unwrap(),
            api_url: "http://127.0.0.1:7070".to_owned(),
            account: AccountId::from_random([1; 16]),
            created_at: Timestamp::from_micros(0),
            env: BTreeMap::new(),
            proxy_env: None,
            authorized_keys: Vec::new(),
            setup_scripts: Vec::new(),
            services: Vec::new(),
            ssh: None,
        },
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn digest(path: &Utf8Path) -> String {
    run("sha256sum", &[path.as_str()]).split(' ').next().unwrap().to_owned()
}
