//! Recipes: what an image is made of, as a directory with `recipe.toml`, `files/` and hooks.
//! A recipe that extends another gets all that the other has, and adds to it.
//! Invariant: a recipe that was read is sound: its paths are absolute and stay below the image, its
//! names are names. Digests are over meaning, in a fixed order, so that comments change nothing.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rigbox_types::ImageName;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{error::ImageError, manifest::hex, tool::EPOCH};

/// Changes whenever the builder makes another archive of the same packages.
const PACKAGES_VERSION: u32 = 1;

/// Changes whenever the builder makes another image of the same archive and recipe.
const IMAGE_VERSION: u32 = 2;

/// Most recipes that extend each other; ours are two.
const DEPTH_MAX: usize = 4;

/// Largest file of a recipe. They are configuration, not content.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Most packages of one recipe; `dev` names 60.
const PACKAGES_MAX: usize = 512;

/// A recipe with all that it extends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its name, which is the image's.
    pub name: ImageName,
    /// One line for people.
    pub description: String,
    pub(super) suite: String,
    pub(super) method: Method,
    pub(super) packages: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) include: Vec<String>,
    pub(super) hooks: Vec<Hook>,
    pub(super) files: BTreeMap<Utf8PathBuf, Entry>,
    pub(super) links: BTreeMap<Utf8PathBuf, String>,
    pub(super) remove: Vec<Utf8PathBuf>,
    pub(super) owners: Vec<Owner>,
    pub(super) programs: Programs,
    pub(super) disk: Disk,
}

/// How packages become files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    /// Installed with their dependencies by mmdebstrap, scripts of the packages included.
    Install,
    /// Only unpacked, without dependencies and scripts.
    Unpack,
}

/// A shell script that runs on the machine that builds, as root, with the tree as its argument,
/// after the packages and before the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) path: Utf8PathBuf,
    pub(super) content: String,
}

/// A file of the recipe's `files/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
}

/// Owner and mode of something in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    pub(super) path: Utf8PathBuf,
    #[serde(default)]
    pub(super) uid: u32,
    #[serde(default)]
    pub(super) gid: u32,
    #[serde(default)]
    pub(super) mode: Option<String>,
    /// With everything below it, whose mode stays.
    #[serde(default)]
    pub(super) recursive: bool,
}

/// Where the guest's programs go; none leaves one out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Programs {
    pub(super) agent: Option<Utf8PathBuf>,
    pub(super) rig: Option<Utf8PathBuf>,
}

/// The file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    /// Size of the image. The file is sparse, and a workspace's disk is grown to what it asked for.
    pub(super) size_mib: u32,
    /// Size of the journal, which does not grow with the disk.
    pub(super) journal_mib: u32,
    /// One inode for this many bytes, also of what a disk grows by.
    pub(super) bytes_per_inode: u32,
}

/// What is wrong with a recipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecipe {
    /// It cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no TOML of this shape.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A value is out of bounds.
    #[error("{field} {rule}, not {value:?}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        value: String,
    },
}

/// `recipe.toml`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    description: String,
    #[serde(default)]
    extends: Option<ImageName>,
    #[serde(default)]
    suite: Option<String>,
    #[serde(default)]
    method: Option<Method>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    hook: Option<String>,
    #[serde(default)]
    mask: Mask,
    #[serde(default)]
    links: BTreeMap<Utf8PathBuf, String>,
    #[serde(default)]
    remove: Vec<Utf8PathBuf>,
    #[serde(default)]
    owners: Vec<Owner>,
    #[serde(default)]
    programs: Option<Programs>,
    #[serde(default)]
    disk: Option<Disk>,
}

/// Units and generators that become links to `/dev/null`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mask {
    units: Vec<String>,
    generators: Vec<String>,
}

impl Recipe {
    /// Reads `<dir>/<name>/recipe.toml` and what goes with it.
    ///
    /// # Errors
    /// Where there is none, or one that is not sound.
    pub fn read(dir: &Utf8Path, name: &ImageName) -> Result<Self, ImageError> {
        let path = dir.join(name.as_str()).join("recipe.toml");
        if !path.is_file() {
            return Err(ImageError::UnknownRecipe { name: name.clone(), dir: dir.to_owned() });
        }
        read_chain(dir, name, 1)
            .and_then(checked)
            .map_err(|source| ImageError::InvalidRecipe { path, source })
    }

    /// Of what the packages' archive is made of: what else the recipe says does not make another.
    pub(super) fn packages_digest(&self) -> String {
        let mut hash = Hash::new("packages", PACKAGES_VERSION);
        hash.text(&self.suite).text(match self.method {
            Method::Install => "install",
            Method::Unpack => "unpack",
        });
        hash.all(self.packages.iter()).all(self.exclude.iter()).all(self.include.iter());
        hash.all(self.hooks.iter().map(|hook| &hook.content));
        hash.end()
    }

    /// Of the whole recipe and of the programs that go into the image, given by their digests.
    pub(super) fn digest(&self, programs: &[String]) -> String {
        let mut hash = Hash::new("recipe", IMAGE_VERSION);
        hash.text(&self.packages_digest()).text(self.name.as_str());
        for (path, entry) in &self.files {
            hash.text(path.as_str()).bytes(&entry.content).text(&entry.mode.to_string());
        }
        for (path, target) in &self.links {
            hash.text(path.as_str()).text(target);
        }
        hash.all(self.remove.iter());
        for owner in &self.owners {
            hash.text(&format!("{owner:?}"));
        }
        hash.text(&format!("{:?} {:?}", self.programs, self.disk)).all(programs.iter());
        hash.end()
    }
}

/// Feeds parts with their lengths, so that no two lists of parts are the same bytes.
struct Hash(Sha256);

impl Hash {
    fn new(kind: &str, version: u32) -> Self {
        let mut hash = Self(Sha256::new());
        hash.text(kind).text(&format!("builder {version}, time {EPOCH}"));
        hash
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn all(&mut self, parts: impl ExactSizeIterator<Item = impl AsRef<str>>) -> &mut Self {
        self.text(&parts.len().to_string());
        for part in parts {
            self.text(part.as_ref());
        }
        self
    }

    fn end(self) -> String {
        hex(&self.0.finalize())
    }
}

fn read_chain(dir: &Utf8Path, name: &ImageName, depth: usize) -> Result<Recipe, InvalidRecipe> {
    let home = dir.join(name.as_str());
    let text: Text = toml::from_str(&read_text(&home.join("recipe.toml"))?)?;
    let mut recipe = match &text.extends {
        Some(parent) if depth < DEPTH_MAX => read_chain(dir, parent, depth.saturating_add(1))?,
        Some(parent) => {
            return refuse("extends", "must end after four recipes", parent.as_str());
        }
        None => Recipe::empty(name, &text)?,
    };
    recipe.name = name.clone();
    recipe.description.clone_from(&text.description);
    recipe.extend(text, &home)?;
    Ok(recipe)
}

impl Recipe {
    fn empty(name: &ImageName, text: &Text) -> Result<Self, InvalidRecipe> {
        let missing = |field| {
            move || InvalidRecipe::Value {
                field,
                rule: "must be given in a recipe that extends no other",
                value: String::new(),
            }
        };
        Ok(Self {
            name: name.clone(),
            description: String::new(),
            suite: text.suite.clone().ok_or_else(missing("suite"))?,
            method: text.method.ok_or_else(missing("method"))?,
            packages: Vec::new(),
            exclude: Vec::new(),
            include: Vec::new(),
            hooks: Vec::new(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            remove: Vec::new(),
            owners: Vec::new(),
            programs: Programs::default(),
            disk: text.disk.ok_or_else(missing("disk"))?,
        })
    }

    fn extend(&mut self, text: Text, home: &Utf8Path) -> Result<(), InvalidRecipe> {
        self.suite = text.suite.unwrap_or_else(|| self.suite.clone());
        self.method = text.method.unwrap_or(self.method);
        self.packages.extend(text.packages);
        self.packages.sort();
        self.packages.dedup();
        self.exclude.extend(text.exclude);
        self.include.extend(text.include);
        if let Some(hook) = text.hook {
            let path = home.join(&hook);
            self.hooks.push(Hook { content: read_text(&path)?, path });
        }
        read_files(&home.join("files"), Utf8Path::new("/"), &mut self.files)?;
        let null = || "/dev/null".to_owned();
        let units = text.mask.units.into_iter();
        self.links.extend(units.map(|unit| (Utf8Path::new(UNIT_DIR).join(unit), null())));
        let generators = text.mask.generators.into_iter();
        self.links.extend(generators.map(|name| (Utf8Path::new(GENERATOR_DIR).join(name), null())));
        self.links.extend(text.links);
        self.remove.extend(text.remove);
        self.owners.extend(text.owners);
        self.programs = text.programs.unwrap_or_else(|| self.programs.clone());
        self.disk = text.disk.unwrap_or(self.disk);
        Ok(())
    }
}

/// Where a machine's own units are.
const UNIT_DIR: &str = "/etc/systemd/system";
/// And its own generators.
const GENERATOR_DIR: &str = "/etc/systemd/system-generators";

fn checked(recipe: Recipe) -> Result<Recipe, InvalidRecipe> {
    check_names(&recipe)?;
    check_paths(&recipe)?;
    check_disk(recipe.disk)?;
    Ok(recipe)
}

fn check_names(recipe: &Recipe) -> Result<(), InvalidRecipe> {
    let is_word = |text: &str, extra: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
    };
    if !is_word(&recipe.suite, "-") {
        return refuse("suite", "must be the name of a Debian release", &recipe.suite);
    }
    if recipe.packages.is_empty() || recipe.packages.len() > PACKAGES_MAX {
        let count = recipe.packages.len().to_string();
        return refuse("packages", "must be from 1 to 512 names", &count);
    }
    match recipe.packages.iter().find(|name| !is_word(name, "+-.")) {
        Some(bad) => refuse("packages", "must be names of packages", bad),
        None => Ok(()),
    }
}

fn check_paths(recipe: &Recipe) -> Result<(), InvalidRecipe> {
    let is_pattern = |text: &&String| text.starts_with('/') && !text.contains(['\n', '\'', '"']);
    if let Some(bad) = recipe.exclude.iter().chain(&recipe.include).find(|text| !is_pattern(text)) {
        return refuse("exclude", "must be absolute patterns of paths", bad);
    }
    let programs = [&recipe.programs.agent, &recipe.programs.rig];
    let paths = recipe.links.keys().chain(recipe.files.keys()).chain(&recipe.remove);
    let paths = paths.chain(recipe.owners.iter().map(|owner| &owner.path));
    let mut paths = paths.chain(programs.into_iter().flatten());
    if let Some(bad) = paths.find(|path| !is_inside(path)) {
        return refuse("path", "must be absolute, without '..'", bad.as_str());
    }
    recipe.owners.iter().try_for_each(|owner| owner.bits().map(drop))
}

fn check_disk(disk: Disk) -> Result<(), InvalidRecipe> {
    if disk.size_mib < 16 || disk.journal_mib < 4 || disk.journal_mib > disk.size_mib / 4 {
        let value = format!("{disk:?}");
        return refuse("disk", "must hold a journal of at least 4 MiB four times", &value);
    }
    if !(4096..=1 << 22).contains(&disk.bytes_per_inode) {
        let value = disk.bytes_per_inode.to_string();
        return refuse("disk.bytes_per_inode", "must be from 4096 to 4194304", &value);
    }
    Ok(())
}

impl Owner {
    /// The mode, where one is given.
    pub(super) fn bits(&self) -> Result<Option<u32>, InvalidRecipe> {
        let Some(mode) = &self.mode else { return Ok(None) };
        match u32::from_str_radix(mode, 8) {
            Ok(bits) if bits <= 0o7777 => Ok(Some(bits)),
            _ => refuse("owners.mode", "must be an octal mode such as \"0440\"", mode),
        }
    }
}

fn refuse<T>(field: &'static str, rule: &'static str, value: &str) -> Result<T, InvalidRecipe> {
    Err(InvalidRecipe::Value { field, rule, value: value.to_owned() })
}

/// Absolute, plain, and not the root itself.
fn is_inside(path: &Utf8Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Utf8Component::RootDir)
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Utf8Component::Normal(_)))
}

fn read_files(
    dir: &Utf8Path,
    below: &Utf8Path,
    into: &mut BTreeMap<Utf8PathBuf, Entry>,
) -> Result<(), InvalidRecipe> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        // A recipe needs no files.
        Err(error) if error.kind() == io::ErrorKind::NotFound && below == "/" => return Ok(()),
        Err(source) => return Err(InvalidRecipe::Read { path: dir.to_owned(), source }),
    };
    for entry in entries {
        let read = |source| InvalidRecipe::Read { path: dir.to_owned(), source };
        let entry = entry.map_err(read)?;
        let (path, target) = (entry.path(), below.join(entry.file_name()));
        let metadata = fs::symlink_metadata(path).map_err(read)?;
        if metadata.is_dir() {
            read_files(path, &target, into)?;
        } else if metadata.is_file() && metadata.size() <= FILE_MAX_BYTES {
            // Of a file's mode only what git keeps counts: whether it can be run.
            let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            let content = fs::read(path).map_err(read)?;
            into.insert(target, Entry { content, mode });
        } else {
            return refuse("files", "must be plain files of at most 1 MiB", path.as_str());
        }
    }
    Ok(())
}

fn read_text(path: &Utf8Path) -> Result<String, InvalidRecipe> {
    fs::read_to_string(path).map_err(|source| InvalidRecipe::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
