//! What a raw QEMU needs before it starts: a namespace with a tap, a disk, a folder for sockets.
//! Made before the clock runs. Invariant: gone after drop.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_tests::internet::ip;

use super::{Recipe, command};

/// The address that the guest takes for its gateway.
const GATEWAY: &str = "172.16.0.1/30";

/// Room for one raw QEMU after another.
#[derive(Debug)]
pub(crate) struct Place {
    name: String,
    folder: Utf8PathBuf,
    disk: Utf8PathBuf,
    arguments: Vec<String>,
    program: Utf8PathBuf,
}

impl Place {
    /// Makes one, with a fresh disk.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub(crate) fn make(recipe: &Recipe) -> Result<Self> {
        let name = format!("raw-{}-{}", std::process::id(), recipe.number());
        let folder = recipe.folder.join(&name);
        let disk = folder.join("disk.ext4");
        let files = command::Files {
            name: &name,
            sockets: &folder,
            disk: &disk,
            kernel: &recipe.spec.kernel.image,
            initrd: recipe.spec.kernel.initrd.as_deref(),
            tap: &recipe.spec.tap,
        };
        let arguments = command::arguments(&recipe.arguments, &files)?;
        let program = recipe.program.clone();
        // From here on a half-made one is removed, too.
        let place = Self { name, folder, disk, arguments, program };
        fs::create_dir(&place.folder).with_context(|| format!("make {}", place.folder))?;
        clone(&recipe.template, &place.disk)?;
        let (netns, tap) = (place.name.as_str(), recipe.spec.tap.as_str());
        ip(&["netns", "add", netns])?;
        ip(&["-n", netns, "tuntap", "add", tap, "mode", "tap"])?;
        ip(&["-n", netns, "address", "add", GATEWAY, "dev", tap])?;
        ip(&["-n", netns, "link", "set", tap, "up"])?;
        Ok(place)
    }

    /// QEMU in its namespace.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.env_clear().arg(format!("--net=/run/netns/{}", self.name));
        command.arg("--").arg(&self.program).args(&self.arguments);
        command
    }

    /// A file in its folder.
    pub(super) fn file(&self, name: &str) -> Utf8PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]).ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// As the product does it.
fn clone(template: &Utf8Path, disk: &Utf8Path) -> Result<()> {
    let mut cp = Command::new("cp");
    let status = cp.arg("--reflink=always").args([template, disk]).status().context("run cp")?;
    ensure!(status.success(), "clone {template} to {disk}");
    Ok(())
}
