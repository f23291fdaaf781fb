//! A platform for one part of the run, and the ground that it stands on.
//! Invariant: after [`Stage::end`], or after drop, nothing of either is left.

use std::{fs, process::Command, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_tests::{
    machine,
    platform::{Options as PlatformOptions, Platform, image_store},
};

use super::Options;

/// Room for the workspaces that run and for what a file system needs, in GiB. Files of that size
/// are sparse.
const SPARE_GIB: u32 = 16;

/// Disk of a workspace, in MiB: the template's, promised to each whether it is used or not.
const DISK_MIB: u32 = 512;

/// How often an unmount is tried while the kernel still lets go of something, and the pause.
const UNMOUNT_TRIES: u32 = 20;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(250);

/// What the platform's data directory is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// The file system of temporary files, as a user's would be on that of the machine.
    Machine,
    /// A file system that says it is large enough to promise a disk to every record: the product
    /// promises no more than there is, and few machines have half a TiB to spare.
    Sparse,
}

/// A platform that is not started yet.
pub(super) struct Stage {
    platform: Arc<Platform>,
    data: Utf8PathBuf,
    /// The file with the file system that the data directory is on.
    file: Option<Utf8PathBuf>,
}

impl Stage {
    /// Makes its data directory and its configuration: the defaults, with the tiny image.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub(super) fn make(options: &Options, ground: Ground) -> Result<Self> {
        let platform = Arc::new(Platform::prepare(&PlatformOptions::default())?);
        let data = Utf8PathBuf::try_from(platform.data().canonicalize()?)?;
        let mut stage = Self { platform, data, file: None };
        if ground == Ground::Sparse {
            let disks_gib = options.records.saturating_mul(DISK_MIB).div_ceil(1024);
            stage.mount(disks_gib.saturating_add(SPARE_GIB))?;
        }
        stage.configure(options)?;
        Ok(stage)
    }

    /// The platform.
    pub(super) fn platform(&self) -> Arc<Platform> {
        self.platform.clone()
    }

    /// Ends the platform and removes the ground.
    ///
    /// # Errors
    /// When something of it is left on the machine.
    pub(super) fn end(&mut self) -> Result<()> {
        self.platform.down()?;
        let tag = self.data.join("instance");
        let tag = fs::read_to_string(&tag).with_context(|| format!("read {tag}"))?;
        self.unmount()?;
        let left = machine::leftovers(tag.trim(), self.data.as_std_path())?;
        ensure!(left.is_empty(), "the platform left behind: {left:#?}");
        Ok(())
    }

    fn configure(&self, options: &Options) -> Result<()> {
        let url = self.platform.url();
        let listen = url.strip_prefix("http://").context("the API's address")?;
        let driver = &options.driver;
        // What is measured asks more often than an address may.
        let config = format!(
            "[rates]\nopen = 1000000\n[api]\nlisten = {listen:?}\n\
             [edge]\nlisten = \"127.0.0.1:0\"\n[ssh]\nlisten = \"127.0.0.1:0\"\n\
             [host]\ndriver = {driver:?}\npool_gib = {SPARE_GIB}\n\
             [images]\nready = [\"tiny\"]\n[first]\nworkspace = \"\"\n"
        );
        let path = self.data.join("rigbox.toml");
        fs::write(&path, config).with_context(|| format!("write {path}"))
    }

    /// Puts a file system over the data directory, with the images that the kit put there.
    fn mount(&mut self, size_gib: u32) -> Result<()> {
        let file = Utf8PathBuf::from(format!("{}.xfs", self.data));
        let sparse = fs::File::create(&file).with_context(|| format!("make {file}"))?;
        self.file = Some(file.clone());
        sparse.set_len(u64::from(size_gib) << 30).with_context(|| format!("make {file}"))?;
        run("mkfs.xfs", &["-q", "-f", "-m", "reflink=1", file.as_str()])?;
        let options = ["-t", "xfs", "-o", "loop,noatime,discard", file.as_str()];
        run("mount", &[&options[..], &[self.data.as_str()]].concat())?;
        let store = Utf8PathBuf::try_from(image_store()?)?;
        for part in ["images", "kernels"] {
            let from = store.join(part);
            run("cp", &["-a", "--sparse=always", from.as_str(), self.data.as_str()])?;
        }
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let mut tries = 0;
        while is_mounted(&self.data)? {
            if let Err(error) = run("umount", &[self.data.as_str()]) {
                tries += 1;
                if tries >= UNMOUNT_TRIES {
                    return Err(error);
                }
                thread::sleep(UNMOUNT_PAUSE);
            }
        }
        fs::remove_file(&file).with_context(|| format!("remove {file}"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.file.is_some() {
            // A part that failed has said so; this is what can still be done.
            self.platform.down().ok();
            self.unmount().ok();
        }
    }
}

fn is_mounted(dir: &Utf8Path) -> Result<bool> {
    let table = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    Ok(table.lines().any(|line| line.split(' ').nth(1) == Some(dir.as_str())))
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), words.trim());
    }
    Ok(())
}
