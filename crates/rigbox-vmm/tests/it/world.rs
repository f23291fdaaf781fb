//! A world of its own for each test: directories, a namespace with a tap, a disk, and a gate that
//! remembers what it admitted. Dropping it ends and removes everything by name and process.

use std::{
    fs,
    io::Write,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_vmm::{
    DriverChoice, DriverConfig, GateError, IoLimits, KernelSpec, MacAddr, ProcessGate, ProcessId,
    VmSpec,
};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) dir: Utf8PathBuf,
    pub(crate) spec: VmSpec,
    pub(crate) gate: Gate,
    netns: String,
    _temporary: TempDir,
}

impl World {
    /// A world with a namespace, a tap of the VMM's user, and an empty disk.
    pub(crate) fn new(kernel: KernelSpec) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Unique among the processes of a test run, each of which has few worlds.
        let uid = 200_000 + (std::process::id() % 100_000) * 16 + number;
        let netns = format!("rbvmm-{}-{number}", std::process::id());
        let temporary = tempfile::Builder::new().prefix("rbvmm").tempdir_in("/tmp").unwrap();
        let dir = Utf8PathBuf::try_from(temporary.path().to_owned()).unwrap();
        run("ip", &["netns", "add", &netns]);
        let user = uid.to_string();
        let ip = |args: &[&str]| run("ip", &[&["-n", &netns], args].concat());
        ip(&["tuntap", "add", "tap0", "mode", "tap", "user", &user, "group", &user]);
        ip(&["addr", "add", "172.16.0.1/30", "dev", "tap0"]);
        ip(&["link", "set", "tap0", "address", "02:00:00:00:00:01", "up"]);
        fs::create_dir(dir.join("run")).unwrap();
        fs::create_dir(dir.join("jail")).unwrap();
        let root_disk = dir.join("disk.ext4");
        fs::File::create(&root_disk).unwrap().set_len(DISK_BYTES).unwrap();
        std::os::unix::fs::chown(&root_disk, Some(uid), Some(uid)).unwrap();
        let spec = VmSpec {
            workspace: format!("ws-{:08}", std::process::id() % 10_000_000 * 10 + number)
                .parse()
                .unwrap(),
            run_dir: dir.join("run"),
            kernel,
            root_disk,
            vcpus: 1,
            memory_mib: 128,
            netns: format!("/run/netns/{netns}").into(),
            tap: "tap0".to_owned(),
            guest_mac: GUEST_MAC,
            uid,
            gid: uid,
            console: dir.join("console.log"),
            hostname: "suite".parse().unwrap(),
            limits: IoLimits::default(),
        };
        Self { dir, spec, gate: Gate::default(), netns, _temporary: temporary }
    }

    pub(crate) fn config(&self, driver: DriverChoice) -> DriverConfig {
        DriverConfig {
            driver,
            launcher: Some(env!("CARGO_BIN_EXE_rigbox-launch").into()),
            ..DriverConfig::new(self.dir.join("jail"), self.dir.join("probe.json"))
        }
    }

    /// What is in the run directory, without directories.
    pub(crate) fn run_files(&self) -> Vec<String> {
        names(&self.spec.run_dir)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in self.gate.admitted.lock().unwrap().drain(..) {
            if let Some(fd) = process.open().unwrap() {
                // It may just have ended.
                rustix::process::pidfd_send_signal(&fd, rustix::process::Signal::KILL).ok();
            }
        }
        if std::thread::panicking() {
            let console = fs::read(&self.spec.console).unwrap_or_default();
            // The end of it: a guest may have written megabytes.
            let end = &console[console.len().saturating_sub(4096)..];
            let end = String::from_utf8_lossy(end);
            writeln!(std::io::stderr(), "the guest's console: {end}").ok();
        }
        // A namespace lives as long as a process is in it; its name goes now.
        run("ip", &["netns", "del", &self.netns]);
    }
}

/// Admits everything, or nothing, and remembers.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) admitted: Mutex<Vec<ProcessId>>,
    pub(crate) seen_programs: Mutex<Vec<String>>,
    pub(crate) refuses: bool,
}

#[async_trait]
impl ProcessGate for Gate {
    async fn admit(&self, process: &ProcessId) -> Result<(), GateError> {
        self.admitted.lock().unwrap().push(*process);
        let program =
            fs::read_link(format!("/proc/{}/exe", process.pid)).map_err(GateError::new)?;
        self.seen_programs.lock().unwrap().push(program.to_string_lossy().into_owned());
        if self.refuses { Err(GateError::new("refused by the test")) } else { Ok(()) }
    }
}

pub(crate) fn names(dir: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

static NUMBER: AtomicU32 = AtomicU32::new(0);
const DISK_BYTES: u64 = 32 << 20;
pub(crate) const GUEST_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
