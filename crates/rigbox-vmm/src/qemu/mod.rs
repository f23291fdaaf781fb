//! QEMU's `microvm` machine, with KVM where it works and with emulation anywhere.

mod adopt;
mod cmdline;
mod driver;
mod qmp;
mod snapshot;

pub(crate) use driver::{Accelerator, Qemu};
