//! The cases that every driver must pass, written once.

use std::{fs, sync::Arc, time::Duration};

use rigbox_vmm::{Capability, ProcessId, Running, SnapshotPaths, Vmm, VmmError, console};
use tokio::time::{sleep, timeout};

use crate::{
    guest::{Guest, PATIENCE},
    world::World,
};

/// A driver and a world to try it in.
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) vmm: Arc<dyn Vmm>,
}

impl Fixture {
    pub(crate) async fn boot(&self) -> (Running, Guest) {
        let vm = self.vmm.boot(&self.world.spec, &self.world.gate).await.unwrap();
        let guest = Guest::connect(&vm.channel).await;
        (vm, guest)
    }

    /// Waits until the process is gone, removes what it left, and looks that nothing is.
    pub(crate) async fn ends_clean(&self, vm: &Running) {
        timeout(PATIENCE, vm.wait_exit()).await.expect("the VMM ends").unwrap();
        assert!(!vm.process.is_alive());
        self.is_clean().await;
    }

    pub(crate) async fn is_clean(&self) {
        for _ in 0..2 {
            self.vmm.clean(&self.world.spec).await.unwrap();
        }
        assert_eq!(self.world.run_files(), [""; 0]);
        let jails = walk(self.world.dir.join("jail").as_str());
        let id = self.world.spec.workspace.as_str();
        assert!(!jails.iter().any(|path| path.contains(id)), "{jails:?}");
    }
}

/// Instantiates every case for the driver of `$fixture`.
macro_rules! suite {
    ($fixture:ident) => {
        crate::cases::suite!($fixture:
            a_booted_guest_answers_and_ends_with_its_process,
            the_gate_sees_the_process_before_the_vmm_is_there,
            a_refused_process_leaves_nothing,
            a_start_that_is_abandoned_at_the_gate_leaves_nothing,
            a_former_processes_vm_is_adopted,
            another_process_is_not_adopted,
            a_paused_guest_is_silent_until_it_is_resumed,
            a_reboot_ends_the_process,
            a_panic_ends_the_process,
            a_killed_vm_is_gone_and_can_be_booted_again_over_what_it_left,
            a_vm_outlives_the_runtime_that_started_it,
            a_flooded_console_stays_small,
            the_vmm_has_no_privileges,
            a_missing_tap_is_refused_and_not_made,
            a_missing_disk_is_refused,
            a_broken_kernel_is_refused,
            a_snapshot_goes_on_where_it_was_taken,
            a_running_vm_is_not_snapshotted,
            a_snapshot_of_another_size_is_refused,
        );
    };
    ($fixture:ident: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                // A fixture may find that this machine has nothing to try.
                if let Some(fixture) = $fixture().await {
                    crate::cases::$case(fixture).await;
                }
            }
        )*
    };
}
pub(crate) use suite;

pub(crate) async fn a_booted_guest_answers_and_ends_with_its_process(fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("hello").await, "echo hello");
    assert_eq!(guest.ask("mac").await, "02:00:00:00:00:02");
    assert!(guest.ask("cmdline").await.contains("systemd.hostname=suite"));
    assert!(vm.process.is_alive());
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.ends_clean(&vm).await;
    let log = console::read(&fixture.world.spec.console).await.unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("guest is up"), "{log}");
}

pub(crate) async fn the_gate_sees_the_process_before_the_vmm_is_there(fixture: Fixture) {
    let (vm, _) = fixture.boot().await;
    let programs = fixture.world.gate.seen_programs.lock().unwrap().clone();
    assert!(programs[0].ends_with("rigbox-launch"), "{programs:?}");
    assert_eq!(*fixture.world.gate.admitted.lock().unwrap(), [vm.process]);
    let now = fs::read_link(format!("/proc/{}/exe", vm.process.pid)).unwrap();
    assert!(!now.to_string_lossy().ends_with("rigbox-launch"), "{now:?}");
    fixture.vmm.kill(&vm).await.unwrap();
}

pub(crate) async fn a_refused_process_leaves_nothing(mut fixture: Fixture) {
    fixture.world.gate.refuses = true;
    let error = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap_err();
    assert!(matches!(error, VmmError::NotAdmitted { .. }), "{error:?}");
    assert_all_gone(&fixture.world);
    fixture.is_clean().await;
}

pub(crate) async fn a_start_that_is_abandoned_at_the_gate_leaves_nothing(fixture: Fixture) {
    // The gate never opens: as if the host agent died between its record and the specification.
    let gate = StuckGate::default();
    tokio::select! {
        result = fixture.vmm.boot(&fixture.world.spec, &gate) => panic!("{result:?}"),
        () = gate.reached.notified() => {}
    }
    let process = gate.process.lock().unwrap().unwrap();
    timeout(PATIENCE, process.wait_exit()).await.expect("it ends by itself").unwrap();
    fixture.is_clean().await;
}

pub(crate) async fn a_former_processes_vm_is_adopted(fixture: Fixture) {
    let (vm, guest) = fixture.boot().await;
    let process = vm.process;
    drop((vm, guest));
    let vm = fixture.vmm.adopt(&fixture.world.spec, &process).await.unwrap();
    let mut guest = Guest::connect(&vm.channel).await;
    assert_eq!(guest.ask("again").await, "echo again");
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.ends_clean(&vm).await;
    let error = fixture.vmm.adopt(&fixture.world.spec, &process).await.unwrap_err();
    assert!(matches!(error, VmmError::Gone { .. }), "{error:?}");
}

pub(crate) async fn another_process_is_not_adopted(fixture: Fixture) {
    let (vm, _) = fixture.boot().await;
    // The same pid at another time: it must be neither adopted nor touched.
    let start_time_ticks = vm.process.start_time_ticks + 1;
    let reused = ProcessId { start_time_ticks, ..vm.process };
    let error = fixture.vmm.adopt(&fixture.world.spec, &reused).await.unwrap_err();
    assert!(matches!(error, VmmError::Gone { .. }), "{error:?}");
    reused.kill().await.unwrap();
    assert!(vm.process.is_alive());
    fixture.vmm.kill(&vm).await.unwrap();
}

pub(crate) async fn a_paused_guest_is_silent_until_it_is_resumed(fixture: Fixture) {
    assert!(fixture.vmm.capabilities().has(Capability::Pause));
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("before").await, "echo before");
    for _ in 0..2 {
        fixture.vmm.pause(&vm).await.unwrap();
    }
    guest.say("meanwhile").await;
    assert!(guest.is_silent_for(Duration::from_millis(300)).await);
    for _ in 0..2 {
        fixture.vmm.resume(&vm).await.unwrap();
    }
    // The answer to `meanwhile` comes first.
    assert_eq!(guest.ask("after").await, "echo meanwhile");
    fixture.vmm.kill(&vm).await.unwrap();
}

pub(crate) async fn a_reboot_ends_the_process(fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    guest.say("reboot").await;
    fixture.ends_clean(&vm).await;
}

pub(crate) async fn a_panic_ends_the_process(fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    guest.say("panic").await;
    fixture.ends_clean(&vm).await;
    let log = console::read(&fixture.world.spec.console).await.unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("Kernel panic"), "{log}");
}

pub(crate) async fn a_killed_vm_is_gone_and_can_be_booted_again_over_what_it_left(
    fixture: Fixture,
) {
    for _ in 0..2 {
        let (vm, mut guest) = fixture.boot().await;
        assert_eq!(guest.ask("hello").await, "echo hello");
        fixture.vmm.kill(&vm).await.unwrap();
        fixture.vmm.kill(&vm).await.unwrap();
        assert!(!vm.process.is_alive());
        assert!(!fixture.world.run_files().is_empty(), "what a killed VMM leaves");
    }
    assert_all_gone(&fixture.world);
}

pub(crate) async fn a_vm_outlives_the_runtime_that_started_it(fixture: Fixture) {
    // All that a host agent has of a VM ends with its runtime.
    let (fixture, process) = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let process = runtime.block_on(async { fixture.boot().await.0.process });
        (fixture, process)
    })
    .await
    .unwrap();
    let vm = fixture.vmm.adopt(&fixture.world.spec, &process).await.unwrap();
    let mut guest = Guest::connect(&vm.channel).await;
    assert_eq!(guest.ask("alive?").await, "echo alive?");
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.ends_clean(&vm).await;
}

pub(crate) async fn a_flooded_console_stays_small(fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("flood").await, "flooding");
    // While somebody listens, until it is more than a pipe or a socket holds ...
    let console = fixture.world.spec.console.clone();
    let seen = async {
        while console::read(&console).await.unwrap().len() < FLOOD_BYTES {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(FLOOD_LIMIT, seen).await.expect("the flood reaches the log");
    let process = vm.process;
    // ... and while nobody does: the guest goes on, and can still be talked to.
    drop((vm, guest));
    let vm = fixture.vmm.adopt(&fixture.world.spec, &process).await.unwrap();
    let mut guest = Guest::connect(&vm.channel).await;
    assert_eq!(guest.ask("still").await, "echo still");
    fixture.vmm.kill(&vm).await.unwrap();
    let kept = console::read(&fixture.world.spec.console).await.unwrap();
    assert!(kept.len() as u64 <= 2 * console::SEGMENT_BYTES + 64 * 1024, "{}", kept.len());
    fixture.ends_clean(&vm).await;
}

pub(crate) async fn the_vmm_has_no_privileges(fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("hello").await, "echo hello");
    let status = fs::read_to_string(format!("/proc/{}/status", vm.process.pid)).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    let id = fixture.world.spec.uid;
    assert_eq!(field("Uid"), format!("{id}\t{id}\t{id}\t{id}"));
    assert_eq!(field("Gid"), format!("{id}\t{id}\t{id}\t{id}"));
    assert_eq!(field("Groups"), "");
    assert_eq!(field("NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", vm.process.pid)).unwrap();
    let unlimited = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.contains("unlimited")
    };
    assert!(!unlimited("Max file size") && !unlimited("Max core file size"), "{limits}");
    let namespace = fs::read_link(format!("/proc/{}/ns/net", vm.process.pid)).unwrap();
    assert_ne!(namespace, fs::read_link("/proc/self/ns/net").unwrap());
    fixture.vmm.kill(&vm).await.unwrap();
}

pub(crate) async fn a_missing_tap_is_refused_and_not_made(mut fixture: Fixture) {
    fixture.world.spec.tap = "tap9".to_owned();
    let error = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap_err();
    assert!(matches!(error, VmmError::Launch { .. } | VmmError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("tap9"), "{error}");
    assert_all_gone(&fixture.world);
    fixture.is_clean().await;
}

pub(crate) async fn a_missing_disk_is_refused(fixture: Fixture) {
    fs::remove_file(&fixture.world.spec.root_disk).unwrap();
    let error = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap_err();
    assert!(error.to_string().contains("disk.ext4"), "{error:?}");
    assert_all_gone(&fixture.world);
    fixture.is_clean().await;
}

pub(crate) async fn a_broken_kernel_is_refused(mut fixture: Fixture) {
    let broken = fixture.world.dir.join("broken");
    fs::write(&broken, [7; 4096]).unwrap();
    fixture.world.spec.kernel.image = broken;
    let error = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap_err();
    assert!(matches!(error, VmmError::Ended { .. } | VmmError::Refused { .. }), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("kernel"), "{error}");
    assert_all_gone(&fixture.world);
    fixture.is_clean().await;
}

pub(crate) async fn a_snapshot_goes_on_where_it_was_taken(fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("remember the milk").await, "yes");
    let paths = snapshot(&fixture, &vm).await;
    // The snapshot does not end the VM.
    fixture.vmm.resume(&vm).await.unwrap();
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.ends_clean(&vm).await;
    for _ in 0..2 {
        let vm =
            fixture.vmm.restore(&fixture.world.spec, &paths, &fixture.world.gate).await.unwrap();
        let mut guest = Guest::connect(&vm.channel).await;
        assert_eq!(guest.ask("recall").await, "the milk");
        fixture.vmm.kill(&vm).await.unwrap();
        fixture.ends_clean(&vm).await;
    }
}

pub(crate) async fn a_running_vm_is_not_snapshotted(fixture: Fixture) {
    let (vm, _) = fixture.boot().await;
    let paths = snapshot_paths(&fixture);
    let error = fixture.vmm.snapshot(&vm, &paths).await.unwrap_err();
    assert!(matches!(error, VmmError::Refused { .. }), "{error:?}");
    assert!(!paths.manifest().exists());
    fixture.vmm.kill(&vm).await.unwrap();
}

pub(crate) async fn a_snapshot_of_another_size_is_refused(mut fixture: Fixture) {
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("hello").await, "echo hello");
    let paths = snapshot(&fixture, &vm).await;
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.world.spec.memory_mib *= 2;
    let error =
        fixture.vmm.restore(&fixture.world.spec, &paths, &fixture.world.gate).await.unwrap_err();
    assert!(matches!(error, VmmError::SnapshotMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("memory"), "{error}");
    fixture.is_clean().await;
}

/// Tells that it was reached, and never opens.
#[derive(Default)]
struct StuckGate {
    reached: tokio::sync::Notify,
    process: std::sync::Mutex<Option<ProcessId>>,
}

#[async_trait::async_trait]
impl rigbox_vmm::ProcessGate for StuckGate {
    async fn admit(&self, process: &ProcessId) -> Result<(), rigbox_vmm::GateError> {
        *self.process.lock().unwrap() = Some(*process);
        self.reached.notify_one();
        std::future::pending().await
    }
}

async fn snapshot(fixture: &Fixture, vm: &Running) -> SnapshotPaths {
    let paths = snapshot_paths(fixture);
    fixture.vmm.pause(vm).await.unwrap();
    fixture.vmm.snapshot(vm, &paths).await.unwrap();
    assert!(paths.manifest().exists());
    paths
}

pub(crate) fn snapshot_paths(fixture: &Fixture) -> SnapshotPaths {
    let dir = fixture.world.dir.join("snapshot");
    fs::create_dir(&dir).unwrap();
    SnapshotPaths { dir }
}

/// More than a pipe holds.
const FLOOD_BYTES: usize = 128 * 1024;
/// Each byte leaves the guest: 1 KiB a second where the machine with KVM is itself emulated.
const FLOOD_LIMIT: Duration = Duration::from_secs(400);

fn assert_all_gone(world: &World) {
    for process in world.gate.admitted.lock().unwrap().iter() {
        assert!(!process.is_alive(), "{process} is left behind");
    }
}

fn walk(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                left.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}
