use super::*;
use crate::{KernelKind, KernelSpec, MacAddr};

fn spec(kind: KernelKind) -> VmSpec {
    let initrd = (kind == KernelKind::DebianCloud).then(|| "/secret/initrd".into());
    VmSpec {
        workspace: "ws-abcdefgh".parse().expect("an id"),
        run_dir: "/secret/run".into(),
        kernel: KernelSpec { kind, image: "/secret/vmlinux".into(), initrd },
        root_disk: "/secret/disk".into(),
        vcpus: 2,
        memory_mib: 512,
        netns: "/run/netns/secret".into(),
        tap: "tap0".to_owned(),
        guest_mac: MacAddr::new([2, 0, 0, 0, 0, 2]),
        uid: 70_000,
        gid: 70_000,
        console: "/secret/console".into(),
        hostname: "my-app".parse().expect("a name"),
        limits: IoLimits::default(),
    }
}

const TCG: Accelerator = Accelerator::Tcg { cache_mib: 64, tsc_khz: 2_596_135 };

/// The values of an option, in order.
fn values<'a>(args: &'a [String], option: &str) -> Vec<&'a str> {
    args.windows(2)
        .filter(|pair| pair.first().is_some_and(|name| name == option))
        .filter_map(|pair| pair.get(1).map(String::as_str))
        .collect()
}

#[test]
fn the_command_line_names_no_path_of_the_host() {
    for kind in [KernelKind::DebianCloud, KernelKind::Own] {
        for start in [Start::Boot, Start::Restore] {
            let args = arguments(&spec(kind), TCG, start);
            assert!(!args.iter().any(|arg| arg.contains("secret")), "{args:?}");
        }
    }
}

#[test]
fn qemu_is_hardened_and_has_nothing_by_default() {
    for accelerator in [TCG, Accelerator::Kvm] {
        let args = arguments(&spec(KernelKind::Own), accelerator, Start::Boot);
        for switch in ["-nodefaults", "-no-user-config", "-no-reboot", "-S"] {
            assert!(args.iter().any(|arg| arg == switch), "{switch}");
        }
        let sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
        assert_eq!(values(&args, "-sandbox"), [sandbox]);
        // Its seccomp filter would kill QEMU when it changes users: the trampoline has done it.
        assert!(!args.iter().any(|arg| arg == "-runas"));
    }
}

#[test]
fn debians_kernel_finds_its_devices_and_its_clock() {
    let args = arguments(&spec(KernelKind::DebianCloud), TCG, Start::Boot);
    assert_eq!(values(&args, "-M"), ["microvm,acpi=on,rtc=on,memory-backend=memory"]);
    assert_eq!(values(&args, "-initrd"), ["/proc/self/fd/12"]);
    assert_eq!(values(&args, "-accel"), ["tcg,thread=multi,tb-size=64"]);
    assert_eq!(
        values(&args, "-append"),
        ["console=ttyS0 8250.nr_uarts=1 quiet systemd.hostname=my-app tsc_early_khz=2596135 \
          tsc=reliable norandmaps mitigations=off reboot=t panic=-1 root=/dev/vda rw"]
    );
}

#[test]
fn our_kernel_needs_neither_acpi_nor_an_initramfs() {
    let args = arguments(&spec(KernelKind::Own), Accelerator::Kvm, Start::Boot);
    assert_eq!(values(&args, "-M"), ["microvm,acpi=off,rtc=on,memory-backend=memory"]);
    assert_eq!(values(&args, "-initrd"), [""; 0]);
    assert_eq!(values(&args, "-cpu"), ["host"]);
    assert_eq!(
        values(&args, "-append"),
        ["console=ttyS0 8250.nr_uarts=1 quiet systemd.hostname=my-app \
          ip=172.16.0.2::172.16.0.1:255.255.255.252:my-app:eth0:off reboot=t panic=-1 \
          root=/dev/vda rw"]
    );
}

#[test]
fn only_a_limited_disk_is_throttled() {
    let disk = |limits| {
        let spec = VmSpec { limits, ..spec(KernelKind::Own) };
        let args = arguments(&spec, TCG, Start::Boot);
        let group =
            values(&args, "-object").into_iter().find(|object| object.starts_with("throttle"));
        let device = values(&args, "-device").into_iter().find(|device| device.contains("blk"));
        (group.map(str::to_owned), device.map(str::to_owned))
    };
    let device =
        |node: &str| Some(format!("virtio-blk-device,drive={node},werror=report,rerror=report"));
    let network_only = IoLimits { net_bps: Some(1), ..IoLimits::default() };
    assert_eq!(disk(network_only), (None, device("raw0")));
    let both = IoLimits { disk_bps: Some(1000), disk_iops: Some(50), net_bps: None };
    let group = "throttle-group,id=limits0,x-bps-total=1000,x-iops-total=50".to_owned();
    assert_eq!(disk(both), (Some(group), device("disk0")));
}

#[test]
fn a_restored_qemu_waits_for_its_state() {
    let boot = arguments(&spec(KernelKind::Own), TCG, Start::Boot);
    let restore = arguments(&spec(KernelKind::Own), TCG, Start::Restore);
    assert_eq!(values(&boot, "-incoming"), [""; 0]);
    assert_eq!(values(&restore, "-incoming"), ["defer"]);
    // But for that it is the same machine.
    let rest: Vec<&String> =
        restore.iter().filter(|arg| *arg != "-incoming" && *arg != "defer").collect();
    assert_eq!(rest, boot.iter().collect::<Vec<_>>());
}
