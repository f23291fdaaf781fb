//! QEMU with KVM, where KVM works.

use rigbox_types::host::DriverName;
use rigbox_vmm::{DriverChoice, DriverConfig, driver, probe};

use crate::{
    assets,
    cases::{self, Fixture},
    world::World,
};

/// None: no guest runs under KVM here.
async fn fixture() -> Option<Fixture> {
    let world = World::new(assets::kernel());
    // Shared: where KVM does not work the answer may take half a minute.
    let probe_file = concat!(env!("CARGO_TARGET_TMPDIR"), "/vmm-probe.json").into();
    let config = DriverConfig { probe_file, ..world.config(DriverChoice::Qemu) };
    let report = probe(&config).await;
    super::is_there(DriverName::QemuKvm, &report).then(|| {
        let vmm = driver(&config, &report).unwrap();
        Fixture { world, vmm }
    })
}

cases::suite!(fixture);
