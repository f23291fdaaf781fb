//! What is known of a built image, and whether it still is what was built.
//! Invariant: an image has its directory only when manifest and file system are whole and on disk.
//! Does not build (see `build`).

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::{ImageName, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{
    error::ImageError,
    progress::{Progress, Report, Stage},
    store::Store,
};
use crate::{durable, task::blocking};

/// The file system's name in an image's directory.
pub(super) const ROOT: &str = "root.ext4";
/// The manifest's.
pub(super) const MANIFEST: &str = "manifest.json";
/// The note of a check that came out well.
const VERIFIED: &str = "verified.json";

/// Unit of reading.
const CHUNK: usize = 1024 * 1024;

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The recipe's name.
    pub name: ImageName,
    /// One line for people.
    pub description: String,
    /// SHA-256 of the file system, in hexadecimal.
    pub digest: String,
    /// Of the recipe and of the guest's programs.
    pub recipe_digest: String,
    /// Length of the file system. Most of it is holes.
    pub size_bytes: u64,
    /// What of it is stored.
    pub stored_bytes: u64,
    /// When it was built.
    pub built_at: Timestamp,
    /// The Debian release.
    pub suite: String,
    /// What is installed, in the order of names.
    pub packages: Vec<Package>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An image that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What is known of it.
    pub manifest: Manifest,
    /// Its file system: raw ext4, read only.
    pub root_disk: Utf8PathBuf,
}

/// By what a file is known again without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verified {
    digest: String,
    size: u64,
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Verified {
    pub(super) fn of(path: &Utf8Path, digest: &str) -> Result<Self, ImageError> {
        let metadata = fs::metadata(path).map_err(ImageError::file("look at", path))?;
        Ok(Self {
            digest: digest.to_owned(),
            size: metadata.size(),
            inode: metadata.ino(),
            changed_s: metadata.mtime(),
            changed_ns: metadata.mtime_nsec(),
        })
    }

    /// Only saves work: a note that cannot be written is written another time.
    pub(super) fn note(&self, dir: &Utf8Path) {
        let path = dir.join(VERIFIED);
        let written = serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|text| durable::write(&path, &text));
        if let Err(error) = written {
            tracing::debug!(%path, %error, "check of an image not noted");
        }
    }
}

/// An image by name, its digest checked. What was checked before is read again only when the file
/// has changed since.
///
/// # Errors
/// Where there is none, or it is damaged.
pub async fn resolve(store: &Store, name: &ImageName) -> Result<Image, ImageError> {
    let (dir, image) = find(store, name)?;
    let known = read_json::<Verified>(&dir.join(VERIFIED)).ok().flatten();
    let now = Verified::of(&image.root_disk, &image.manifest.digest)?;
    if known.as_ref() != Some(&now) {
        check(image.clone(), &|_| {}).await?;
        now.note(&dir);
    }
    Ok(image)
}

/// Reads the whole image again, whatever was checked before.
///
/// # Errors
/// As [`resolve`].
pub async fn verify(
    store: &Store,
    name: &ImageName,
    report: Report<'_>,
) -> Result<Image, ImageError> {
    let (dir, image) = find(store, name)?;
    let now = Verified::of(&image.root_disk, &image.manifest.digest)?;
    check(image.clone(), report).await?;
    now.note(&dir);
    Ok(image)
}

/// The manifests of all images, in the order of names. Directories without one are not images.
///
/// # Errors
/// Where the store or a manifest cannot be read.
pub fn list(store: &Store) -> Result<Vec<Manifest>, ImageError> {
    let dir = store.images();
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ImageError::file("read", &dir)(error)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ImageError::file("read", &dir))?;
        all.extend(read_json::<Manifest>(&entry.path().join(MANIFEST))?);
    }
    all.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    Ok(all)
}

/// An image by name, unchecked.
pub(super) fn find(store: &Store, name: &ImageName) -> Result<(Utf8PathBuf, Image), ImageError> {
    let dir = store.image(name);
    let manifest = read_json::<Manifest>(&dir.join(MANIFEST))?
        .ok_or_else(|| ImageError::Missing { name: name.to_string() })?;
    let root_disk = dir.join(ROOT);
    if !root_disk.exists() {
        return Err(ImageError::Missing { name: name.to_string() });
    }
    Ok((dir, Image { manifest, root_disk }))
}

async fn check(image: Image, report: Report<'_>) -> Result<(), ImageError> {
    let (path, expected) = (image.root_disk, image.manifest.digest);
    let found = digest(&path, report).await?;
    if found != expected {
        let reason = format!("its digest is {found}, not {expected}");
        return Err(ImageError::Corrupt { path, reason });
    }
    Ok(())
}

/// The SHA-256 of a file, in hexadecimal.
pub(super) async fn digest(path: &Utf8Path, report: Report<'_>) -> Result<String, ImageError> {
    let all = fs::metadata(path).map_err(ImageError::file("look at", path))?.len();
    let mut file = File::open(path).map_err(ImageError::file("open", path))?;
    let mut hasher = Sha256::new();
    let (mut done, mut told) = (0, None);
    loop {
        // One chunk at a time off the async threads, so that a dropped check ends.
        let (rest, state, read) = blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk);
            if let Ok(count) = read {
                hasher.update(chunk.get(..count).unwrap_or_default());
            }
            (file, hasher, read)
        })
        .await;
        (file, hasher) = (rest, state);
        match read.map_err(ImageError::file("read", path))? {
            0 => return Ok(hex(&hasher.finalize())),
            count => done = u64::try_from(count).unwrap_or(0).saturating_add(done),
        }
        let progress = Progress::part(Stage::Digest, (done, all), "");
        if told != progress.percent {
            told = progress.percent;
            report(&progress);
        }
    }
}

/// Reads a document; none where there is none, damaged where it is no such document.
pub(super) fn read_json<T: DeserializeOwned>(path: &Utf8Path) -> Result<Option<T>, ImageError> {
    let content = match durable::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
        Err(error) => return Err(ImageError::file("read", path)(error)),
    };
    let Some(content) = content else { return Ok(None) };
    let parsed = serde_json::from_slice(&content);
    let corrupt = |error: serde_json::Error| ImageError::Corrupt {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    parsed.map(Some).map_err(corrupt)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
