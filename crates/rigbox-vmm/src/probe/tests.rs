use super::*;

fn broken() -> Kvm {
    Kvm::Broken { reason: "nothing ran".to_owned() }
}

#[test]
fn the_driver_follows_from_what_was_found() {
    use DriverChoice::{Auto, Firecracker, Qemu, QemuTcg};

    let check = |choice, qemu, firecracker, with: (Kvm, Kvm), expected: Option<DriverName>| {
        let found = choice::Found {
            qemu,
            firecracker,
            jailer: firecracker,
            with_firecracker: &with.0,
            with_qemu: &with.1,
        };
        let (driver, why) = choice::choose(choice, &found);
        assert_eq!(driver, expected, "{choice:?} {found:?}");
        assert!(!why.is_empty());
    };
    let untried = || Kvm::Untried;
    check(Auto, true, true, (Kvm::Works, untried()), Some(DriverName::Firecracker));
    check(Auto, true, true, (broken(), Kvm::Works), Some(DriverName::QemuKvm));
    check(Auto, true, true, (broken(), broken()), Some(DriverName::QemuTcg));
    check(Auto, true, false, (untried(), Kvm::Works), Some(DriverName::QemuKvm));
    check(Auto, false, true, (broken(), untried()), None);
    check(Auto, false, false, (untried(), untried()), None);
    check(Firecracker, true, true, (broken(), untried()), None);
    check(Firecracker, true, false, (untried(), untried()), None);
    check(Qemu, true, true, (untried(), Kvm::Works), Some(DriverName::QemuKvm));
    check(QemuTcg, true, true, (untried(), untried()), Some(DriverName::QemuTcg));
    check(QemuTcg, false, true, (untried(), untried()), None);
}

#[tokio::test]
async fn a_guest_that_runs_is_seen_to_run() {
    let config = DriverConfig::new("/nonexistent".into(), "/nonexistent".into());
    let tool = tool::find(&config.qemu).await.expect("QEMU is installed");
    let answer = trial::run(&tool, trial::Vmm::Qemu, trial::Accelerator::Tcg).await;
    assert_eq!(answer, Ok(Kvm::Works));
}

#[tokio::test]
async fn a_vmm_that_cannot_be_started_says_nothing_about_kvm() {
    let tool = Tool { path: "/nonexistent".into(), version: String::new() };
    let answer = trial::run(&tool, trial::Vmm::Qemu, trial::Accelerator::Kvm).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn a_vmm_that_ends_at_once_is_not_a_working_kvm() {
    let tool = Tool { path: "/bin/false".into(), version: String::new() };
    let answer = trial::run(&tool, trial::Vmm::Qemu, trial::Accelerator::Kvm).await;
    assert!(matches!(answer, Ok(Kvm::Broken { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_answer_is_remembered_for_its_key_only() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = Utf8PathBuf::try_from(dir.path().join("probe.json")).expect("UTF-8");
    memory::remember(&path, "one", &broken()).await.expect("remember");
    memory::remember(&path, "two", &Kvm::Works).await.expect("remember");
    assert_eq!(memory::recall(&path, "one").await, Some(broken()));
    assert_eq!(memory::recall(&path, "two").await, Some(Kvm::Works));
    assert_eq!(memory::recall(&path, "three").await, None);
    tokio::fs::write(&path, "{ half").await.expect("write");
    assert_eq!(memory::recall(&path, "one").await, None);
}
