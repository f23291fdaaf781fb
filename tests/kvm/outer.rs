//! The outer machine: Debian with its cloud kernel, QEMU and what the product needs at run time.
//! Made once, from packages; kept until the list changes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// What the outer machine has beyond the minimum: the run-time needs of the product and its tests.
const PACKAGES: &str = "systemd-sysv,udev,linux-image-cloud-amd64,qemu-system-x86,nftables,iproute2,\
e2fsprogs,xfsprogs,kmod,procps,curl,ca-certificates,jq,util-linux,mount,iputils-ping,busybox-static,\
openssh-client,rsync,python3-minimal";

/// Starts the payload once the machine is up, tells its exit code and ends the machine.
const UNIT: &str = "\
[Unit]
Description=tests of the payload disk
After=multi-user.target
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Environment=HOME=/root
ExecStart=/bin/sh -c 'modprobe kvm_amd; modprobe -a tun veth loop xfs nf_tables vhost_vsock; \
mkdir -p /payload && mount /dev/vdb /payload && sh /payload/run.sh; echo RIGBOX-KVM-EXIT: $?; poweroff -f'
[Install]
WantedBy=multi-user.target
";

/// Raised when the recipe below changes in a way that the package list does not show.
const RECIPE: u32 = 2;

/// The files of the outer machine.
pub(crate) struct Outer {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) disk: PathBuf,
}

/// Makes the outer machine, or finds the one made before.
pub(crate) fn prepare(work: &Path) -> Result<Outer> {
    let outer = Outer {
        kernel: work.join("vmlinuz"),
        initrd: work.join("initrd"),
        disk: work.join("outer.ext4"),
    };
    let mark = work.join("outer.recipe");
    let recipe = format!("{RECIPE}\n{PACKAGES}\n{UNIT}");
    if fs::read_to_string(&mark).is_ok_and(|made| made == recipe) {
        return Ok(outer);
    }
    eprintln!("making the outer machine from Debian packages (once, about two minutes)");
    let root = work.join("root");
    remove_dir(&root)?;
    let tar = work.join("outer.tar");
    run(Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=Apt::Install-Recommends \"false\""])
        .args([
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
        ])
        .arg(format!("--include={PACKAGES}"))
        .arg("bookworm")
        .arg(&tar))?;
    fs::create_dir_all(&root)?;
    run(Command::new("tar").arg("xf").arg(&tar).arg("-C").arg(&root))?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("rigbox-kvm.service"), UNIT)?;
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("../rigbox-kvm.service", wanted.join("rigbox-kvm.service"))?;
    // It would hang up the console under the tests.
    symlink("/dev/null", units.join("serial-getty@ttyS0.service"))?;
    fs::write(root.join("etc/fstab"), "/dev/vda / ext4 defaults 0 0\n")?;
    fs::copy(newest(&root.join("boot"), "vmlinuz-")?, &outer.kernel)?;
    fs::copy(newest(&root.join("boot"), "initrd.img-")?, &outer.initrd)?;
    let disk = fs::File::create(&outer.disk)?;
    disk.set_len(16 << 30)?;
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(&outer.disk))?;
    remove_dir(&root)?;
    fs::remove_file(&tar)?;
    fs::write(mark, recipe)?;
    Ok(outer)
}

fn newest(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    names.sort();
    names.pop().with_context(|| format!("no {prefix}* in {}", folder.display()))
}

/// Removes a folder with everything in it, or nothing.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => bail!("remove {}: {error}", path.display()),
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
