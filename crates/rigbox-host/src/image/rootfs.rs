//! Packages as files: a compressed archive for each set of packages, made once and used again, so
//! that a change of a recipe's files or of the agent needs no package.
//! Invariant: an archive has its name only when it is whole. Its name says what it is made of, not
//! when: fresh packages come only when they are asked for.

use std::{fs, os::unix::fs::PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    archive::Archive,
    error::ImageError,
    manifest::Package,
    progress::{Progress, Report, Stage},
    recipe::{Method, Recipe},
    store::{Store, Turn, publish_file},
    tool::{EPOCH, MMDEBSTRAP, Run, SH, TAR, ZSTD},
};

/// Archives that are kept: those of our three recipes, and a former one.
const KEPT: usize = 4;

/// Where dpkg notes what is installed.
const STATUS: &str = "var/lib/dpkg/status";

/// Unpacks a recipe's packages into a directory; makes the archive first where there is none.
pub(super) async fn unpack(
    job: &Job<'_>,
    recipe: &Recipe,
    into: &Utf8Path,
) -> Result<Vec<Package>, ImageError> {
    let archives = job.store.cache().join("packages");
    fs::create_dir_all(&archives).map_err(ImageError::file("make", &archives))?;
    let kept = archives.join(format!("{}.tar.zst", recipe.packages_digest()));
    if job.is_fresh || !kept.exists() {
        let made = match recipe.method {
            Method::Install => job.install(recipe).await?,
            Method::Unpack => job.unpack_only(recipe).await?,
        };
        publish_file(&made, &kept)?;
        forget_old(&archives)?;
    }
    (job.report)(&Progress::at(Stage::Files, "unpacking the packages"));
    ZSTD.find()?;
    let arguments =
        ["--zstd", "-xpf", kept.as_str(), "-C", into.as_str(), "--numeric-owner", "--xattrs"];
    let unpacking = Run::new(TAR, arguments.into_iter().chain(["--xattrs-include=*"]));
    unpacking.holding(job.turn.lock()).lines(|_| {}).await?;
    installed(into)
}

/// What it takes to make an archive.
pub(super) struct Job<'a> {
    pub(super) store: &'a Store,
    pub(super) turn: &'a Turn,
    pub(super) report: Report<'a>,
    pub(super) is_fresh: bool,
}

impl Job<'_> {
    fn archive(&self) -> Archive<'_> {
        Archive { lock: self.turn.lock(), report: self.report }
    }

    /// Installs the packages into a system of its own with mmdebstrap.
    async fn install(&self, recipe: &Recipe) -> Result<Utf8PathBuf, ImageError> {
        MMDEBSTRAP.find()?;
        let work = self.turn.work();
        let made = work.join("packages.tar.zst");
        let tmp = work.join("tmp");
        fs::create_dir(&tmp).map_err(ImageError::file("make", &tmp))?;
        // apt's own user downloads, and must get there.
        for dir in [work, &tmp] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
                .map_err(ImageError::file("open up", dir))?;
        }
        let mut arguments: Vec<String> =
            ["--verbose", "--mode=root", "--variant=minbase"].map(str::to_owned).into();
        arguments.push(format!("--include={}", recipe.packages.join(",")));
        arguments.push("--aptopt=Apt::Install-Recommends \"false\"".to_owned());
        let excluded = recipe.exclude.iter().map(|path| format!("--dpkgopt=path-exclude={path}"));
        arguments.extend(excluded);
        let included = recipe.include.iter().map(|path| format!("--dpkgopt=path-include={path}"));
        arguments.extend(included);
        for script in self.write_hooks(recipe)? {
            arguments.push(format!("--customize-hook=sh {} \"$1\"", quoted(&script)));
        }
        arguments.push(recipe.suite.clone());
        arguments.push(made.to_string());
        arguments.extend(self.archive().sources(&recipe.suite).await?);
        let mut reading = Reading::default();
        let run = Run::new(MMDEBSTRAP, arguments).env("TMPDIR", tmp).holding(self.turn.lock());
        run.lines(|line| {
            if let Some(progress) = reading.line(line) {
                (self.report)(&progress);
            }
        })
        .await?;
        Ok(made)
    }

    /// Unpacks the packages and notes them as dpkg would.
    async fn unpack_only(&self, recipe: &Recipe) -> Result<Utf8PathBuf, ImageError> {
        let work = self.turn.work();
        let (tree, downloads) = (work.join("packages"), work.join("downloads"));
        for dir in [&tree, &downloads] {
            fs::create_dir(dir).map_err(ImageError::file("make", dir))?;
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
                .map_err(ImageError::file("open up", dir))?;
        }
        let mut status = String::new();
        for name in &recipe.packages {
            let download = self.archive().download(name, &downloads).await?;
            self.archive().unpack(&download.file, &tree).await?;
            let Package { name, version } = download.package;
            status.push_str(&format!(
                "Package: {name}\nStatus: install ok unpacked\nVersion: {version}\n\n"
            ));
        }
        let path = tree.join(STATUS);
        write_new(&path, status.as_bytes())?;
        for script in self.write_hooks(recipe)? {
            let run = Run::new(SH, [script.as_str(), tree.as_str()]).holding(self.turn.lock());
            run.lines(|_| {}).await?;
        }
        (self.report)(&Progress::at(Stage::Archive, ""));
        ZSTD.find()?;
        let made = work.join("packages.tar.zst");
        let mtime = format!("--mtime=@{EPOCH}");
        let arguments = ["--zstd", "--sort=name", "--clamp-mtime", &mtime, "--numeric-owner"];
        let rest = ["--xattrs", "-C", tree.as_str(), "-cf", made.as_str(), "."];
        let packing = Run::new(TAR, arguments.into_iter().chain(rest)).holding(self.turn.lock());
        packing.lines(|_| {}).await?;
        Ok(made)
    }

    fn write_hooks(&self, recipe: &Recipe) -> Result<Vec<Utf8PathBuf>, ImageError> {
        let scripts = recipe.hooks.iter().enumerate().map(|(number, hook)| {
            let path = self.turn.work().join(format!("hook-{number}.sh"));
            fs::write(&path, &hook.content).map_err(ImageError::file("write", &path))?;
            Ok(path)
        });
        scripts.collect()
    }
}

fn write_new(path: &Utf8Path, content: &[u8]) -> Result<(), ImageError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(ImageError::file("make", parent))?;
    fs::write(path, content).map_err(ImageError::file("write", path))
}

/// One word for a shell.
fn quoted(path: &Utf8Path) -> String {
    format!("'{}'", path.as_str().replace('\'', r"'\''"))
}

/// What dpkg says is installed, in the order of names.
fn installed(tree: &Utf8Path) -> Result<Vec<Package>, ImageError> {
    let path = tree.join(STATUS);
    let status = fs::read(&path).map_err(ImageError::file("read", &path))?;
    Ok(packages(&String::from_utf8_lossy(&status)))
}

fn packages(status: &str) -> Vec<Package> {
    let mut all: Vec<Package> = status
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name| paragraph.lines().find_map(|line| line.strip_prefix(name));
            Some(Package {
                name: field("Package: ")?.to_owned(),
                version: field("Version: ")?.to_owned(),
            })
        })
        .collect();
    all.sort();
    all
}

/// Removes all but the archives that were made last.
fn forget_old(dir: &Utf8Path) -> Result<(), ImageError> {
    let read = || ImageError::file("read", dir);
    let mut all = Vec::new();
    for entry in dir.read_dir_utf8().map_err(read())? {
        let entry = entry.map_err(read())?;
        let made = entry.metadata().and_then(|metadata| metadata.modified()).map_err(read())?;
        all.push((made, entry.path().to_owned()));
    }
    all.sort();
    let surplus = all.len().saturating_sub(KEPT);
    for (_, path) in all.iter().take(surplus) {
        fs::remove_file(path).map_err(ImageError::file("remove", path))?;
    }
    Ok(())
}

/// Makes progress of what mmdebstrap, apt and dpkg write.
#[derive(Debug, Default)]
struct Reading {
    fetched: u64,
    set_up: u64,
    all: u64,
    is_archiving: bool,
}

impl Reading {
    fn line(&mut self, line: &str) -> Option<Progress> {
        if let Some(stage) = line.strip_prefix("I: ") {
            return self.stage(stage);
        }
        if let Some((_, count)) = line.split_once(" upgraded, ") {
            // "0 upgraded, 152 newly installed, 0 to remove": one such line for each of two runs.
            let count = count.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            self.all = self.all.max(count.unwrap_or(0));
            return None;
        }
        let mut words = line.split_whitespace();
        let first = words.next()?;
        if self.all > 0 && first.starts_with("Get:") {
            // Get:12 http://mirror release/component arch name arch version [size]
            self.fetched = self.fetched.saturating_add(1);
            let name = words.nth(3).unwrap_or_default();
            return Some(Progress::part(Stage::Download, (self.fetched, self.all), name));
        }
        let name = match first {
            "Unpacking" => words.next(),
            "Setting" => words.nth(1),
            _ => None,
        }?;
        self.set_up = self.set_up.saturating_add(1);
        let name = name.split(':').next().unwrap_or_default();
        // Each is unpacked and then set up.
        let all = self.all.saturating_mul(2);
        Some(Progress::part(Stage::Install, (self.set_up, all), name))
    }

    fn stage(&mut self, text: &str) -> Option<Progress> {
        if text.starts_with("running apt-get update") {
            Some(Progress::at(Stage::PackageLists, ""))
        } else if text.starts_with("creating tarball") && !self.is_archiving {
            self.is_archiving = true;
            Some(Progress::at(Stage::Archive, ""))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_as_dpkg_notes_them() {
        let status = "Package: b\nStatus: install ok installed\nVersion: 2\n\n\
                      Package: a\nDescription: x\n Package: no\nVersion: 1:1-1\n\n";
        let found = packages(status);
        let found: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
        assert_eq!(found, [("a", "1:1-1"), ("b", "2")]);
    }

    #[test]
    fn progress_comes_from_what_the_tools_write() {
        let mut reading = Reading::default();
        let mut said = Vec::new();
        for line in [
            "I: running apt-get update...",
            "Get:1 http://mirror.example/debian bookworm InRelease [151 kB]",
            "0 upgraded, 4 newly installed, 0 to remove and 0 not upgraded.",
            "Get:1 http://mirror.example/debian bookworm/main amd64 jq amd64 1.6 [64.9 kB]",
            "Unpacking jq (1.6) ...",
            "Setting up libc6:amd64 (2.36) ...",
            "I: creating tarball...",
        ] {
            said.extend(reading.line(line).map(|progress| progress.to_string()));
        }
        let expected = [
            "fetching package lists",
            "downloading 25 % (jq)",
            "installing 12 % (jq)",
            "installing 25 % (libc6)",
            "archiving",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Utf8Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
