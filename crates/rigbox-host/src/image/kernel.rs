//! Guest kernels: Debian's cloud kernel with an initramfs that loads its modules, or our own with
//! everything built in. Invariant: a kernel has its directory only when it is whole and on disk.
//! Does not know command lines (the driver does).

use std::{fs, io, os::unix::fs::PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::Timestamp;
use rigbox_vmm::{KernelKind, KernelSpec};
use serde::{Deserialize, Serialize};

use super::{
    archive::Archive,
    build::{Packages, write_json},
    error::ImageError,
    initramfs,
    manifest::{self, MANIFEST, Package, Verified, read_json},
    own_kernel,
    progress::{Progress, Report, Stage},
    recipe::InvalidRecipe,
    store::{Store, Turn, publish_dir},
    vmlinux,
};
use crate::clock;

/// The kernel's name in its directory.
pub(super) const IMAGE: &str = "vmlinux";
/// The initramfs's.
const INITRD: &str = "initrd";

/// Unpacked packages and what is made of them, in MiB: Debian's kernel has 120.
const DEBIAN_MIB: u64 = 512;

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRequest {
    /// Where the kernel goes.
    pub store: Store,
    /// The directory of recipes, which has one for kernels.
    pub recipes: Utf8PathBuf,
    /// Which of the two.
    pub kind: KernelKind,
    /// What may be taken from former builds.
    pub packages: Packages,
    /// Compilers that run at once; none: one for each CPU.
    pub jobs: Option<u32>,
}

/// What is known of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelManifest {
    /// Which of the two.
    pub kind: KernelKind,
    /// What `uname -r` says.
    pub release: String,
    /// SHA-256 of the kernel, in hexadecimal.
    pub digest: String,
    /// SHA-256 of the initramfs, where there is one.
    pub initrd_digest: Option<String>,
    /// When it was made.
    pub built_at: Timestamp,
    /// What it was made of.
    pub packages: Vec<Package>,
}

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What is known of it.
    pub manifest: KernelManifest,
    /// As a driver takes it.
    pub spec: KernelSpec,
}

/// `kernel/recipe.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    pub(super) debian: Debian,
    pub(super) own: Own,
}

/// Debian's cloud kernel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Debian {
    /// The package that depends on the kernel of the day.
    pub(super) package: String,
    /// Where the initramfs has its shell from.
    pub(super) busybox: String,
    /// Paths below the kernel's modules, in the order in which they are loaded.
    pub(super) modules: Vec<String>,
}

/// Our own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    /// The package that has the source.
    pub(super) source: String,
    /// The file of options.
    pub(super) fragment: String,
}

/// Makes a kernel. Gives back the one that is there, unless it is to be made anew.
///
/// # Errors
/// As [`ImageError`]. What was there before stays as it was.
pub async fn kernel(request: &KernelRequest, report: Report<'_>) -> Result<Kernel, ImageError> {
    if request.packages == Packages::AsBuilt && is_there(&request.store, request.kind) {
        report(&Progress::at(Stage::Done, "it is there"));
        return find(&request.store, request.kind);
    }
    let turn = Turn::take(&request.store, report).await?;
    let made = make(request, &turn, report).await;
    let ended = turn.end().await;
    let kernel = made?;
    ended?;
    report(&Progress::at(Stage::Done, ""));
    Ok(kernel)
}

/// The kernel to boot: the one of this kind, or without one our own where it was built, else
/// Debian's. Its digest is checked when the file has changed since the last check.
///
/// # Errors
/// Where there is none, or it is damaged.
pub async fn kernel_resolve(store: &Store, kind: Option<KernelKind>) -> Result<Kernel, ImageError> {
    let kind = kind.unwrap_or_else(|| match is_there(store, KernelKind::Own) {
        true => KernelKind::Own,
        false => KernelKind::DebianCloud,
    });
    let kernel = find(store, kind)?;
    let dir = home(store, kind);
    let now = Verified::of(&kernel.spec.image, &kernel.manifest.digest)?;
    if read_json::<Verified>(&dir.join("verified.json")).ok().flatten().as_ref() != Some(&now) {
        let expected = [Some(&kernel.manifest.digest), kernel.manifest.initrd_digest.as_ref()];
        let files = [Some(&kernel.spec.image), kernel.spec.initrd.as_ref()];
        for (path, expected) in files.into_iter().flatten().zip(expected.into_iter().flatten()) {
            let found = manifest::digest(path, &|_| {}).await?;
            if found != *expected {
                let reason = format!("its digest is {found}, not {expected}");
                return Err(ImageError::Corrupt { path: path.clone(), reason });
            }
        }
        now.note(&dir);
    }
    Ok(kernel)
}

/// Whether there is a kernel of a kind.
pub(super) fn is_there(store: &Store, kind: KernelKind) -> bool {
    find(store, kind).is_ok()
}

/// Makes a kernel for whoever has the turn.
pub(super) async fn make(
    request: &KernelRequest,
    turn: &Turn,
    report: Report<'_>,
) -> Result<Kernel, ImageError> {
    let recipes = request.recipes.join("kernel");
    let job = Job { recipe: &read_recipe(&recipes)?, recipes: &recipes, turn, report };
    let made = turn.work().join("kernel");
    fs::create_dir(&made).map_err(ImageError::file("make", &made))?;
    let needed_mib = match request.kind {
        KernelKind::DebianCloud => DEBIAN_MIB,
        KernelKind::Own => own_kernel::NEEDED_MIB,
    };
    turn.need(needed_mib)?;
    let parts = match request.kind {
        KernelKind::DebianCloud => job.debian(&made).await,
        KernelKind::Own => own_kernel::compile(&job, &made, request.jobs).await,
    };
    let (release, packages) = turn.explain(parts, needed_mib)?;
    let initrd = made.join(INITRD);
    let initrd_digest = match initrd.exists() {
        true => Some(manifest::digest(&initrd, &|_| {}).await?),
        false => None,
    };
    let digest = manifest::digest(&made.join(IMAGE), report).await?;
    Verified::of(&made.join(IMAGE), &digest)?.note(&made);
    let manifest = KernelManifest {
        kind: request.kind,
        release,
        digest,
        initrd_digest,
        built_at: clock::now(),
        packages,
    };
    write_json(&made.join(MANIFEST), &manifest)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o755))
        .map_err(ImageError::file("open up", &made))?;
    publish_dir(&made, &home(&request.store, request.kind))?;
    find(&request.store, request.kind)
}

fn read_recipe(dir: &Utf8Path) -> Result<Recipe, ImageError> {
    let path = dir.join("recipe.toml");
    let text = fs::read_to_string(&path).map_err(ImageError::file("read", &path))?;
    toml::from_str(&text)
        .map_err(|error| ImageError::InvalidRecipe { path, source: InvalidRecipe::Syntax(error) })
}

fn home(store: &Store, kind: KernelKind) -> Utf8PathBuf {
    store.kernels().join(match kind {
        KernelKind::DebianCloud => "debian-cloud",
        KernelKind::Own => "own",
    })
}

fn find(store: &Store, kind: KernelKind) -> Result<Kernel, ImageError> {
    let dir = home(store, kind);
    let (image, initrd) = (dir.join(IMAGE), dir.join(INITRD));
    let missing = || ImageError::Missing { name: format!("kernel {dir}") };
    let manifest = read_json::<KernelManifest>(&dir.join(MANIFEST))?.ok_or_else(missing)?;
    if !image.exists() || initrd.exists() != manifest.initrd_digest.is_some() {
        return Err(missing());
    }
    let initrd = manifest.initrd_digest.is_some().then_some(initrd);
    Ok(Kernel { manifest, spec: KernelSpec { kind, image, initrd } })
}

/// One kernel that is being made.
pub(super) struct Job<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) recipes: &'a Utf8Path,
    pub(super) turn: &'a Turn,
    pub(super) report: Report<'a>,
}

impl Job<'_> {
    pub(super) fn archive(&self) -> Archive<'_> {
        Archive { lock: self.turn.lock(), report: self.report }
    }

    /// A new directory of this build.
    pub(super) fn dir(&self, name: &str) -> Result<Utf8PathBuf, ImageError> {
        let dir = self.turn.work().join(name);
        fs::create_dir(&dir).map_err(ImageError::file("make", &dir))?;
        Ok(dir)
    }

    async fn debian(&self, made: &Utf8Path) -> Result<(String, Vec<Package>), ImageError> {
        let debian = &self.recipe.debian;
        let (downloads, tree) = (self.dir("kernel-downloads")?, self.dir("kernel-tree")?);
        let name = self.archive().meaning(&debian.package, "linux-image-").await?;
        let kernel = self.archive().download(&name, &downloads).await?;
        let busybox = self.archive().download(&debian.busybox, &downloads).await?;
        for file in [&kernel.file, &busybox.file] {
            self.archive().unpack(file, &tree).await?;
        }
        let release = name.trim_start_matches("linux-image-").to_owned();
        (self.report)(&Progress::at(Stage::FileSystem, "kernel"));
        let packed = tree.join("boot").join(format!("vmlinuz-{release}"));
        let image = made.join(IMAGE);
        vmlinux::extract(&packed, &image, self.turn).await?;
        let initrd = made.join(INITRD);
        let parts = initramfs::Parts {
            init: &self.recipes.join("init"),
            busybox: &tree.join("bin/busybox"),
            modules: &tree.join("lib/modules").join(&release).join("kernel"),
            order: &debian.modules,
        };
        initramfs::make(&parts, &initrd, self.turn).await?;
        for path in [&image, &initrd] {
            readable(path).map_err(ImageError::file("open up", path))?;
        }
        Ok((release, vec![kernel.package, busybox.package]))
    }
}

/// VMMs run as users of their own.
pub(super) fn readable(path: &Utf8Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
}
