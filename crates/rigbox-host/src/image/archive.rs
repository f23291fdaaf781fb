//! Debian packages from this machine's own package sources: which mirrors it has, single packages
//! downloaded and unpacked without being installed.
//! Does not resolve dependencies (mmdebstrap does) and names no mirror itself.

use std::fs::File;

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    error::ImageError,
    manifest::Package,
    progress::{Progress, Report, Stage},
    tool::{APT_CACHE, APT_GET, DPKG_DEB, Run},
};

/// Debian's public keys, at the same place on a machine that builds and in an image.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package that was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Download {
    pub(super) package: Package,
    pub(super) file: Utf8PathBuf,
}

/// What apt is asked through, and who hears about it.
#[derive(Clone, Copy)]
pub(super) struct Archive<'a> {
    pub(super) lock: &'a File,
    pub(super) report: Report<'a>,
}

impl Archive<'_> {
    /// The lines of a `sources.list` for a Debian release, from the machine's own sources: only
    /// Debian's archives, and only mirrors that are reached without a password, because the image
    /// keeps the lines. Empty where the machine has none; mmdebstrap then takes its default.
    pub(super) async fn sources(&self, suite: &str) -> Result<Vec<String>, ImageError> {
        let format = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
        let list = || {
            Run::new(APT_GET, ["indextargets", "--format", format, "Created-By: Packages"]).output()
        };
        let mut lines = source_lines(&list().await?, suite, Utf8Path::new(KEYRING).exists());
        if lines.is_empty() {
            // The origin is known only once the lists have been fetched.
            self.update().await?;
            lines = source_lines(&list().await?, suite, Utf8Path::new(KEYRING).exists());
        }
        Ok(lines)
    }

    /// Downloads one package into a directory.
    pub(super) async fn download(
        &self,
        name: &str,
        dir: &Utf8Path,
    ) -> Result<Download, ImageError> {
        (self.report)(&Progress::at(Stage::Download, name));
        if self.fetch(name, dir).await.is_err() {
            // The lists of the machine may be missing, or older than the mirror.
            self.update().await?;
            (self.report)(&Progress::at(Stage::Download, name));
            self.fetch(name, dir).await.map_err(|error| match error {
                ImageError::Tool { reason, .. } => {
                    ImageError::Package { package: name.to_owned(), reason }
                }
                other => other,
            })?;
        }
        let file = newest(dir, name)?;
        let show = ["-W", "--showformat=${Version}", file.as_str()];
        let version = Run::new(DPKG_DEB, show).holding(self.lock).output().await?;
        let package = Package { name: name.to_owned(), version: version.trim().to_owned() };
        Ok(Download { package, file })
    }

    async fn fetch(&self, name: &str, dir: &Utf8Path) -> Result<(), ImageError> {
        // Without the sandbox user, which cannot write to a directory that only root enters.
        let arguments = ["-q", "-o", "APT::Sandbox::User=root", "download", "--", name];
        Run::new(APT_GET, arguments).within(dir).holding(self.lock).lines(|_| {}).await
    }

    async fn update(&self) -> Result<(), ImageError> {
        (self.report)(&Progress::at(Stage::PackageLists, "apt-get update"));
        Run::new(APT_GET, ["-q", "update"]).holding(self.lock).lines(|_| {}).await
    }

    /// The first dependency of a package whose name begins as given: a metapackage's meaning.
    pub(super) async fn meaning(&self, of: &str, prefix: &str) -> Result<String, ImageError> {
        let ask = || Run::new(APT_CACHE, ["depends", "--", of]).output();
        let find = |text: &str| {
            let mut depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
            depends.find(|name| name.starts_with(prefix)).map(str::to_owned)
        };
        if let Some(found) = ask().await.ok().as_deref().and_then(find) {
            return Ok(found);
        }
        self.update().await?;
        find(&ask().await?).ok_or_else(|| ImageError::Package {
            package: of.to_owned(),
            reason: format!("it depends on no {prefix}…"),
        })
    }

    /// Unpacks a package; its scripts do not run.
    pub(super) async fn unpack(&self, file: &Utf8Path, into: &Utf8Path) -> Result<(), ImageError> {
        let arguments = ["-x", file.as_str(), into.as_str()];
        Run::new(DPKG_DEB, arguments).holding(self.lock).lines(|_| {}).await
    }
}

/// The file that apt has put there: `<name>_<version>_<architecture>.deb`.
fn newest(dir: &Utf8Path, name: &str) -> Result<Utf8PathBuf, ImageError> {
    let prefix = format!("{name}_");
    let read = || ImageError::file("read", dir);
    for entry in dir.read_dir_utf8().map_err(read())? {
        let entry = entry.map_err(read())?;
        let file = entry.file_name();
        if file.starts_with(&prefix) && file.ends_with(".deb") {
            return Ok(entry.path().to_owned());
        }
    }
    Err(ImageError::Package { package: name.to_owned(), reason: "apt saved no file".to_owned() })
}

fn source_lines(targets: &str, suite: &str, has_keyring: bool) -> Vec<String> {
    let option = if has_keyring { format!(" [signed-by={KEYRING}]") } else { String::new() };
    let mut lines = Vec::new();
    for target in targets.lines() {
        let mut fields = target.split('|');
        let mut next = || fields.next().unwrap_or_default();
        let (origin, codename, uri, release, component) = (next(), next(), next(), next(), next());
        let of_suite = codename
            .strip_prefix(suite)
            .is_some_and(|rest| ["", "-updates", "-security"].contains(&rest));
        let open =
            (uri.starts_with("http://") || uri.starts_with("https://")) && !uri.contains('@');
        let line = format!("deb{option} {uri} {release} {component}");
        let free = component == "main";
        if origin == "Debian" && of_suite && open && free && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_mirrors_of_this_release_of_debian_are_used() {
        let targets = "\
            Debian|bookworm|http://mirror.example/debian/|bookworm|main\n\
            Debian|bookworm|http://mirror.example/debian/|bookworm|main\n\
            Debian|bookworm-security|http://mirror.example/sec/|stable-security|main\n\
            Debian|bookworm|http://mirror.example/debian/|bookworm|non-free\n\
            Debian|trixie|http://mirror.example/debian/|trixie|main\n\
            Debian|bookworm-backports|http://mirror.example/debian/|bookworm-backports|main\n\
            Debian|bookworm|https://me:secret@mirror.example/debian/|bookworm|main\n\
            Debian|bookworm|file:/srv/mirror/|bookworm|main\n\
            nodistro|nodistro|https://other.example/|nodistro|main\n\
            \n";
        assert_eq!(
            source_lines(targets, "bookworm", false),
            [
                "deb http://mirror.example/debian/ bookworm main",
                "deb http://mirror.example/sec/ stable-security main"
            ]
        );
        let first = source_lines(targets, "bookworm", true).swap_remove(0);
        assert!(first.starts_with("deb [signed-by=/usr/share/keyrings/debian"), "{first}");
    }
}
