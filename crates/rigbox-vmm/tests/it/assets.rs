//! The guest that the suite boots: Debian's cloud kernel and an initramfs of its modules and the
//! example `suite-guest`. Made once, kept in the target directory.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
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
    let (image, initrd) = (dir.join("vmlinux"), dir.join("initrd"));
    if !image.exists() {
        unpack_kernel(&dir);
    }
    let guest = example("suite-guest");
    let metadata = fs::metadata(&guest).unwrap();
    // In seconds, which is what a copy on a disk image keeps.
    let version = format!("{} {}", metadata.mtime(), metadata.len());
    let made_from = dir.join("made-from");
    if fs::read_to_string(&made_from).ok().as_deref() != Some(&version) {
        make_initrd(&dir, &guest);
        fs::write(&made_from, version).unwrap();
    }
    KernelSpec { kind: KernelKind::DebianCloud, image: utf8(image), initrd: Some(utf8(initrd)) }
}

/// A program of this package that is for tests only: cargo builds examples beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("examples").join(name)
}

fn unpack_kernel(dir: &Path) {
    let package =
        "$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2}')";
    shell(dir, &format!("rm -rf tree *.deb; apt-get download -qq {package}"));
    shell(dir, "dpkg-deb -x linux-image-*.deb tree");
    // What Debian compresses is the ELF file that both VMMs load, by lz4's old format.
    let vmlinuz = fs::read_dir(dir.join("tree/boot"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
        })
        .unwrap();
    let compressed = fs::read(vmlinuz).unwrap();
    let start = compressed.windows(4).position(|window| window == LZ4_MAGIC).unwrap();
    fs::write(dir.join("vmlinux.lz4"), &compressed[start..]).unwrap();
    // lz4 complains of what follows the kernel, when all of it is unpacked.
    shell(dir, "lz4 -d -f -q vmlinux.lz4 vmlinux.new || test -s vmlinux.new");
    shell(dir, "rm vmlinux.lz4 && mv vmlinux.new vmlinux");
}

fn make_initrd(dir: &Path, guest: &Path) {
    shell(dir, "rm -rf root && mkdir -p root/proc root/sys root/dev root/modules root/lib64");
    for (number, module) in MODULES.iter().enumerate() {
        let copy =
            format!("cp $(find tree -name {module}.ko) root/modules/{number:02}-{module}.ko");
        shell(dir, &copy);
    }
    let guest = guest.display();
    shell(dir, &format!("strip -o root/init {guest}"));
    // The loader under its own name, the libraries where it looks.
    shell(
        dir,
        &format!(
            "for lib in $(ldd {guest} | grep -o '/[^ ]*'); do \
             mkdir -p root/$(dirname $lib) && cp $lib root/$lib; done"
        ),
    );
    shell(dir, "(cd root && find . | cpio --quiet -o -H newc | lz4 -l -9 -c) > initrd");
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

/// Without a network it cannot be made: `tests/kvm` has it made by this before it needs it.
#[test]
fn the_guest_of_the_suite_is_made() {
    let kernel = kernel();
    assert!(kernel.image.exists() && kernel.initrd.is_some_and(|initrd| initrd.exists()));
}

/// The first bytes of lz4's old format.
const LZ4_MAGIC: &[u8] = &[0x02, 0x21, 0x4c, 0x18];

/// In the order in which they must be loaded.
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
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
];
