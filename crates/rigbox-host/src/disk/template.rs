//! Templates: an image in the pool and a copy of it for each size that was asked for, so
//! that a disk is one reflink away. Invariant: a template has its name only when it is whole.
//! Does not build images (see `image`).

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::ImageName;

use super::{DiskError, MIB, copy, grow};
use crate::{Layout, durable, image, task::blocking};

/// Most templates that are kept. The one that was used least recently goes first; it shares its
/// blocks with the disks, so that each costs little more than the metadata of its size.
const KEPT: usize = 32;

/// Length of a digest in a file's name: 64 bits tell images of one host apart.
const DIGEST_LEN: usize = 16;

/// Where templates are.
pub(super) fn dir(layout: &Layout) -> Utf8PathBuf {
    layout.pool_dir().join("images")
}

/// The template of an image and size.
pub(super) async fn prepare(
    layout: &Layout,
    name: &ImageName,
    size_mib: u32,
) -> Result<Utf8PathBuf, DiskError> {
    let store = image::Store::below(layout.data());
    let image =
        image::resolve(&store, name).await.map_err(|source| DiskError::image(name, source))?;
    let digest = &image.manifest.digest;
    let short = digest.get(..DIGEST_LEN).filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
    let short = short.ok_or_else(|| DiskError::ImageCorrupt {
        image: name.clone(),
        reason: "its digest is none".to_owned(),
    })?;
    let sized = dir(layout).join(format!("{short}-{size_mib}.ext4"));
    if sized.exists() {
        // Its time is what `make_room` goes by. A template that looks older than it is is only
        // made again.
        if let Err(error) = touch(&sized) {
            tracing::debug!(path = %sized, %error, "time of use not noted");
        }
        return Ok(sized);
    }
    make_room(&dir(layout))?;
    let base = dir(layout).join(format!("{short}.ext4"));
    if !base.exists() {
        tracing::info!(image = %name, "copying an image into the pool");
        let target = base.clone();
        blocking(move || import(&image.root_disk, &target)).await?;
    }
    resize(&base, &sized, u64::from(size_mib) * MIB).await?;
    Ok(sized)
}

/// Copies an image that was checked a moment ago.
fn import(source: &Utf8Path, target: &Utf8Path) -> Result<(), DiskError> {
    let half = half_made(target)?;
    let copied = copy::copy(source, &half)?;
    finish(&copied, &half, target)
}

async fn resize(base: &Utf8Path, sized: &Utf8Path, size_bytes: u64) -> Result<(), DiskError> {
    let half = half_made(sized)?;
    let (from, to) = (base.to_owned(), half.clone());
    let copied = blocking(move || copy::copy(&from, &to)).await?;
    let length = fs::metadata(&half).map_err(DiskError::file("look at", &half))?.len();
    if length < size_bytes {
        let grown = grow::grow(&half, size_bytes).await;
        if grown.is_err() {
            durable::remove(&half).map_err(DiskError::file("remove", &half))?;
        }
        grown?;
    }
    let target = sized.to_owned();
    blocking(move || finish(&copied, &half, &target)).await
}

/// The name of a file that is being made, free of what a former try left.
fn half_made(path: &Utf8Path) -> Result<Utf8PathBuf, DiskError> {
    let half = Utf8PathBuf::from(format!("{path}.new"));
    durable::remove(&half).map_err(DiskError::file("remove", &half))?;
    Ok(half)
}

/// Names a file that is whole. Its content is durable first: a name that survives a crash its
/// content did not would be taken for a template for ever.
fn finish(content: &fs::File, half: &Utf8Path, path: &Utf8Path) -> Result<(), DiskError> {
    content.sync_all().map_err(DiskError::file("write", half))?;
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
