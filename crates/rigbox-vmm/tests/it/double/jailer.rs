//! What the jailer says and leaves behind, as measured. Held to it: the double, and the real one
//! where `FIRECRACKER` and `JAILER` name them.

use std::{
    fs,
    process::{Command, Output},
};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

struct Jailer {
    firecracker: Utf8PathBuf,
    program: Utf8PathBuf,
    base: Utf8PathBuf,
    _temporary: TempDir,
}

impl Jailer {
    /// The double, or the real one if it is asked for and there is one.
    fn find(is_real: bool) -> Option<Self> {
        let temporary = tempfile::Builder::new().prefix("rbjail").tempdir_in("/tmp").unwrap();
        let base = Utf8PathBuf::try_from(temporary.path().to_owned()).unwrap();
        let (firecracker, program) = if is_real {
            let find = |name| std::env::var(name).ok().map(Utf8PathBuf::from);
            (find("FIRECRACKER")?, find("JAILER")?)
        } else {
            super::programs(&base)
        };
        Some(Self { firecracker, program, base, _temporary: temporary })
    }

    fn run(&self, extra: &[&str]) -> Output {
        Command::new(&self.program)
            .args(["--exec-file", self.firecracker.as_str(), "--uid", "70001", "--gid", "70001"])
            .args(["--chroot-base-dir", self.base.as_str()])
            .args(extra)
            .output()
            .unwrap()
    }

    fn root(&self, id: &str) -> Utf8PathBuf {
        let canonical = self.firecracker.canonicalize_utf8().unwrap();
        self.base.join(canonical.file_name().unwrap()).join(id).join("root")
    }
}

fn check(output: &Output, expected: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(expected), "{expected}: {stderr}");
}

fn refusals(jailer: &Jailer) {
    check(&jailer.run(&["--id", "a_b"]), "Invalid instance ID: Invalid char (_) at position 1");
    check(&jailer.run(&[]), "Argument 'id' required, but not found.");
    let netns = ["--id", "vm1", "--netns", "/run/netns/rbvmm-nope"];
    check(&jailer.run(&netns), "Failed to open file /run/netns/rbvmm-nope");
    // The namespace is joined after the tree was made.
    assert!(jailer.root("vm1").exists());
    let limit = ["--id", "vm2", "--resource-limit", "foo"];
    check(&jailer.run(&limit), "Invalid format for resources limits: foo");
    let limit = ["--id", "vm2", "--resource-limit", "foo=1"];
    check(&jailer.run(&limit), "Invalid resource argument: foo");
    let cgroup = jailer.run(&["--id", "vm3", "--cgroup", "memory.max"]);
    // Where the machine has cgroup v2 only, the default of version 1 is what is wrong with it.
    let stderr = String::from_utf8_lossy(&cgroup.stderr);
    assert!(
        stderr.contains("Invalid format for cgroups: memory.max")
            || stderr.contains("No hierarchy found for this cgroup version."),
        "{stderr}"
    );
}

fn leftovers(jailer: &Jailer) {
    let root = jailer.root("vm1");
    fs::create_dir_all(root.join("dev/net")).unwrap();
    fs::write(root.join("dev/net/tun"), "").unwrap();
    let id = ["--id", "vm1"];
    check(
        &jailer.run(&id),
        "Failed to create /dev/net/tun via mknod inside the jail: File exists (os error 17)",
    );
    fs::remove_dir_all(root.join("dev")).unwrap();
    fs::write(root.join("firecracker.pid"), "").unwrap();
    check(&jailer.run(&id), "Failed to open file /firecracker.pid: File exists (os error 17)");
    let program = root
        .join(jailer.root("x").parent().and_then(Utf8Path::parent).unwrap().file_name().unwrap());
    fs::hard_link(&program, jailer.base.join("link")).unwrap();
    check(&jailer.run(&id), "Detected hard link at:");
}

#[test]
fn the_double_refuses_what_the_jailer_refuses() {
    refusals(&Jailer::find(false).unwrap());
}

#[test]
fn the_double_fails_on_leftovers_as_the_jailer_does() {
    leftovers(&Jailer::find(false).unwrap());
}

#[test]
fn the_real_jailer_refuses_what_the_double_refuses() {
    if let Some(jailer) = Jailer::find(true) {
        refusals(&jailer);
    }
}

#[test]
fn the_real_jailer_fails_on_leftovers_as_the_double_does() {
    if let Some(jailer) = Jailer::find(true) {
        leftovers(&jailer);
    }
}
