//! Tests that boot something, which the test runner puts into a serial group.

mod firecracker;
mod qemu;
mod qemu_kvm;

use rigbox_types::host::DriverName;
use rigbox_vmm::ProbeReport;

/// Whether the driver is there. Where `RIGBOX_TEST_VMM` names it, it must be: a machine that is made
/// to have it and does not would otherwise pass every test.
fn is_there(driver: DriverName, report: &ProbeReport) -> bool {
    let is_there = report.driver == Some(driver);
    let name = serde_json::to_value(driver).unwrap();
    let wanted = std::env::var("RIGBOX_TEST_VMM").is_ok_and(|wanted| name == wanted.as_str());
    assert!(is_there || !wanted, "{driver:?} is asked for: {report:?}");
    is_there
}
