//! Builds an image: packages, files, file system, digest, name. Each step is in its own module;
//! this one has their order, and what is done when nothing needs doing.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::ImageName;
use rigbox_vmm::KernelKind;

use super::{
    error::ImageError,
    ext4,
    kernel::{self, KernelRequest},
    manifest::{self, Image, MANIFEST, Manifest, Package, ROOT, Verified},
    progress::{Progress, Report, Stage},
    recipe::Recipe,
    rootfs,
    store::{Store, Turn, publish_dir},
    tree::{self, ProgramFiles},
};
use crate::{clock, durable, task::blocking};

/// Unit of `stat`'s blocks.
const STAT_BLOCK_BYTES: u64 = 512;

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// Where the image goes.
    pub store: Store,
    /// The directory of recipes.
    pub recipes: Utf8PathBuf,
    /// Which recipe.
    pub name: ImageName,
    /// What runs inside for the platform.
    pub programs: GuestPrograms,
    /// What may be taken from former builds.
    pub packages: Packages,
}

/// The static programs that go into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPrograms {
    /// The agent.
    pub agent: Utf8PathBuf,
    /// The command line tool. None leaves it out.
    pub rig: Option<Utf8PathBuf>,
}

impl GuestPrograms {
    /// `rigbox-guest` and, where it is there, `rig` of a directory.
    #[must_use]
    pub fn within(dir: &Utf8Path) -> Self {
        let rig = dir.join("rig");
        Self { agent: dir.join("rigbox-guest"), rig: rig.exists().then_some(rig) }
    }
}

/// What may be taken from former builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packages {
    /// An image of the same recipe and programs is left as it is.
    #[default]
    AsBuilt,
    /// It is made anew, of the packages that were fetched before.
    AsFetched,
    /// It is made anew, of packages that are fetched now.
    Fresh,
}

/// Builds an image, and the default kernel where there is none. Gives back what was there already
/// when nothing has changed since.
///
/// # Errors
/// As [`ImageError`]. What was there before stays as it was.
pub async fn build(request: &BuildRequest, report: Report<'_>) -> Result<Image, ImageError> {
    let recipe = Recipe::read(&request.recipes, &request.name)?;
    let programs = check_programs(&request.programs)?;
    let mut digests = Vec::new();
    for program in [Some(&programs.agent), programs.rig.as_ref()].into_iter().flatten() {
        digests.push(manifest::digest(program, &|_| {}).await?);
    }
    let recipe_digest = recipe.digest(&digests);
    if kernel::is_there(&request.store, KernelKind::DebianCloud)
        && let Some(image) = up_to_date(request, &recipe_digest)
    {
        report(&Progress::at(Stage::Done, "nothing has changed"));
        return Ok(image);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(ImageError::NotRoot);
    }
    let turn = Turn::take(&request.store, report).await?;
    let needed_mib = u64::from(recipe.disk.size_mib);
    let job = Job { request, recipe: &recipe, recipe_digest, programs, turn: &turn, report };
    let built = match turn.need(needed_mib) {
        Ok(()) => turn.explain(job.run().await, needed_mib),
        Err(error) => Err(error),
    };
    let ended = turn.end().await;
    let image = built?;
    ended?;
    report(&Progress::at(Stage::Done, ""));
    Ok(image)
}

fn check_programs(programs: &GuestPrograms) -> Result<ProgramFiles, ImageError> {
    for program in [Some(&programs.agent), programs.rig.as_ref()].into_iter().flatten() {
        if !program.is_file() {
            return Err(ImageError::NoProgram { path: program.clone() });
        }
    }
    Ok(ProgramFiles { agent: programs.agent.clone(), rig: programs.rig.clone() })
}

fn up_to_date(request: &BuildRequest, recipe_digest: &str) -> Option<Image> {
    if request.packages != Packages::AsBuilt {
        return None;
    }
    // A damaged manifest is no reason to fail: the build replaces it.
    let (_, image) = manifest::find(&request.store, &request.name).ok()?;
    let length = fs::metadata(&image.root_disk).ok()?.len();
    let is_same =
        image.manifest.recipe_digest == recipe_digest && image.manifest.size_bytes == length;
    is_same.then_some(image)
}

/// One build that has its turn.
struct Job<'a> {
    request: &'a BuildRequest,
    recipe: &'a Recipe,
    recipe_digest: String,
    programs: ProgramFiles,
    turn: &'a Turn,
    report: Report<'a>,
}

impl Job<'_> {
    async fn run(&self) -> Result<Image, ImageError> {
        let store = &self.request.store;
        if !kernel::is_there(store, KernelKind::DebianCloud) {
            let request = KernelRequest {
                store: store.clone(),
                recipes: self.request.recipes.clone(),
                kind: KernelKind::DebianCloud,
                packages: Packages::AsBuilt,
                jobs: None,
            };
            kernel::make(&request, self.turn, self.report).await?;
        }
        // Whoever had the turn before may have built the same.
        if let Some(image) = up_to_date(self.request, &self.recipe_digest) {
            return Ok(image);
        }
        let packages = self.make_tree().await?;
        self.make_image(packages).await
    }

    fn tree(&self) -> Utf8PathBuf {
        self.turn.work().join("tree")
    }

    async fn make_tree(&self) -> Result<Vec<Package>, ImageError> {
        let tree = self.tree();
        fs::create_dir(&tree).map_err(ImageError::file("make", &tree))?;
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o755))
            .map_err(ImageError::file("make", &tree))?;
        let job = rootfs::Job {
            store: &self.request.store,
            turn: self.turn,
            report: self.report,
            is_fresh: self.request.packages == Packages::Fresh,
        };
        let packages = rootfs::unpack(&job, self.recipe, &tree).await?;
        (self.report)(&Progress::at(Stage::Files, ""));
        let (recipe, programs) = (self.recipe.clone(), self.programs.clone());
        blocking(move || tree::apply(&tree, &recipe, &programs)).await?;
        Ok(packages)
    }

    async fn make_image(&self, packages: Vec<Package>) -> Result<Image, ImageError> {
        let made = self.turn.work().join("image");
        fs::create_dir(&made).map_err(ImageError::file("make", &made))?;
        let root = made.join(ROOT);
        let order = ext4::Order {
            tree: &self.tree(),
            image: &root,
            work: self.turn.work(),
            lock: self.turn.lock(),
            disk: self.recipe.disk,
            label: "rigbox".to_owned(),
            seed: &self.recipe_digest,
        };
        ext4::make(&order, self.report).await?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o444))
            .map_err(ImageError::file("protect", &root))?;
        let digest = manifest::digest(&root, self.report).await?;
        let metadata = fs::metadata(&root).map_err(ImageError::file("look at", &root))?;
        let manifest = Manifest {
            name: self.recipe.name.clone(),
            description: self.recipe.description.clone(),
            digest,
            recipe_digest: self.recipe_digest.clone(),
            size_bytes: metadata.len(),
            stored_bytes: metadata.blocks().saturating_mul(STAT_BLOCK_BYTES),
            built_at: clock::now(),
            suite: self.recipe.suite.clone(),
            packages,
        };
        let path = made.join(MANIFEST);
        write_json(&path, &manifest)?;
        Verified::of(&root, &manifest.digest)?.note(&made);
        let home = self.request.store.image(&self.request.name);
        publish_dir(&made, &home)?;
        Ok(Image { manifest, root_disk: home.join(ROOT) })
    }
}

/// Writes a document that people may read too.
pub(super) fn write_json(
    path: &Utf8Path,
    document: &impl serde::Serialize,
) -> Result<(), ImageError> {
    serde_json::to_vec_pretty(document)
        .map_err(std::io::Error::from)
        .and_then(|text| durable::write(path, &text))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)))
        .map_err(ImageError::file("write", path))
}
