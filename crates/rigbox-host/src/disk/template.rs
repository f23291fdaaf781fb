//! Templates: an image in the pool, verified, and a copy of it for each size that was asked for, so
//! that a disk is one reflink away. Invariant: a template has its name only when it is whole.
//! Does not build images (see `image`).

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::ImageName;
use serde::Deserialize;

use super::{DiskError, MIB, copy, grow};
use crate::{Layout, durable, task::blocking};

/// Most templates that are kept. The one that was used least recently goes first; it shares its
/// blocks with the disks, so that each costs little more than the metadata of its size.
const KEPT: usize = 32;

/// Length of a digest in a file's name: 64 bits tell images of one host apart.
const DIGEST_LEN: usize = 16;

/// What the host reads of an image's manifest.
#[derive(Debug, Clone, Deserialize)]
struct Manifest {
    digest: String,
}

/// Where templates are.
pub(super) fn dir(layout: &Layout) -> Utf8PathBuf {
    layout.pool_dir().join("images")
}

/// The template of an image and size, and whether it had to be made.
pub(super) async fn prepare(
    layout: &Layout,
    image: &ImageName,
    size_mib: u32,
) -> Result<(Utf8PathBuf, bool), DiskError> {
    let digest = read_manifest(layout, image)?.digest;
    let short = digest.get(..DIGEST_LEN).filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
    let corrupt = |reason: &str| {
        let (image, reason) = (image.clone(), reason.to_owned());
        DiskError::ImageCorrupt { image, reason }
    };
    let short = short.ok_or_else(|| corrupt("its manifest has no digest"))?;
    let sized = dir(layout).join(format!("{short}-{size_mib}.ext4"));
    if sized.exists() {
        // Its time is what `make_room` goes by. A template that looks older than it is is only
        // made again.
        if let Err(error) = touch(&sized) {
            tracing::debug!(path = %sized, %error, "time of use not noted");
        }
        return Ok((sized, false));
    }
    make_room(&dir(layout))?;
    let base = dir(layout).join(format!("{short}.ext4"));
    if !base.exists() {
        let source = layout.images_dir().join(image.as_str()).join("root.ext4");
        if !source.exists() {
            return Err(DiskError::ImageMissing { image: image.clone() });
        }
        tracing::info!(%image, "copying an image into the pool");
        let target = base.clone();
        let found = blocking(move || import(&source, &target, &digest)).await?;
        if let Some(found) = found {
            return Err(corrupt(&format!("its digest is {found}")));
        }
    }
    resize(&base, &sized, u64::from(size_mib) * MIB).await?;
    Ok((sized, true))
}

fn read_manifest(layout: &Layout, image: &ImageName) -> Result<Manifest, DiskError> {
    let path = layout.images_dir().join(image.as_str()).join("manifest.json");
    let content = durable::read(&path).map_err(DiskError::file("read", &path))?;
    let content = content.ok_or_else(|| DiskError::ImageMissing { image: image.clone() })?;
    serde_json::from_slice(&content).map_err(|error| DiskError::ImageCorrupt {
        image: image.clone(),
        reason: error.to_string(),
    })
}

/// Copies an image and reads the copy, so that what is cloned is what was checked. Gives back the
/// digest where it is another one.
fn import(source: &Utf8Path, target: &Utf8Path, digest: &str) -> Result<Option<String>, DiskError> {
    let half = half_made(target)?;
    copy::copy(source, &half)?;
    let found = copy::digest(&half)?;
    if found != digest.trim_start_matches("sha256:") {
        durable::remove(&half).map_err(DiskError::file("remove", &half))?;
        return Ok(Some(found));
    }
    finish(&half, target)?;
    Ok(None)
}

async fn resize(base: &Utf8Path, sized: &Utf8Path, size_bytes: u64) -> Result<(), DiskError> {
    let half = half_made(sized)?;
    let (from, to) = (base.to_owned(), half.clone());
    blocking(move || copy::copy(&from, &to).map(drop)).await?;
    let length = fs::metadata(&half).map_err(DiskError::file("look at", &half))?.len();
    if length < size_bytes {
        let grown = grow::grow(&half, size_bytes).await;
        if grown.is_err() {
            durable::remove(&half).map_err(DiskError::file("remove", &half))?;
        }
        grown?;
    }
    finish(&half, sized)
}

/// The name of a file that is being made, free of what a former try left.
fn half_made(path: &Utf8Path) -> Result<Utf8PathBuf, DiskError> {
    let half = Utf8PathBuf::from(format!("{path}.new"));
    durable::remove(&half).map_err(DiskError::file("remove", &half))?;
    Ok(half)
}

fn finish(half: &Utf8Path, path: &Utf8Path) -> Result<(), DiskError> {
    fs::rename(half, path)
        .and_then(|()| durable::sync_parent(path))
        .map_err(DiskError::file("name", path))
}

fn touch(path: &Utf8Path) -> std::io::Result<()> {
    let now = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
    fs::File::options().write(true).open(path)?.set_times(now)
}

/// Removes the templates that were used least recently, and what a former try left half made.
fn make_room(dir: &Utf8Path) -> Result<(), DiskError> {
    let failed = || DiskError::file("read", dir);
    let mut all = Vec::new();
    for entry in dir.read_dir_utf8().map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let path = entry.path().to_owned();
        if path.extension() == Some("new") {
            durable::remove(&path).map_err(DiskError::file("remove", &path))?;
            continue;
        }
        let used = entry.metadata().and_then(|metadata| metadata.modified()).map_err(failed())?;
        all.push((used, path));
    }
    all.sort();
    let surplus = all.len().saturating_sub(KEPT - 1);
    for (_, path) in all.iter().take(surplus) {
        durable::remove(path).map_err(DiskError::file("remove", path))?;
    }
    Ok(())
}
