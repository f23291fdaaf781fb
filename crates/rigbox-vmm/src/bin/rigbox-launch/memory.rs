//! Makes the guest's memory: an anonymous file whose size is sealed, filled from a snapshot where
//! there is one. Done here and not in the parent, so that its pages are charged to the workspace's
//! cgroup, in which this process already is.

use std::{fs::File, os::fd::OwnedFd};

use rigbox_vmm::launch::{MEMORY_NAME, Memory};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::{Failure, place};

/// The memory, in its place.
pub(crate) fn make(memory: &Memory) -> Result<OwnedFd, Failure> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create(MEMORY_NAME, flags)
        .map_err(Failure::at("create the guest's memory"))?;
    rustix::fs::ftruncate(&fd, memory.size_bytes)
        .map_err(Failure::at("size the guest's memory"))?;
    // A VMM that has been taken over cannot grow it.
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
        .map_err(Failure::at("seal the guest's memory"))?;
    let mut file = File::from(fd);
    if let Some(path) = &memory.from {
        let mut from = File::open(path).map_err(Failure::at(format!("open {path}")))?;
        rigbox_vmm::sparse::copy(&mut from, &mut file)
            .map_err(Failure::at(format!("read memory from {path}")))?;
    }
    place(&file.into(), memory.fd)
}
