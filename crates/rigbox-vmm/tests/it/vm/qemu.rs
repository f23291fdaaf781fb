//! QEMU with emulation, and what only it does.

use std::{sync::Arc, time::Instant};

use rigbox_vmm::{DriverChoice, IoLimits, Vmm, VmmError, driver, probe};

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

async fn always() -> Option<Fixture> {
    Some(fixture().await)
}

async fn vmm(world: &World) -> Arc<dyn Vmm> {
    let config = world.config(DriverChoice::QemuTcg);
    let report = probe(&config).await;
    driver(&config, &report).unwrap()
}

cases::suite!(always);

#[tokio::test]
async fn a_guest_that_is_powered_off_ends_the_process() {
    let fixture = fixture().await;
    let (vm, mut guest) = fixture.boot().await;
    guest.say("poweroff").await;
    fixture.ends_clean(&vm).await;
}

#[tokio::test]
async fn a_limited_disk_is_slow_and_an_unlimited_one_is_not() {
    let mut fixture = fixture().await;
    let mut seconds = Vec::new();
    // 4 MiB at 1 MiB a second.
    for disk_bps in [None, Some(1 << 20)] {
        fixture.world.spec.limits = IoLimits { disk_bps, ..IoLimits::default() };
        let (vm, mut guest) = fixture.boot().await;
        let begin = Instant::now();
        assert_eq!(guest.ask("write").await, "Ok(())");
        seconds.push(begin.elapsed().as_secs_f64());
        fixture.vmm.kill(&vm).await.unwrap();
    }
    // No bound for the unlimited one but the other: the machine may be busy.
    assert!(seconds[1] > 3.0 && seconds[0] < seconds[1], "{seconds:?}");
    // What the guest wrote is in the disk's file.
    let disk = std::fs::read(&fixture.world.spec.root_disk).unwrap();
    assert!(disk[..4 << 20].iter().all(|byte| *byte == 0x5a));
}

#[tokio::test]
async fn qemu_is_in_its_sandbox_and_holds_nothing_of_the_hosts() {
    let fixture = fixture().await;
    let (vm, mut guest) = fixture.boot().await;
    assert_eq!(guest.ask("hello").await, "echo hello");
    let proc = format!("/proc/{}", vm.process.pid);
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let mut targets: Vec<String> = std::fs::read_dir(format!("{proc}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    targets.retain(|target| target.starts_with('/') && !target.starts_with("/memfd"));
    targets.sort();
    targets.dedup();
    let spec = &fixture.world.spec;
    let initrd = spec.kernel.initrd.as_ref().unwrap();
    let words = spec.run_dir.join("vmm.err");
    let mut expected = ["/dev/null", "/dev/net/tun", spec.root_disk.as_str(), words.as_str()]
        .map(str::to_owned)
        .to_vec();
    expected.extend([spec.kernel.image.to_string(), initrd.to_string()]);
    expected.sort();
    assert_eq!(targets, expected);
    fixture.vmm.kill(&vm).await.unwrap();
}

#[tokio::test]
async fn a_qemu_that_was_never_told_to_run_is_ended_by_adoption() {
    // As if the host agent died between the start of QEMU and its first command: the console's
    // socket is taken, so the driver waits, and is dropped.
    let fixture = fixture().await;
    let gate = &fixture.world.gate;
    let boot = fixture.vmm.boot(&fixture.world.spec, gate);
    tokio::select! {
        biased;
        result = boot => panic!("{result:?}"),
        () = admitted_and_listening(&fixture) => {}
    }
    let process = gate.admitted.lock().unwrap()[0];
    assert!(process.is_alive());
    let error = fixture.vmm.adopt(&fixture.world.spec, &process).await.unwrap_err();
    assert!(matches!(error, VmmError::Gone { .. }), "{error:?}");
    assert!(!process.is_alive());
    fixture.is_clean().await;
}

/// Until the trampoline has bound QEMU's sockets, which is before QEMU greets.
async fn admitted_and_listening(fixture: &Fixture) {
    let socket = fixture.world.spec.run_dir.join("console.sock");
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
}
