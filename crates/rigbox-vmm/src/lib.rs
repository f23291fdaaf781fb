//! Boots micro-VMs: the Vmm trait and its Firecracker and QEMU drivers.
