//! QEMU with emulation, and what only it does.

use std::sync::Arc;

use rigbox_vmm::{DriverChoice, Vmm, driver, probe};

use crate::{
    assets,
    cases::{self, Fixture},
    world::World,
};

async fn fixture() -> Fixture {
    let world = World::new(assets::kernel());
    let vmm = vmm(&world).await;
    Fixture { world, vmm }
}

async fn vmm(world: &World) -> Arc<dyn Vmm> {
    let config = world.config(DriverChoice::QemuTcg);
    let report = probe(&config).await;
    driver(&config, &report).unwrap()
}

cases::suite!(fixture);
