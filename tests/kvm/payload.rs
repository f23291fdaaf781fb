//! The payload disk: the product's executables, its images and its own tests.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::outer::run;

/// Tests that mean something with another driver: what boots, enters, stops and isolates.
const DEFAULT_FILTER: &str = "lifecycle:: isolation:: adoption::";

/// Puts everything on one disk image and returns it.
pub(crate) fn prepare(work: &Path, filter: &[String]) -> Result<PathBuf> {
    let folder = work.join("payload");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    for name in ["rigbox", "rigbox-host", "rigbox-launch", "rig"] {
        let from = from_env("RIGBOX_BIN")?.join(name);
        fs::copy(&from, bin.join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    let mut rounds = vec!["qemu"];
    if let (Some(firecracker), Some(jailer)) = (env::var_os("FIRECRACKER"), env::var_os("JAILER")) {
        fs::copy(&firecracker, bin.join("firecracker")).context("copy FIRECRACKER")?;
        fs::copy(&jailer, bin.join("jailer")).context("copy JAILER")?;
        rounds.push("firecracker");
    } else {
        eprintln!("note: FIRECRACKER and JAILER are not set: only QEMU with KVM is tested");
    }
    let tests = env::current_exe()?.with_file_name("deps").join("it");
    let tests = env::var_os("RIGBOX_KVM_TESTS").map_or(tests, PathBuf::from);
    fs::copy(&tests, bin.join("it")).with_context(|| format!("copy {}", tests.display()))?;
    let images = rigbox_tests::platform::image_store()?;
    run(Command::new("cp").args(["-a", "--sparse=always"]).arg(&images).arg(folder.join("store")))?;
    let filter = if filter.is_empty() { DEFAULT_FILTER.to_owned() } else { filter.join(" ") };
    let script = script(&rounds, &filter);
    fs::write(folder.join("run.sh"), script)?;
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755))?;
    let disk = work.join("payload.ext4");
    let file = fs::File::create(&disk)?;
    file.set_len(8 << 30)?;
    run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(&folder).arg(&disk))?;
    Ok(disk)
}

/// What the outer machine runs: the tests, once per driver.
fn script(rounds: &[&str], filter: &str) -> String {
    let mut script = String::from(
        "set -u\nexport RIGBOX_BIN=/payload/bin RIGBOX_TEST_STORE=/payload/store \
         FIRECRACKER=/payload/bin/firecracker JAILER=/payload/bin/jailer\nfailed=0\n",
    );
    for driver in rounds {
        script.push_str(&format!(
            "echo \"== driver {driver}\"\nRIGBOX_TEST_DRIVER={driver} /payload/bin/it \
             --test-threads 1 {filter} || failed=1\n"
        ));
    }
    script.push_str("exit $failed\n");
    script
}

fn from_env(name: &str) -> Result<PathBuf> {
    let path = env::var_os(name).map(PathBuf::from);
    let path = path.with_context(|| format!("{name} is not set: run this by `cargo xtask kvm`"))?;
    ensure!(path.is_dir(), "{name} names {}, which is no folder", path.display());
    Ok(path)
}
