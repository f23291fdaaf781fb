//! The payload disk: executables of the product, its tests and what they boot, laid out as in
//! cargo's target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use rigbox_tests::platform;

use crate::{
    TEST_LIMIT,
    outer::{remove_dir, run},
    plan::{self, Plan},
};

/// The test that makes the guest of the driver suite, which cannot be made without a network.
const DRIVER_GUEST: &str = "assets::the_guest_of_the_suite_is_made";

/// What a test executable is in the payload, below cargo's target folder.
const TESTS: &str = "debug/deps";

/// Room for what the tests write beside the payload.
const DISK_BYTES: u64 = 8 << 30;

/// Puts everything on one disk image and returns it.
pub(crate) fn prepare(work: &Path, plan: &Plan) -> Result<PathBuf> {
    let folder = work.join("payload");
    remove_dir(&folder)?;
    for part in [TESTS, "debug/examples", "debug/test-store/images", "tmp"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let target = &plan.target;
    let mut files = vec![(plan.product.clone(), format!("{TESTS}/product"))];
    files.push((plan.driver.clone(), format!("{TESTS}/driver")));
    for name in ["rigbox", "rigbox-host", "rigbox-launch", "rig", "examples/suite-guest"] {
        files.push((target.join("debug").join(name), format!("debug/{name}")));
    }
    if let Some(real) = &plan.firecracker {
        files.push((real.program.clone(), "debug/firecracker".to_owned()));
        files.push((real.jailer.clone(), "debug/jailer".to_owned()));
    }
    for (from, to) in &files {
        copy(from, &folder.join(to))?;
    }
    put_guests(plan, &folder)?;
    fs::write(folder.join("tests"), plan.list())?;
    fs::write(folder.join("environment"), environment(plan))?;
    fs::write(folder.join("run.sh"), include_str!("run.sh"))?;
    let disk = work.join("payload.ext4");
    fs::File::create(&disk)?.set_len(DISK_BYTES)?;
    run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(&folder).arg(&disk))?;
    remove_dir(&folder)?;
    Ok(disk)
}

/// Makes the guests of both suites, if nobody has yet, and copies them.
fn put_guests(plan: &Plan, folder: &Path) -> Result<()> {
    let store = platform::image_store()?;
    let mut images = vec!["tiny"];
    if plan.has("base::") {
        platform::build_image(&store, "base")?;
        images.push("base");
    }
    let to = folder.join("debug/test-store");
    copy(&store.join("kernels"), &to.join("kernels"))?;
    for image in images {
        copy(&store.join("images").join(image), &to.join("images").join(image))?;
    }
    // The product makes an image anew that is not what its recipe says.
    for (variable, name) in [("RIGBOX_IMAGES", "images"), ("RIGBOX_GUEST", "guest-programs")] {
        copy(&plan::folder(variable)?, &folder.join(name))?;
    }
    run(Command::new(&plan.driver).args(["--quiet", "--exact", DRIVER_GUEST]))?;
    let (from, to) = (plan.target.join("tmp/vmm-guest"), folder.join("tmp/vmm-guest"));
    fs::create_dir(&to)?;
    for name in ["vmlinux", "initrd", "made-from"] {
        copy(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

/// Times stay: the driver suite knows by them that its guest is up to date.
fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").args(["-a", "--dereference", "--sparse=always"]).arg(from).arg(to))
        .with_context(|| format!("copy {}", from.display()))
}

fn environment(plan: &Plan) -> String {
    let target = plan.target.display();
    let mut text = format!(
        "TARGET='{target}'\nPRODUCT='{target}/{TESTS}/product'\nDRIVER='{target}/{TESTS}/driver'\n\
         LIMIT_S={}\n",
        TEST_LIMIT.as_secs()
    );
    if plan.firecracker.is_some() {
        text.push_str(&format!(
            "export FIRECRACKER='{target}/debug/firecracker' JAILER='{target}/debug/jailer'\n"
        ));
    }
    text
}
