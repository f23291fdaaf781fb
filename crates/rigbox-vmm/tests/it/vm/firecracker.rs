//! The real Firecracker, where `FIRECRACKER` and `JAILER` name it: the whole suite where KVM works,
//! and what needs no guest where it only opens.

use camino::Utf8PathBuf;
use rigbox_types::host::DriverName;
use rigbox_vmm::{DriverChoice, DriverConfig, Kvm, ProbeReport, VmmError, driver, probe};

use crate::{
    assets,
    cases::{self, Fixture},
    world::World,
};

/// None: there is no Firecracker, or no guest runs in it.
async fn fixture() -> Option<Fixture> {
    let (world, config, report) = found().await?;
    super::is_there(DriverName::Firecracker, &report).then(|| {
        let vmm = driver(&config, &report).unwrap();
        Fixture { world, vmm }
    })
}

async fn found() -> Option<(World, DriverConfig, ProbeReport)> {
    let named = |name| std::env::var(name).ok().map(Utf8PathBuf::from);
    let (firecracker, jailer) = (named("FIRECRACKER")?, named("JAILER")?);
    let world = World::new(assets::kernel());
    // Shared: where KVM does not work the answer takes half a minute.
    let probe_file = concat!(env!("CARGO_TARGET_TMPDIR"), "/vmm-probe.json").into();
    let config =
        DriverConfig { firecracker, jailer, probe_file, ..world.config(DriverChoice::Firecracker) };
    let report = probe(&config).await;
    Some((world, config, report))
}

cases::suite!(fixture);

#[tokio::test]
async fn everything_but_the_guest_works_where_kvm_only_opens() {
    let Some((world, config, mut report)) = found().await else { return };
    if matches!(report.kvm, Kvm::Absent { .. }) {
        return;
    }
    report.driver = Some(DriverName::Firecracker);
    let vmm = driver(&config, &report).unwrap();
    let fixture = Fixture { world, vmm };
    let spec = &fixture.world.spec;
    let vm = fixture.vmm.boot(spec, &fixture.world.gate).await.unwrap();
    let process = vm.process;
    drop(vm);
    let vm = fixture.vmm.adopt(spec, &process).await.unwrap();
    fixture.vmm.pause(&vm).await.unwrap();
    let paths = cases::snapshot_paths(&fixture);
    fixture.vmm.snapshot(&vm, &paths).await.unwrap();
    fixture.vmm.resume(&vm).await.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    assert!(status.contains(&format!("Uid:\t{}\t", spec.uid)), "{status}");
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.ends_clean(&vm).await;
    let vm = fixture.vmm.restore(spec, &paths, &fixture.world.gate).await.unwrap();
    fixture.vmm.kill(&vm).await.unwrap();
    fixture.ends_clean(&vm).await;
    // A memory file that is cut off: refused, and the process ends with it.
    std::fs::File::options().write(true).open(paths.memory()).unwrap().set_len(4096).unwrap();
    let error = fixture.vmm.restore(spec, &paths, &fixture.world.gate).await.unwrap_err();
    assert!(matches!(error, VmmError::Refused { .. }), "{error:?}");
    fixture.is_clean().await;
}
