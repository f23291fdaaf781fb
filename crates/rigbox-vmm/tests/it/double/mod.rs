//! The Firecracker driver on the double.

mod conformance;
mod driver;
mod jailer;
mod raw;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_vmm::{DriverChoice, DriverConfig, KernelKind, KernelSpec, driver, probe};

use crate::{assets, cases::Fixture, world::World};

/// A kernel of the double's with these options, and the programs.
pub(crate) async fn fixture_with(options: &str) -> Fixture {
    let world = World::new(KernelSpec {
        kind: KernelKind::DebianCloud,
        image: "unmade".into(),
        initrd: Some("unmade".into()),
    });
    let (image, initrd) = (world.dir.join("kernel"), world.dir.join("initrd"));
    fs::write(&image, format!("#!double\n{options}")).unwrap();
    fs::write(&initrd, "nothing").unwrap();
    let mut world = world;
    world.spec.kernel.image = image;
    world.spec.kernel.initrd = Some(initrd);
    let config = config(&world);
    let report = probe(&config).await;
    let vmm = driver(&config, &report).unwrap();
    Fixture { world, vmm }
}

pub(crate) fn config(world: &World) -> DriverConfig {
    let (firecracker, jailer) = programs(&world.dir);
    DriverConfig { firecracker, jailer, ..world.config(DriverChoice::Firecracker) }
}

/// The double under the names that decide what it is.
pub(crate) fn programs(dir: &Utf8Path) -> (Utf8PathBuf, Utf8PathBuf) {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let double = assets::example("vmm-double");
    let made = ["firecracker", "jailer"].map(|name| bin.join(name));
    for path in &made {
        if !path.exists() && fs::hard_link(&double, path).is_err() {
            fs::copy(&double, path).unwrap();
        }
    }
    let [firecracker, jailer] = made;
    (firecracker, jailer)
}
