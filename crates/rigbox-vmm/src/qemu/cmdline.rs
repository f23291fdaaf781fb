//! The arguments of QEMU and the command line of the guest's kernel, as pure functions.
//! Invariant: no path and nothing that a user chose stands in QEMU's arguments. Files, sockets, the
//! tap and the memory are descriptors whose numbers are the constants here.

use crate::{
    IoLimits, VmSpec,
    guest::{self, Clock},
    launch::FD_MIN,
};

/// What distinguishes one start of QEMU from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The guest boots.
    Boot,
    /// The guest goes on from a snapshot.
    Restore,
}

/// How instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// By the processor.
    Kvm,
    /// By translation.
    Tcg {
        /// Most memory for translated code.
        cache_mib: u32,
        /// The host's, which is the guest's too.
        tsc_khz: u64,
    },
}

/// QEMU's arguments. The virtual CPUs do not run before `cont`.
pub(super) fn arguments(spec: &VmSpec, accelerator: Accelerator, start: Start) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
    add("-name", format!("guest={}", spec.workspace));
    // ACPI is how Debian's kernel finds its devices; ours finds them on its command line, and
    // boots faster without.
    let acpi = match spec.kernel.kind {
        crate::KernelKind::DebianCloud => "on",
        crate::KernelKind::Own => "off",
    };
    add("-M", format!("microvm,acpi={acpi},rtc=on,memory-backend=memory"));
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm".to_owned(), "host"),
        // `max` has RDRAND: processors without it boot 2 to 3 s slower.
        Accelerator::Tcg { cache_mib, .. } => {
            (format!("tcg,thread=multi,tb-size={cache_mib}"), "max")
        }
    };
    add("-accel", accel);
    add("-cpu", cpu.to_owned());
    add("-smp", spec.vcpus.to_string());
    add("-m", spec.memory_mib.to_string());
    add(
        "-object",
        format!(
            "memory-backend-file,id=memory,size={}M,mem-path=/proc/self/fd/{MEMORY_FD},share=on",
            spec.memory_mib
        ),
    );
    add(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".to_owned(),
    );
    add("-display", "none".to_owned());
    add("-kernel", format!("/proc/self/fd/{KERNEL_FD}"));
    if spec.kernel.initrd.is_some() {
        add("-initrd", format!("/proc/self/fd/{INITRD_FD}"));
    }
    add("-append", kernel_arguments(spec, accelerator));
    add_disk(&mut add, &spec.limits);
    add("-device", "virtio-rng-device".to_owned());
    add("-netdev", format!("tap,id=net0,fd={TAP_FD}"));
    add("-device", format!("virtio-net-device,netdev=net0,mac={}", spec.guest_mac));
    add("-chardev", listening("console", CONSOLE_FD));
    add("-serial", "chardev:console".to_owned());
    add("-device", "virtio-serial-device,id=serial0,max_ports=2".to_owned());
    add("-chardev", listening("agent", AGENT_FD));
    let port = format!("virtserialport,bus=serial0.0,chardev=agent,name={AGENT_PORT}");
    add("-device", port);
    add("-chardev", listening("control", CONTROL_FD));
    add("-mon", "chardev=control,mode=control".to_owned());
    if start == Start::Restore {
        add("-incoming", "defer".to_owned());
    }
    let switches = ["-nodefaults", "-no-user-config", "-no-reboot", "-S"];
    args.extend(switches.map(str::to_owned));
    args
}

fn add_disk(add: &mut impl FnMut(&str, String), limits: &IoLimits) {
    add("-add-fd", format!("fd={DISK_FD},set=1"));
    let file =
        r#"{"driver":"file","node-name":"file0","filename":"/dev/fdset/1","discard":"unmap"}"#;
    let raw = r#"{"driver":"raw","node-name":"raw0","file":"file0","discard":"unmap","detect-zeroes":"unmap"}"#;
    add("-blockdev", file.to_owned());
    add("-blockdev", raw.to_owned());
    let limits = throttle(limits);
    let node = match limits {
        None => "raw0",
        Some(limits) => {
            add("-object", limits);
            let throttle = r#"{"driver":"throttle","node-name":"disk0","throttle-group":"limits0","file":"raw0","discard":"unmap"}"#;
            add("-blockdev", throttle.to_owned());
            "disk0"
        }
    };
    // A full or broken disk of the host is an error to the guest. QEMU's default would stop the
    // guest instead, with nobody to tell.
    add("-device", format!("virtio-blk-device,drive={node},werror=report,rerror=report"));
}

/// The throttle group, if there is anything to limit.
fn throttle(limits: &IoLimits) -> Option<String> {
    let limits: Vec<String> =
        [("x-bps-total", limits.disk_bps), ("x-iops-total", limits.disk_iops)]
            .into_iter()
            .filter_map(|(name, limit)| limit.map(|limit| format!(",{name}={limit}")))
            .collect();
    (!limits.is_empty()).then(|| format!("throttle-group,id=limits0{}", limits.concat()))
}

fn listening(id: &str, fd: i32) -> String {
    format!("socket,id={id},fd={fd},server=on,wait=off")
}

fn kernel_arguments(spec: &VmSpec, accelerator: Accelerator) -> String {
    let clock = match accelerator {
        Accelerator::Kvm => Clock::Kvm,
        Accelerator::Tcg { tsc_khz, .. } => Clock::Tsc { khz: tsc_khz },
    };
    // A triple fault and `-no-reboot` turn reboot and panic into the end of the process.
    format!("{} reboot=t panic=-1 root=/dev/vda rw", guest::arguments(spec, clock))
}

/// Name of the agent's port in the guest, below `/sys/class/virtio-ports`.
const AGENT_PORT: &str = "rigbox.agent.0";

pub(super) const DISK_FD: i32 = FD_MIN;
pub(super) const KERNEL_FD: i32 = FD_MIN + 1;
pub(super) const INITRD_FD: i32 = FD_MIN + 2;
pub(super) const MEMORY_FD: i32 = FD_MIN + 3;
pub(super) const TAP_FD: i32 = FD_MIN + 4;
pub(super) const CONTROL_FD: i32 = FD_MIN + 5;
pub(super) const AGENT_FD: i32 = FD_MIN + 6;
pub(super) const CONSOLE_FD: i32 = FD_MIN + 7;
/// The state of a snapshot that is being restored.
pub(super) const STATE_FD: i32 = FD_MIN + 8;

#[cfg(test)]
mod tests;
