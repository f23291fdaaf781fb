//! Tests that boot something, which the test runner puts into a serial group.

mod firecracker;
mod qemu;
mod qemu_kvm;
