//! Which tests run in the machine with KVM, and with which driver.

use std::{env, path::Path, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

/// Tests that are left out unless they are asked for, and why: see CONTRIBUTING.md.
const ONLY_WHEN_ASKED: [&str; 3] = ["base::", "kills::", "capacity::"];

/// The driver suite with KVM under QEMU.
const QEMU_SUITE: [&str; 1] = ["vm::qemu_kvm::"];

/// The driver suite on the real Firecracker, and what its double is held to.
const FIRECRACKER_SUITE: [&str; 3] =
    ["vm::firecracker::", "double::conformance::real::", "double::jailer::the_real_"];

/// The real Firecracker and its jailer.
pub(crate) struct Firecracker {
    pub(crate) program: PathBuf,
    pub(crate) jailer: PathBuf,
}

/// What the harness was given and what it will do.
pub(crate) struct Plan {
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// The executable of the product's tests.
    pub(crate) product: PathBuf,
    /// The executable of the driver suite.
    pub(crate) driver: PathBuf,
    pub(crate) firecracker: Option<Firecracker>,
    pub(crate) tests: Vec<Test>,
}

/// One test, with one driver.
pub(crate) struct Test {
    /// The driver that it runs with.
    pub(crate) round: &'static str,
    /// `product` or `driver`.
    pub(crate) suite: &'static str,
    pub(crate) name: String,
}

impl Test {
    /// What a filter is looked for in.
    fn full_name(&self) -> String {
        format!("{}/{}/{}", self.round, self.suite, self.name)
    }
}

impl Plan {
    /// From the environment that `cargo xtask kvm` sets, and words of which one must be in a test's
    /// full name, such as `qemu/product/lifecycle::`.
    pub(crate) fn make(filter: &[String]) -> Result<Self> {
        let (product, driver) = (file("RIGBOX_KVM_PRODUCT")?, file("RIGBOX_KVM_DRIVER")?);
        let firecracker = match (env::var_os("FIRECRACKER"), env::var_os("JAILER")) {
            (None, None) => None,
            _ => Some(Firecracker { program: file("FIRECRACKER")?, jailer: file("JAILER")? }),
        };
        let mut tests = tests(("qemu", &product, &driver), &QEMU_SUITE)?;
        if firecracker.is_some() {
            tests.extend(self::tests(("firecracker", &product, &driver), &FIRECRACKER_SUITE)?);
        }
        tests.retain(|test| {
            let name = test.full_name();
            if filter.is_empty() {
                !ONLY_WHEN_ASKED.iter().any(|module| test.name.starts_with(module))
            } else {
                filter.iter().any(|word| name.contains(word))
            }
        });
        ensure!(!tests.is_empty(), "no test has any of these in its name: {}", filter.join(", "));
        let target = folder("RIGBOX_KVM_TARGET")?;
        Ok(Self { target, product, driver, firecracker, tests })
    }

    /// Whether a test of this module runs.
    pub(crate) fn has(&self, module: &str) -> bool {
        self.tests.iter().any(|test| test.name.starts_with(module))
    }

    /// The list as the machine reads it.
    pub(crate) fn list(&self) -> String {
        let line = |test: &Test| format!("{} {} {}\n", test.round, test.suite, test.name);
        self.tests.iter().map(line).collect()
    }
}

/// All of the product's tests, and those modules of the driver suite that mean this driver.
fn tests(
    (round, product, driver): (&'static str, &Path, &Path),
    modules: &[&str],
) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for name in names(driver)? {
        if modules.iter().any(|module| name.starts_with(module)) {
            tests.push(Test { round, suite: "driver", name });
        }
    }
    // A renamed module must not turn into a round without tests.
    ensure!(!tests.is_empty(), "the driver suite has none of {modules:?}");
    let of_product = names(product)?;
    tests.extend(of_product.into_iter().map(|name| Test { round, suite: "product", name }));
    Ok(tests)
}

/// What a test executable has.
fn names(program: &Path) -> Result<Vec<String>> {
    let output = Command::new(program)
        .args(["--list", "--format", "terse"])
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn file(name: &str) -> Result<PathBuf> {
    let path = path(name)?;
    ensure!(path.is_file(), "{name} names {}, which is no file", path.display());
    Ok(path)
}

/// The folder that a variable names.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let path = path(name)?;
    ensure!(path.is_dir(), "{name} names {}, which is no folder", path.display());
    Ok(path)
}

fn path(name: &str) -> Result<PathBuf> {
    let path = env::var_os(name).map(PathBuf::from);
    path.with_context(|| format!("{name} is not set: run this by `cargo xtask kvm`"))
}
