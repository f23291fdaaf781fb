//! The initial file system for a kernel whose drivers are modules: busybox, the modules in the
//! order in which they load, and the script that loads them and goes on to the disk.

use std::fs;

use camino::Utf8Path;

use super::{
    cpio::Cpio,
    error::ImageError,
    store::Turn,
    tool::{LZ4, Run},
};

/// What it is made of.
pub(super) struct Parts<'a> {
    pub(super) init: &'a Utf8Path,
    pub(super) busybox: &'a Utf8Path,
    /// The kernel's modules, as its package has them.
    pub(super) modules: &'a Utf8Path,
    /// Paths below `modules`.
    pub(super) order: &'a [String],
}

/// Major and minor numbers of `/dev/console`: the first process has its output there, before any
/// file system is mounted.
const CONSOLE: (u32, u32) = (5, 1);

/// Makes it.
pub(super) async fn make(
    parts: &Parts<'_>,
    initrd: &Utf8Path,
    turn: &Turn,
) -> Result<(), ImageError> {
    let read = |path: &Utf8Path| fs::read(path).map_err(ImageError::file("read", path));
    let mut cpio = Cpio::default();
    for dir in ["bin", "dev", "proc", "sys", "root", "modules"] {
        cpio.directory(dir);
    }
    cpio.character_device("dev/console", CONSOLE.0, CONSOLE.1);
    cpio.file("bin/busybox", 0o755, &read(parts.busybox)?);
    cpio.link("bin/sh", "busybox");
    for (number, module) in parts.order.iter().enumerate() {
        // The number keeps the order for a script that only expands `*`.
        let name = format!("modules/{number:02}.ko");
        cpio.file(&name, 0o644, &read(&parts.modules.join(module))?);
    }
    cpio.file("init", 0o755, &read(parts.init)?);
    let plain = turn.work().join("initrd.cpio");
    fs::write(&plain, cpio.end()).map_err(ImageError::file("write", &plain))?;
    // The legacy frame is the one that the kernel unpacks.
    let arguments = ["-q", "-f", "-l", "-9", plain.as_str(), initrd.as_str()];
    Run::new(LZ4, arguments).holding(turn.lock()).lines(|_| {}).await
}
