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

/// Where executables of the platform are in the payload.
const BIN: &str = "bin";

/// Where the tests are: where cargo puts them.
const TESTS: &str = "debug/deps";

/// The images that the product's tests start from: where the tests keep them.
const STORE: &str = "debug/test-store";

/// Room for what the tests write beside the payload.
const DISK_BYTES: u64 = 8 << 30;

/// Puts everything on one disk image and returns it.
pub(crate) fn prepare(work: &Path, plan: &Plan) -> Result<PathBuf> {
    let folder = work.join("payload");
    remove_dir(&folder)?;
    for part in [BIN, TESTS, "debug/examples", STORE, "tmp"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let target = &plan.target;
    let mut files = vec![(plan.product.clone(), format!("{TESTS}/product"))];
    files.push((plan.driver.clone(), format!("{TESTS}/driver")));
    for name in ["rigbox", "rigbox-host", "rigbox-launch", "rig"] {
        files.push((platform::program(name), format!("{BIN}/{name}")));
    }
    // What the driver suite was compiled to start.
    for name in ["debug/rigbox-launch", "debug/examples/suite-guest"] {
        files.push((target.join(name), name.to_owned()));
    }
    if let Some(real) = &plan.firecracker {
        files.push((real.program.clone(), format!("{BIN}/firecracker")));
        files.push((real.jailer.clone(), format!("{BIN}/jailer")));
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
    let (store, to) = (plan.target.join(STORE), folder.join(STORE));
    fs::create_dir_all(&store)?;
    fs::create_dir(to.join("images"))?;
    let images = if plan.has("base::") { vec!["tiny", "base"] } else { vec!["tiny"] };
    for image in images {
        platform::build_image(&store, image)?;
        copy(&store.join("images").join(image), &to.join("images").join(image))?;
    }
    copy(&store.join("kernels"), &to.join("kernels"))?;
    // The product makes an image anew that is not what its recipe says.
    copy(&plan::folder("RIGBOX_IMAGES")?, &folder.join("images"))?;
    fs::create_dir(folder.join("guest-programs"))?;
    for name in ["rigbox-guest", "rig"] {
        let from = plan::folder("RIGBOX_GUEST")?.join(name);
        copy(&from, &folder.join("guest-programs").join(name))?;
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
         export RIGBOX_BIN='{target}/{BIN}' RIGBOX_TEST_STORE='{target}/{STORE}'\nLIMIT_S={}\n",
        TEST_LIMIT.as_secs()
    );
    if plan.firecracker.is_some() {
        text.push_str(&format!(
            "export FIRECRACKER='{target}/{BIN}/firecracker' JAILER='{target}/{BIN}/jailer'\n"
        ));
    }
    text
}
