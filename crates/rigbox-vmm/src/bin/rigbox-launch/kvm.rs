//! Shows the VMM a `/dev/kvm` of its own, in a mount namespace of its own.

use camino::Utf8Path;
use rigbox_vmm::launch::Identity;
use rustix::{
    fs::{FileType, Gid, Mode, Uid},
    mount::{MountPropagationFlags, mount_bind, mount_change},
    thread::UnshareFlags,
};

use crate::Failure;

/// Makes the node and covers `/dev/kvm` with it.
pub(crate) fn show(node: &Utf8Path, identity: Option<Identity>) -> Result<(), Failure> {
    unshare_mounts().map_err(Failure::at("make a mount namespace"))?;
    // Slave, not private: when the host unmounts a file system it goes here too, and is not kept
    // busy by every VMM.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(Failure::at("part from the host's mounts"))?;
    let real = rustix::fs::stat("/dev/kvm").map_err(Failure::at("look at /dev/kvm"))?;
    match std::fs::remove_file(node) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::at(format!("remove {node}"))(error));
        }
        Ok(()) | Err(_) => {}
    }
    let step = || format!("make {node}");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        node.as_std_path(),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o600),
        real.st_rdev,
    )
    .map_err(Failure::at(step()))?;
    if let Some(Identity { uid, gid }) = identity {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chown(node.as_std_path(), Some(uid), Some(gid)).map_err(Failure::at(step()))?;
    }
    mount_bind(node.as_std_path(), "/dev/kvm").map_err(Failure::at("cover /dev/kvm"))
}

#[expect(unsafe_code, reason = "rustix marks all of unshare unsafe because of its flag FILES")]
fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: only the mount namespace is unshared. The danger that rustix names is UnshareFlags::
    // FILES, which would split the descriptor table between threads; it is not given, and this
    // process has one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}
