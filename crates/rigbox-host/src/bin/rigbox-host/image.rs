//! `rigbox-host image`: builds, lists and checks guest images and kernels.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};
use rigbox_host::image::{
    self, BuildRequest, GuestPrograms, ImageError, KernelRequest, Packages, Store,
};
use rigbox_types::ImageName;
use rigbox_vmm::KernelKind;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::output::{self, Shown};

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image from its recipe; nothing to do where nothing has changed.
    Build {
        /// The recipe, such as base, dev or tiny.
        name: ImageName,
        #[command(flatten)]
        again: Again,
        #[command(flatten)]
        place: Place,
        /// End when this process does, which must have started this one.
        #[arg(long, value_name = "PID", hide = true)]
        parent: Option<u32>,
    },
    /// Build a guest kernel: our own from source, or Debian's.
    Kernel {
        /// Which one.
        #[arg(long, value_enum, default_value_t = Kind::Own)]
        kind: Kind,
        /// Compilers that run at once [default: one for each CPU].
        #[arg(long)]
        jobs: Option<u32>,
        #[command(flatten)]
        again: Again,
        #[command(flatten)]
        place: Place,
    },
    /// List what is built.
    Ls(Place),
    /// Read an image and compare it with its digest.
    Verify {
        /// Which image.
        name: ImageName,
        #[command(flatten)]
        place: Place,
    },
}

/// What may be taken from former builds.
#[derive(Debug, Args)]
pub(crate) struct Again {
    /// Build it although nothing has changed, of the packages that were fetched before.
    #[arg(long)]
    force: bool,
    /// Build it of packages that are fetched now.
    #[arg(long)]
    fresh: bool,
}

/// Where things are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory of everything that the platform keeps.
    #[arg(long, value_name = "DIR")]
    data: Utf8PathBuf,
    /// The directory of recipes.
    #[arg(long, value_name = "DIR", env = "RIGBOX_IMAGES", default_value = "images")]
    recipes: Utf8PathBuf,
    /// The directory of the guest's programs.
    #[arg(long, value_name = "DIR", env = "RIGBOX_GUEST", default_value = "/usr/lib/rigbox/guest")]
    guest: Utf8PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// Everything built in: boots fastest.
    Own,
    /// Debian's cloud kernel with a small initramfs.
    Debian,
}

impl Again {
    fn packages(&self) -> Packages {
        match (self.fresh, self.force) {
            (true, _) => Packages::Fresh,
            (false, true) => Packages::AsFetched,
            (false, false) => Packages::AsBuilt,
        }
    }
}

impl Place {
    fn store(&self) -> Store {
        Store::below(&self.data)
    }
}

/// Does it.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let shown = Shown::default();
    let report = |progress: &image::Progress| shown.progress(progress);
    match command {
        Command::Build { name, again, place, parent } => {
            let request = BuildRequest {
                store: place.store(),
                recipes: place.recipes.clone(),
                name,
                programs: GuestPrograms::within(&place.guest),
                packages: again.packages(),
            };
            let image = until_ended(parent, image::build(&request, &report)).await?;
            let manifest = &image.manifest;
            output::line(&format!("{} sha256:{}", manifest.name, manifest.digest))?;
        }
        Command::Kernel { kind, jobs, again, place } => {
            let request = KernelRequest {
                store: place.store(),
                recipes: place.recipes.clone(),
                kind: match kind {
                    Kind::Own => KernelKind::Own,
                    Kind::Debian => KernelKind::DebianCloud,
                },
                packages: again.packages(),
                jobs,
            };
            let kernel = until_ended(None, image::kernel(&request, &report)).await?;
            let manifest = &kernel.manifest;
            output::line(&format!("{} sha256:{}", manifest.release, manifest.digest))?;
        }
        Command::Ls(place) => {
            for manifest in image::list(&place.store())? {
                let stored_mib = manifest.stored_bytes / (1024 * 1024);
                output::line(&format!(
                    "{:<12} {:>6} MiB  {}  sha256:{}  {}",
                    manifest.name,
                    stored_mib,
                    manifest.built_at,
                    manifest.digest,
                    manifest.description,
                ))?;
            }
        }
        Command::Verify { name, place } => {
            let image = image::verify(&place.store(), &name, &report).await?;
            output::line(&format!("{name} is sound: sha256:{}", image.manifest.digest))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How often the tools of a build that was told to end are told too: as many seconds as they may
/// take to clean up. A build between two tools starts the next one, which is told in its turn.
const END_ROUNDS: u32 = 15;

/// Builds until it is done or this process is told to end, also by the end of `parent`. Then the
/// tools of the build are told too, and waited for: they have mounts to take down.
async fn until_ended<T>(
    parent: Option<u32>,
    build: impl Future<Output = Result<T, ImageError>>,
) -> anyhow::Result<T> {
    let mut told = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    if let Some(parent) = parent {
        set_parent_process_death_signal(Some(Signal::TERM)).context("follow the parent")?;
        let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        anyhow::ensure!(now == Some(parent), "process {parent} is gone");
    }
    let mut building = Box::pin(build);
    tokio::select! {
        built = &mut building => Ok(built?),
        _ = told.recv() => {
            for _ in 0..END_ROUNDS {
                let ended = !image::end_own_tools()
                    || timeout(Duration::from_secs(1), &mut building).await.is_ok();
                if ended {
                    break;
                }
            }
            anyhow::bail!("the build was told to end")
        }
    }
}
