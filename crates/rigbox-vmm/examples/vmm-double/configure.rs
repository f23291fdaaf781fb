//! Configuration: what a call names is opened, created or bound by the call itself.

use std::{fs::File, io};

use serde_json::Value;

use crate::{
    bodies::{
        BootSource, Drive, DriveUpdate, Entropy, HugePages, MachineConfig, MachineConfigUpdate,
        MmdsConfig, NetworkInterface, Vsock,
    },
    machine::{Fault, Machine, Outcome, parse},
    tap,
    vsock::Backend,
};

impl Machine {
    /// None: no such call.
    pub(crate) fn put_config(&mut self, first: &str, second: &str, body: &[u8]) -> Option<Outcome> {
        let outcome = match (first, second) {
            ("machine-config", _) => self.put_machine(body),
            ("boot-source", _) => self.put_boot_source(body),
            ("drives" | "network-interfaces", "") => Err(Fault::new("The ID cannot be empty.")),
            ("drives", id) => self.put_drive(id, body),
            ("network-interfaces", id) => self.put_interface(id, body),
            ("vsock", _) => self.put_vsock(body),
            ("entropy", _) => self.put_entropy(body),
            ("serial", _) => self.put_serial(body),
            ("logger", _) => self.put_logger(body),
            ("metrics", _) => self.put_metrics(body),
            ("mmds", "config") => self.put_mmds_config(body),
            ("mmds", _) => self.put_mmds(body),
            _ => return None,
        };
        Some(outcome.map(|()| None))
    }

    pub(crate) fn patch_machine(&mut self, body: &[u8]) -> Result<(), Fault> {
        let update: MachineConfigUpdate = parse(body)?;
        self.only_before_start()?;
        let MachineConfigUpdate {
            vcpu_count,
            mem_size_mib,
            smt,
            cpu_template,
            track_dirty_pages,
            huge_pages,
        } = update;
        let old = &self.config.machine;
        let is_empty = vcpu_count.is_none()
            && mem_size_mib.is_none()
            && smt.is_none()
            && cpu_template.is_none()
            && track_dirty_pages.is_none()
            && huge_pages.is_none();
        if is_empty {
            return Err(Fault::new("Empty PATCH request."));
        }
        let new = MachineConfig {
            vcpu_count: vcpu_count.unwrap_or(old.vcpu_count),
            mem_size_mib: mem_size_mib.unwrap_or(old.mem_size_mib),
            smt: smt.unwrap_or(old.smt),
            cpu_template: cpu_template.or_else(|| old.cpu_template.clone()),
            track_dirty_pages: track_dirty_pages.unwrap_or(old.track_dirty_pages),
            huge_pages: huge_pages.unwrap_or(old.huge_pages),
        };
        self.set_machine(new)
    }

    fn put_machine(&mut self, body: &[u8]) -> Result<(), Fault> {
        let config = parse(body)?;
        self.only_before_start()?;
        self.set_machine(config)
    }

    fn set_machine(&mut self, config: MachineConfig) -> Result<(), Fault> {
        let MachineConfig { vcpu_count, mem_size_mib, smt, huge_pages, .. } = config;
        if vcpu_count == 0 || vcpu_count > 32 || (smt && vcpu_count != 1 && vcpu_count % 2 == 1) {
            return Err(Fault::new(
                "Machine config error: The number of vCPUs must be greater than 0, less than 32 \
                 and must be 1 or an even number if SMT is enabled.",
            ));
        }
        if mem_size_mib == 0 || (huge_pages == HugePages::Hugetlbfs2M && mem_size_mib % 2 == 1) {
            return Err(Fault::new(
                "Machine config error: The memory size (MiB) is either 0, or not a multiple of \
                 the configured page size.",
            ));
        }
        self.config.machine = config;
        self.configured = true;
        Ok(())
    }

    fn put_boot_source(&mut self, body: &[u8]) -> Result<(), Fault> {
        let source: BootSource = parse(body)?;
        self.only_before_start()?;
        let fault =
            |text: &str, error: io::Error| Fault::new(format!("Boot source error: {text} {error}"));
        // A directory passes here, as it does there.
        File::open(&source.kernel_image_path)
            .map_err(|error| fault("The kernel file cannot be opened:", error))?;
        if let Some(initrd) = &source.initrd_path {
            let text =
                "The initrd file cannot be opened due to invalid path or invalid permissions.";
            File::open(initrd).map_err(|error| fault(text, error))?;
        }
        if source.boot_args.as_ref().is_some_and(|args| args.len() > CMDLINE_MAX_BYTES) {
            return Err(Fault::new(
                "Boot source error: The kernel command line is invalid: Invalid cmdline capacity \
                 provided.",
            ));
        }
        self.config.boot_source = source;
        self.configured = true;
        Ok(())
    }

    fn put_drive(&mut self, id: &str, body: &[u8]) -> Result<(), Fault> {
        check_id(id)?;
        let drive: Drive = parse(body)?;
        self.only_before_start()?;
        if drive.drive_id != id {
            return Err(Fault::new("The id from the path does not match the id from the body!"));
        }
        let other_root = |old: &Drive| old.is_root_device && old.drive_id != id;
        if drive.is_root_device && self.config.drives.iter().any(other_root) {
            return Err(Fault::new("Drive config error: A root block device already exists!"));
        }
        let file = open_drive(&drive).map_err(|text| {
            Fault::new(format!(
                "Drive config error: Unable to create the virtio block device: {text}"
            ))
        })?;
        self.drives.insert(id.to_owned(), file);
        self.config.drives.retain(|old| old.drive_id != id);
        self.config.drives.push(drive);
        self.configured = true;
        Ok(())
    }

    pub(crate) fn patch_drive(&mut self, id: &str, body: &[u8]) -> Result<(), Fault> {
        let update: DriveUpdate = parse(body)?;
        self.only_after_start()?;
        if update.drive_id != id {
            return Err(Fault::new("The id from the path does not match the id from the body!"));
        }
        let drive = self.config.drives.iter_mut().find(|drive| drive.drive_id == id);
        let Some(drive) = drive else {
            return Err(Fault::new(
                "Drive config error: Unable to patch the block device: Failed perform action on \
                 device: Device not found Please verify the request arguments.",
            ));
        };
        if let Some(path) = update.path_on_host {
            let changed = Drive { path_on_host: Some(path), ..drive.clone() };
            let file = open_drive(&changed).map_err(|text| {
                Fault::new(format!(
                    "Drive config error: Unable to patch the block device: {text} Please verify \
                     the request arguments."
                ))
            })?;
            self.drives.insert(id.to_owned(), file);
            *drive = changed;
        }
        // An omitted limiter stays.
        drive.rate_limiter = update.rate_limiter.or_else(|| drive.rate_limiter.take());
        Ok(())
    }

    fn put_interface(&mut self, id: &str, body: &[u8]) -> Result<(), Fault> {
        check_id(id)?;
        let interface: NetworkInterface = parse(body)?;
        self.only_before_start()?;
        let (body_id, tap) = (&interface.iface_id, &interface.host_dev_name);
        if body_id != id {
            return Err(Fault::new(format!(
                "The id from the path [{id}] does not match the id from the body [{body_id}]!"
            )));
        }
        let mac = &interface.guest_mac;
        let same_mac = |old: &NetworkInterface| old.iface_id != id && old.guest_mac == *mac;
        if let (true, Some(mac)) = (self.config.interfaces.iter().any(same_mac), mac) {
            return Err(Fault::new(format!(
                "Network config error: The MAC address is already in use: {mac}"
            )));
        }
        // A second call replaces the first, and its tap.
        self.taps.remove(id);
        let opened = tap::open(tap).map_err(|text| {
            Fault::new(format!("Network config error: Could not create the network device: {text}"))
        })?;
        self.taps.insert(id.to_owned(), opened);
        self.config.interfaces.retain(|old| old.iface_id != id);
        self.config.interfaces.push(interface);
        self.configured = true;
        Ok(())
    }

    fn put_vsock(&mut self, body: &[u8]) -> Result<(), Fault> {
        let vsock: Vsock = parse(body)?;
        self.only_before_start()?;
        // A second call replaces the first.
        self.vsock = None;
        let backend = Backend::bind(&vsock.uds_path).map_err(|text| {
            let prefix = "Vsock config error: Cannot create backend for vsock device:";
            Fault::new(format!("{prefix} {text}"))
        })?;
        self.vsock = Some(backend);
        self.config.vsock = Some(vsock);
        self.configured = true;
        Ok(())
    }

    fn put_entropy(&mut self, body: &[u8]) -> Result<(), Fault> {
        let Entropy { rate_limiter: _ } = parse(body)?;
        self.only_before_start()?;
        self.config.has_entropy = true;
        self.configured = true;
        Ok(())
    }

    fn put_serial(&mut self, body: &[u8]) -> Result<(), Fault> {
        let document: Value = parse(body)?;
        self.only_before_start()?;
        let path = document.get("serial_out_path").and_then(Value::as_str);
        self.config.serial_out_path = path.map(str::to_owned);
        self.configured = true;
        Ok(())
    }

    fn put_logger(&mut self, body: &[u8]) -> Result<(), Fault> {
        let _: Value = parse(body)?;
        self.only_before_start()
    }

    fn put_metrics(&mut self, body: &[u8]) -> Result<(), Fault> {
        let _: Value = parse(body)?;
        self.only_before_start()?;
        if self.has_metrics {
            return Err(Fault::new(
                "Metrics error: Cannot initialize the metrics system due to bad user input: \
                 Reinitialization of metrics not allowed.",
            ));
        }
        self.has_metrics = true;
        Ok(())
    }

    fn put_mmds_config(&mut self, body: &[u8]) -> Result<(), Fault> {
        let config: MmdsConfig = parse(body)?;
        self.only_before_start()?;
        let fault = |text: &str| Err(Fault::new(format!("MMMDS config error: {text}")));
        if config.network_interfaces.is_empty() {
            return fault(
                "The list of network interface IDs that allow forwarding MMDS requests is empty.",
            );
        }
        let known = |id: &String| self.config.interfaces.iter().any(|old| old.iface_id == *id);
        if !config.network_interfaces.iter().all(known) {
            return fault(
                "The list of network interface IDs provided contains at least one ID that does \
                 not correspond to any existing network interface.",
            );
        }
        if config.ipv4_address.is_some_and(|address| !address.is_link_local()) {
            return fault("The MMDS IPv4 address is not link local.");
        }
        self.config.mmds = Some(config);
        self.configured = true;
        Ok(())
    }

    fn put_mmds(&mut self, body: &[u8]) -> Result<(), Fault> {
        self.mmds = Some(parse(body)?);
        Ok(())
    }
}

/// Opens what a drive names.
pub(crate) fn open_drive(drive: &Drive) -> Result<File, String> {
    let Some(path) = &drive.path_on_host else { return Err("Invalid block config.".to_owned()) };
    File::options().read(true).write(!drive.is_read_only.unwrap_or(false)).open(path).map_err(
        |error| {
            format!("Virtio backend error: Error manipulating the backing file: {error} {path}")
        },
    )
}

/// Resources: letters, digits and underscores. (A VM's own id: hyphens, but no underscores.)
fn check_id(id: &str) -> Result<(), Fault> {
    if id.chars().all(|c| c == '_' || c.is_alphanumeric()) {
        Ok(())
    } else {
        Err(Fault::new(
            "API Resource IDs can only contain alphanumeric characters and underscores.",
        ))
    }
}

/// With what Firecracker appends.
const CMDLINE_MAX_BYTES: usize = 2048;
