//! Boots micro-VMs: the trait [`Vmm`] and its drivers for Firecracker and QEMU.
//! Owns the VMM process from the moment it is held at the gate until it is gone, the sockets in a
//! workspace's run directory and the jail tree.
//! Invariants: no VMM process exists that the caller's [`ProcessGate`] has not admitted; a VMM
//! outlives the process that started it; a guest cannot make the host's memory or disk grow.
//! Does not set up networks, disks or cgroups (the caller brings them) and decides nothing about
//! what should run.

mod config;
pub mod console;
mod error;
mod files;
mod firecracker;
mod guest;
pub mod launch;
mod mac;
mod machine;
mod manifest;
mod probe;
mod process;
mod qemu;
pub mod sparse;
mod spec;
mod vmm;
mod words;

pub use config::{DriverChoice, DriverConfig};
pub use error::{GateError, VmmError};
pub use mac::{InvalidMac, MacAddr};
pub use probe::{Kvm, ProbeReport, Tool, driver, driver_named, probe};
pub use process::ProcessId;
pub use spec::{IoLimits, KernelKind, KernelSpec, SnapshotPaths, VmSpec};
pub use vmm::{AgentChannel, Capabilities, Capability, ProcessGate, Running, Vmm};
