//! Holds a mounted file system still. No crate has these two ioctls.

#![expect(unsafe_code, reason = "ioctls without a safe wrapper")]

use std::{fs::File, io};

use rustix::ioctl::{NoArg, Opcode, ioctl, opcode};

/// `FIFREEZE` and `FITHAW`. Both name an argument that the kernel does not read.
const FREEZE: Opcode = opcode::read_write::<i32>(b'X', 119);
const THAW: Opcode = opcode::read_write::<i32>(b'X', 120);

/// Writes out what is not written yet, and lets whoever writes more wait.
pub(crate) fn freeze(mount: &File) -> io::Result<()> {
    // SAFETY: the kernel reads and writes no argument of this call.
    Ok(unsafe { ioctl(mount, NoArg::<FREEZE>::new()) }?)
}

/// Lets them go on.
pub(crate) fn thaw(mount: &File) -> io::Result<()> {
    // SAFETY: the kernel reads and writes no argument of this call.
    Ok(unsafe { ioctl(mount, NoArg::<THAW>::new()) }?)
}
