//! The guest that the suite boots: Debian's cloud kernel and an initramfs of busybox, its modules
//! and `init.sh`. Made once, kept in the target directory.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use camino::Utf8PathBuf;
use rigbox_vmm::{KernelKind, KernelSpec};

/// Kernel and initramfs, made now if nobody has yet.
pub(crate) fn kernel() -> KernelSpec {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vmm-guest");
    fs::create_dir_all(&dir).unwrap();
    // Tests run in processes of their own: the first one makes it, the others wait.
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let (image, initrd) = (dir.join("vmlinuz"), dir.join("initrd"));
    if !image.exists() {
        unpack_kernel(&dir);
    }
    let script = include_str!("init.sh");
    let made_from = dir.join("init.sh");
    if fs::read_to_string(&made_from).ok().as_deref() != Some(script) {
        make_initrd(&dir, script);
        fs::write(&made_from, script).unwrap();
    }
    KernelSpec { kind: KernelKind::DebianCloud, image: utf8(image), initrd: Some(utf8(initrd)) }
}

fn unpack_kernel(dir: &Path) {
    let package =
        "$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2}')";
    shell(dir, &format!("rm -rf tree *.deb; apt-get download -qq {package}"));
    shell(dir, "dpkg-deb -x linux-image-*.deb tree && cp tree/boot/vmlinuz-* vmlinuz.new");
    shell(dir, "mv vmlinuz.new vmlinuz");
}

fn make_initrd(dir: &Path, script: &str) {
    let root = dir.join("root");
    shell(dir, "rm -rf root && mkdir -p root/bin root/proc root/sys root/dev root/modules");
    shell(dir, "cp /bin/busybox root/bin/");
    for module in MODULES {
        shell(dir, &format!("cp $(find tree -name {module}.ko) root/modules/"));
    }
    fs::write(root.join("init"), script).unwrap();
    shell(
        dir,
        "chmod +x root/init && (cd root && find . | cpio --quiet -o -H newc | lz4 -l -9 -c) > initrd",
    );
}

fn shell(dir: &Path, command: &str) {
    let output = Command::new("sh").args(["-ec", command]).current_dir(dir).output().unwrap();
    assert!(
        output.status.success(),
        "the guest cannot be made: {command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn utf8(path: PathBuf) -> Utf8PathBuf {
    path.try_into().unwrap()
}

/// In the order of `init.sh`.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio-rng",
    "virtio_console",
];
