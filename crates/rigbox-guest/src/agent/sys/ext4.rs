//! Makes a mounted ext4 file system as large as its device. The guest does it, and not the host:
//! whoever reads a file system that a guest has written is exposed to it.

#![expect(unsafe_code, reason = "no safe crate resizes a file system")]

use std::{fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{
    fs::{fstatfs, major, minor},
    ioctl::{Opcode, Setter, ioctl, opcode},
};

/// What `statfs` calls ext4.
const MAGIC: u64 = 0xef53;

/// `EXT4_IOC_RESIZE_FS`: takes the new number of blocks.
const RESIZE: Opcode = opcode::write::<u64>(b'f', 16);

/// What the kernel counts devices in.
const SECTOR_BYTES: u64 = 512;

/// Grows the file system that is mounted here. One that is large enough, or none of ext4, stays as
/// it is.
pub(crate) fn grow(mount: &Path) -> io::Result<()> {
    let folder = File::open(mount)?;
    let about = fstatfs(&folder)?;
    let block_bytes = u64::try_from(about.f_bsize).ok().filter(|bytes| *bytes > 0);
    let (Ok(MAGIC), Some(block_bytes)) = (u64::try_from(about.f_type), block_bytes) else {
        return Ok(());
    };
    let device = folder.metadata()?.dev();
    let size = format!("/sys/dev/block/{}:{}/size", major(device), minor(device));
    let sectors: u64 = std::fs::read_to_string(size)?.trim().parse().map_err(io::Error::other)?;
    let blocks = sectors.saturating_mul(SECTOR_BYTES) / block_bytes;
    // SAFETY: the call takes a pointer to 64 bits, which `Setter` gives it, and writes nothing.
    unsafe { ioctl(&folder, Setter::<RESIZE, u64>::new(blocks)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, process::Command};

    use super::*;

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    struct Mounted {
        folder: tempfile::TempDir,
        device: String,
    }

    impl Mounted {
        fn mount(&self) -> PathBuf {
            self.folder.path().join("mount")
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            run("umount", &[self.mount().to_str().unwrap()]);
            run("losetup", &["-d", &self.device]);
        }
    }

    #[test]
    fn a_file_system_takes_up_what_its_device_has_grown_by() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root mounts.
        }
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let path = disk.to_str().unwrap();
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", path, "64M"]);
        let device = run("losetup", &["--find", "--show", path]).trim().to_owned();
        std::fs::create_dir(folder.path().join("mount")).unwrap();
        run("mount", &[&device, folder.path().join("mount").to_str().unwrap()]);
        let mounted = Mounted { folder, device };
        let blocks = || fstatfs(File::open(mounted.mount()).unwrap()).unwrap().f_blocks;
        let before = blocks();
        match grow(&mounted.mount()) {
            // Root of a container may mount and not resize; the product's tests do it in a guest.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            grown => grown.unwrap(),
        }
        assert_eq!(blocks(), before, "there is nothing to take up");
        File::options().write(true).open(disk).unwrap().set_len(512 << 20).unwrap();
        run("losetup", &["-c", &mounted.device]);
        grow(&mounted.mount()).unwrap();
        assert!(blocks() > before * 7, "{before} {}", blocks());
    }

    #[test]
    fn another_file_system_stays_as_it_is() {
        grow(Path::new("/proc")).unwrap();
    }
}
