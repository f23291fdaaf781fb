//! Compiles our own guest kernel from Debian's source package with `kernel/fragment.config`:
//! everything built in, no modules, no initramfs.

use std::{fs, num::NonZero, thread};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    error::ImageError,
    kernel::{IMAGE, Job, readable},
    manifest::Package,
    progress::{Progress, Stage},
    tool::{BC, BISON, CC, EPOCH, FLEX, MAKE, NICE, Run, STRIP, TAR, Tool, XZ},
};

/// Source and objects, in MiB: 1,500 and 900.
pub(super) const NEEDED_MIB: u64 = 3072;

/// Lines that `make` writes for the whole kernel, measured with the fragment of 2026: how far it is.
const EXPECTED_LINES: u64 = 2_520;

/// The lowest priority: a machine with workspaces has better things to do.
const NICENESS: &str = "19";

/// What compiling takes besides the tools.
const HEADERS: [(&str, &str); 2] =
    [("/usr/include/libelf.h", "libelf-dev"), ("/usr/include/openssl/opensslv.h", "libssl-dev")];

/// Compiles it into a directory.
pub(super) async fn compile(
    job: &Job<'_>,
    made: &Utf8Path,
    jobs: Option<u32>,
) -> Result<(String, Vec<Package>), ImageError> {
    check_tools()?;
    let own = &job.recipe.own;
    let (downloads, tree) = (job.dir("source-downloads")?, job.dir("source")?);
    let download = job.archive().download(&own.source, &downloads).await?;
    (job.report)(&Progress::at(Stage::Source, "unpacking"));
    job.archive().unpack(&download.file, &tree).await?;
    let packed = tree.join("usr/src").join(format!("{}.tar.xz", own.source));
    let unpack = ["-xf", packed.as_str(), "-C", tree.as_str()];
    Run::new(TAR, unpack).holding(job.turn.lock()).lines(|_| {}).await?;
    let build = Build { job, source: tree.join(&own.source) };

    let fragment = job.recipes.join(&own.fragment);
    (job.report)(&Progress::at(Stage::Source, "configuring"));
    build.make(&["allnoconfig", &format!("KCONFIG_ALLCONFIG={fragment}")], |_| {}).await?;
    let config = build.source.join(".config");
    let read = |path: &Utf8Path| fs::read_to_string(path).map_err(ImageError::file("read", path));
    let ignored = ignored_options(&read(&fragment)?, &read(&config)?);
    if !ignored.is_empty() {
        return Err(ImageError::KernelOption { options: ignored.join(", ") });
    }

    let jobs = jobs.map_or_else(cpus, |jobs| jobs.to_string());
    let jobs = format!("-j{jobs}");
    let arguments = [jobs.as_str(), "vmlinux"];
    let mut lines: u64 = 0;
    let compiled = build.make(&arguments, |line| {
        lines = lines.saturating_add(1);
        let last = line.split_whitespace().last().unwrap_or_default();
        (job.report)(&Progress::part(Stage::Compile, (lines, EXPECTED_LINES), last));
    });
    compiled.await?;
    let image = made.join(IMAGE);
    let strip = ["-o", image.as_str(), build.source.join("vmlinux").as_str()].map(str::to_owned);
    Run::new(STRIP, strip).holding(job.turn.lock()).lines(|_| {}).await?;
    readable(&image).map_err(ImageError::file("open up", &image))?;
    let release = read(&build.source.join("include/config/kernel.release"))?;
    Ok((release.trim().to_owned(), vec![download.package]))
}

struct Build<'a> {
    job: &'a Job<'a>,
    source: Utf8PathBuf,
}

impl Build<'_> {
    async fn make(&self, arguments: &[&str], each: impl FnMut(&str)) -> Result<(), ImageError> {
        let make = MAKE.find()?;
        let all = ["-n", NICENESS, make.as_str()].into_iter().chain(arguments.iter().copied());
        // The kernel would else remember who built it, where and when.
        let run = Run::new(NICE, all)
            .env("KBUILD_BUILD_USER", "rigbox")
            .env("KBUILD_BUILD_HOST", "rigbox")
            .env("KBUILD_BUILD_TIMESTAMP", format!("@{EPOCH}"))
            .within(&self.source)
            .holding(self.job.turn.lock());
        run.lines(each).await
    }
}

fn cpus() -> String {
    thread::available_parallelism().map_or(1, NonZero::get).to_string()
}

fn check_tools() -> Result<(), ImageError> {
    let tools: [Tool; 9] = [MAKE, CC, FLEX, BISON, BC, STRIP, TAR, XZ, NICE];
    let tools = tools.iter().filter(|tool| tool.find().is_err());
    let headers = HEADERS.iter().filter(|(file, _)| !Utf8Path::new(file).exists());
    // All at once, so that nobody installs one and is told of the next.
    let (names, packages): (Vec<&str>, Vec<&str>) = tools
        .map(|tool| (tool.name, tool.package))
        .chain(headers.map(|(file, package)| (*file, *package)))
        .unzip();
    if names.is_empty() {
        return Ok(());
    }
    Err(ImageError::MissingTools { tools: names.join(", "), packages: packages.join(" ") })
}

/// Lines of the fragment that are not in the configuration made from it: options that this source
/// does not know, or whose conditions are not met. Kconfig drops them without a word.
fn ignored_options(fragment: &str, config: &str) -> Vec<String> {
    let is_option = |line: &&str| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_");
    let honoured = |line: &str| match line.strip_prefix("# ").and_then(|l| l.split(' ').next()) {
        // An option that does not exist is as good as one that is off.
        Some(name) => !config.lines().any(|set| set.starts_with(&format!("{name}="))),
        None => config.lines().any(|set| set == line),
    };
    let options = fragment.lines().filter(is_option);
    options.filter(|line| !honoured(line)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_kconfig_dropped_are_named() {
        let fragment = "# a comment\nCONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n\
                        # CONFIG_D is not set\nCONFIG_E=\"x\"\n";
        let config = "CONFIG_A=y\nCONFIG_BB=y\nCONFIG_C=y\nCONFIG_E=\"x\"\n";
        assert_eq!(ignored_options(fragment, config), ["CONFIG_B=y", "# CONFIG_C is not set"]);
    }
}
