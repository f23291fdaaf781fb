//! Start, pause, snapshot, restore.

use std::{
    fs::{self, File},
    io::Write,
    sync::Arc,
    thread,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bodies::{Action, ActionType, BackendType, SnapshotCreate, SnapshotLoad, Vm, VmChange},
    configure::open_drive,
    guest::{Guest, Options},
    machine::{Config, Fault, Machine, Outcome, Phase, bad_body, parse},
    tap,
    vsock::Backend,
};

/// What a state file holds after its checksum.
#[derive(Serialize, Deserialize)]
struct Saved {
    config: Config,
}

impl Machine {
    /// None: no such call.
    pub(crate) fn put_action(&mut self, first: &str, second: &str, body: &[u8]) -> Option<Outcome> {
        let outcome = match (first, second) {
            ("actions", _) => self.act(body),
            ("snapshot", "create") => self.snapshot_create(body),
            ("snapshot", "load") => self.snapshot_load(body),
            _ => return None,
        };
        Some(outcome.map(|()| None))
    }

    /// None: no such call.
    pub(crate) fn patch(&mut self, first: &str, second: &str, body: &[u8]) -> Option<Outcome> {
        let outcome = match (first, second) {
            ("vm", _) => self.change_state(body),
            ("machine-config", _) => self.patch_machine(body),
            ("drives" | "network-interfaces", "") => Err(Fault::new("The ID cannot be empty.")),
            ("drives", id) => self.patch_drive(id, body),
            ("mmds", _) => self.patch_mmds(body),
            _ => return None,
        };
        Some(outcome.map(|()| None))
    }

    fn act(&mut self, body: &[u8]) -> Result<(), Fault> {
        let Action { action_type } = parse(body)?;
        match action_type {
            ActionType::InstanceStart => {
                self.only_before_start()?;
                self.start()
            }
            ActionType::FlushMetrics => self.only_after_start(),
            ActionType::SendCtrlAltDel => {
                self.only_after_start()?;
                if let Some(guest) = &self.guest {
                    guest.shut_down();
                }
                Ok(())
            }
        }
    }

    /// A failure leaves the process alive, and it may be tried again.
    fn start(&mut self) -> Result<(), Fault> {
        let fault = |text: &str| Fault::new(format!("Start microvm error: {text}"));
        let source = &self.config.boot_source;
        if source.kernel_image_path.is_empty() {
            return Err(fault("Cannot start microvm without kernel configuration."));
        }
        if self.config.machine.mem_size_mib > MEMORY_MAX_MIB {
            return Err(fault(
                "Invalid Memory Configuration: Cannot create mmap region: Out of memory (os error \
                 12)",
            ));
        }
        let kernel = fs::read(&source.kernel_image_path).unwrap_or_default();
        if !Options::is_kernel(&kernel) {
            return Err(fault(
                "System configuration error: Cannot load kernel due to invalid memory \
                 configuration or invalid kernel image: Kernel Loader: failed to load bzImage \
                 kernel image: Kernel Loader: Invalid bzImage",
            ));
        }
        let options = Options::of(&kernel);
        self.run(Guest::boot(options, self.cmdline(), self.mac()));
        self.phase = Phase::Running;
        Ok(())
    }

    fn run(&mut self, guest: Arc<Guest>) {
        if let Some(vsock) = &self.vsock {
            vsock.start(&guest);
        }
        self.guest = Some(guest);
    }

    /// With what Firecracker appends, in its order.
    fn cmdline(&self) -> String {
        let source = &self.config.boot_source;
        let mut text = source.boot_args.clone().unwrap_or_else(|| DEFAULT_ARGS.to_owned());
        text.push_str(" pci=off");
        if let Some(root) = self.config.drives.iter().find(|drive| drive.is_root_device) {
            let mode = if root.is_read_only.unwrap_or(false) { "ro" } else { "rw" };
            text.push_str(&format!(" root=/dev/vda {mode} virtio_mmio.device=4K@0xc0001000:5"));
        }
        text
    }

    fn mac(&self) -> String {
        let first = self.config.interfaces.first();
        first.and_then(|interface| interface.guest_mac.clone()).unwrap_or_default().to_lowercase()
    }

    fn change_state(&mut self, body: &[u8]) -> Result<(), Fault> {
        let Vm { state } = parse(body)?;
        self.only_after_start()?;
        let is_paused = matches!(state, VmChange::Paused);
        self.phase = if is_paused { Phase::Paused } else { Phase::Running };
        if let Some(guest) = &self.guest {
            guest.set_paused(is_paused);
        }
        Ok(())
    }

    fn patch_mmds(&mut self, body: &[u8]) -> Result<(), Fault> {
        let patch: Value = parse(body)?;
        let Some(data) = &mut self.mmds else {
            return Err(Fault::new("MMDS error: The MMDS data store is not initialized."));
        };
        merge(data, patch);
        Ok(())
    }

    fn snapshot_create(&mut self, body: &[u8]) -> Result<(), Fault> {
        let request: SnapshotCreate = parse(body)?;
        self.only_after_start()?;
        let fault = |text: String| Fault::new(format!("Create snapshot error: {text}"));
        let (Phase::Paused, Some(guest)) = (self.phase, &self.guest) else {
            return Err(fault(
                "Cannot save the microVM state: Operation not allowed: save/restore unavailable \
                 while running"
                    .to_owned(),
            ));
        };
        let mut state = File::create(&request.snapshot_path).map_err(|error| {
            fault(format!("Cannot perform open on the snapshot backing file: {error}"))
        })?;
        let mut memory = File::create(&request.mem_file_path).map_err(|error| {
            fault(format!("Cannot perform open on the memory backing file: {error}"))
        })?;
        // Whoever asks something else meanwhile waits.
        thread::sleep(guest.snapshot_time());
        let text = serde_json::to_string(&Saved { config: self.config.clone() })
            .map_err(|error| fault(error.to_string()))?;
        let size = (self.config.machine.mem_size_mib as u64) << 20;
        write!(state, "{:016x}\n{text}", checksum(&text))
            .and_then(|()| memory.write_all(format!("{}\n", guest.memory()).as_bytes()))
            .and_then(|()| memory.set_len(size))
            .map_err(|error| fault(error.to_string()))?;
        if let Some(vsock) = &self.vsock {
            vsock.cut();
        }
        Ok(())
    }

    fn snapshot_load(&mut self, body: &[u8]) -> Result<(), Fault> {
        let request: SnapshotLoad = parse(body)?;
        self.only_before_start()?;
        let backend = match (&request.mem_backend, &request.mem_file_path) {
            (Some(backend), None) => (backend.backend_type, backend.backend_path.as_str()),
            (None, Some(path)) => (BackendType::File, path.as_str()),
            (Some(_), Some(_)) => {
                return Err(bad_body(
                    "too many fields: either `mem_backend` or `mem_file_path` exclusively is \
                     required.",
                ));
            }
            (None, None) => {
                return Err(bad_body(
                    "missing field: either `mem_backend` or `mem_file_path` is required.",
                ));
            }
        };
        if self.configured {
            return Err(Fault::new(
                "Load snapshot error: Loading a microVM snapshot not allowed after configuring \
                 boot-specific resources.",
            ));
        }
        // From here on a failure ends the process.
        self.load(&request, backend).map_err(|text| {
            crate::complain(
                "RunWithApiError error: Failed to build MicroVM: Loading snapshot failed..",
            );
            Fault::fatal(format!("Load snapshot error: Failed to restore from snapshot: {text}"))
        })
    }

    fn load(&mut self, request: &SnapshotLoad, backend: (BackendType, &str)) -> Result<(), String> {
        let mut config = read_state(&request.snapshot_path)
            .map_err(|text| format!("Failed to get snapshot state from file: {text}"))?;
        for renamed in &request.network_overrides {
            let interface =
                config.interfaces.iter_mut().find(|known| known.iface_id == renamed.iface_id);
            let Some(interface) = interface else {
                return Err(
                    "Failed to get snapshot state from file: Unknown Network Device.".to_owned()
                );
            };
            interface.host_dev_name.clone_from(&renamed.host_dev_name);
        }
        if let (Some(changed), Some(vsock)) = (&request.vsock_override, &mut config.vsock) {
            vsock.uds_path.clone_from(&changed.uds_path);
        }
        let memory = read_memory(backend, (config.machine.mem_size_mib as u64) << 20)?;
        self.restore_devices(&config).map_err(|text| {
            format!(
                "Failed to build microVM from snapshot: Failed to restore devices: Error restoring \
                 MMIO devices: {text}"
            )
        })?;
        // Metadata, logger and metrics are not restored; the console is standard output again.
        self.config = config;
        self.configured = true;
        let options = Options::of(b"");
        self.run(Guest::restore(options, self.cmdline(), self.mac(), memory));
        self.phase = Phase::Paused;
        if request.resume_vm {
            self.phase = Phase::Running;
            if let Some(guest) = &self.guest {
                guest.set_paused(false);
            }
        }
        Ok(())
    }

    /// Under the paths that the snapshot names.
    fn restore_devices(&mut self, config: &Config) -> Result<(), String> {
        for drive in &config.drives {
            let file = open_drive(drive).map_err(|text| format!("Block: {text}"))?;
            self.drives.insert(drive.drive_id.clone(), file);
        }
        for interface in &config.interfaces {
            let tap = tap::open(&interface.host_dev_name)
                .map_err(|text| format!("Net: Failed to create a network device: {text}"))?;
            self.taps.insert(interface.iface_id.clone(), tap);
        }
        if let Some(vsock) = &config.vsock {
            let backend = Backend::bind(&vsock.uds_path)
                .map_err(|text| format!("VsockUnixBackend: {text}"))?;
            self.vsock = Some(backend);
        }
        Ok(())
    }
}

fn read_state(path: &str) -> Result<Config, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("Failed to open snapshot file: {error}"))?;
    let load = |text: &str| format!("Failed to load snapshot state from file: {text}");
    let bad_checksum = || load("CRC64 validation failed");
    let (sum, document) = text.split_once('\n').ok_or_else(bad_checksum)?;
    if sum != format!("{:016x}", checksum(document)) {
        return Err(bad_checksum());
    }
    serde_json::from_str::<Saved>(document)
        .map(|saved| saved.config)
        .map_err(|_| load("An error occurred during bitcode serialization: bitcode error"))
}

fn read_memory((kind, path): (BackendType, &str), size: u64) -> Result<String, String> {
    if kind == BackendType::Uffd {
        return Err(
            "Failed to load guest memory: Error creating guest memory from uffd: Failed to \
                    connect to UDS Unix stream: No such file or directory (os error 2)"
                .to_owned(),
        );
    }
    let fault = |text: String| {
        format!(
            "Failed to load guest memory: Error creating guest memory from file: Failed to load \
             guest memory: {text}"
        )
    };
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    if file.metadata().map_err(|error| fault(error.to_string()))?.len() < size {
        return Err(fault(
            "Total sum of memory regions exceeds largest possible file offset".to_owned(),
        ));
    }
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(file), &mut line)
        .map_err(|error| fault(error.to_string()))?;
    Ok(line.trim_end().to_owned())
}

/// A JSON merge patch: null deletes.
fn merge(data: &mut Value, patch: Value) {
    match (data, patch) {
        (Value::Object(data), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    data.remove(&key);
                } else {
                    merge(data.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (data, patch) => *data = patch,
    }
}

/// Stands for CRC64 (it is FNV-1a).
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

const DEFAULT_ARGS: &str = "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux \
                            i8042.dumbkbd swiotlb=noforce";
/// What no machine maps.
const MEMORY_MAX_MIB: usize = 100_000_000;
