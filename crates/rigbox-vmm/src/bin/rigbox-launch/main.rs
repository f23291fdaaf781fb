//! Starts a VMM: see `rigbox_vmm`.

fn main() {}
