//! Makes one ext4 file of a directory, without mounting anything, the same bytes each time.
//! Does not choose sizes (the recipe does).

use std::fs::{self, File};

use camino::Utf8Path;

use super::{
    error::ImageError,
    progress::{Progress, Report, Stage},
    recipe::Disk,
    times,
    tool::{E2FSCK, EPOCH, MKE2FS, Run},
};

/// Exactly these, whatever the machine's own configuration says. With `64bit` a disk can grow past
/// 16 TiB; `resize_inode` reserves room for the descriptors of a disk 1,024 times as large, past
/// which growing has to move blocks. `metadata_csum_seed` lets a clone have another UUID.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
    flex_bg,metadata_csum,metadata_csum_seed,sparse_super,large_file,huge_file,dir_nlink,\
    extra_isize";

const MIB: u64 = 1024 * 1024;

/// What to make.
pub(super) struct Order<'a> {
    pub(super) tree: &'a Utf8Path,
    pub(super) image: &'a Utf8Path,
    pub(super) work: &'a Utf8Path,
    pub(super) lock: &'a File,
    pub(super) disk: Disk,
    pub(super) label: String,
    /// At least 64 hexadecimal digits; the file system's ids are made of them.
    pub(super) seed: &'a str,
}

/// Makes it and checks it.
pub(super) async fn make(order: &Order<'_>, report: Report<'_>) -> Result<(), ImageError> {
    report(&Progress::at(Stage::FileSystem, ""));
    let image = order.image;
    let length = u64::from(order.disk.size_mib).saturating_mul(MIB);
    let file = File::create_new(image).map_err(ImageError::file("make", image))?;
    file.set_len(length).map_err(ImageError::file("size", image))?;
    drop(file);
    let config = order.work.join("mke2fs.conf");
    fs::write(&config, "[defaults]\n").map_err(ImageError::file("write", &config))?;
    let run = Run::new(MKE2FS, arguments(order))
        .env("E2FSPROGS_FAKE_TIME", EPOCH.to_string())
        .env("MKE2FS_CONFIG", config)
        .holding(order.lock);
    run.lines(|_| {}).await?;
    report(&Progress::at(Stage::FileSystem, "times"));
    times::settle(image, order.work, order.lock).await?;
    report(&Progress::at(Stage::FileSystem, "check"));
    let check = Run::new(E2FSCK, ["-f", "-n", image.as_str()]).holding(order.lock);
    check.lines(|_| {}).await
}

fn arguments(order: &Order<'_>) -> Vec<String> {
    let disk = order.disk;
    // What is not written is a hole, and so zero already: nothing to initialise, now or in the
    // guest, which would fill holes with zeros in the background of its first hour.
    let extended = format!(
        "hash_seed={},root_owner=0:0,assume_storage_prezeroed=1,lazy_itable_init=0",
        uuid(order.seed, 32),
    );
    [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-I",
        "256",
        "-m",
        "0",
        "-e",
        "remount-ro",
        "-O",
        FEATURES,
        "-U",
        &uuid(order.seed, 0),
        "-E",
        &extended,
        "-i",
        &disk.bytes_per_inode.to_string(),
        "-J",
        &format!("size={}", disk.journal_mib),
        "-L",
        &order.label,
        "-d",
        order.tree.as_str(),
        order.image.as_str(),
        &format!("{}M", disk.size_mib),
    ]
    .map(str::to_owned)
    .into()
}

/// A UUID of 32 digits of the seed.
fn uuid(seed: &str, from: usize) -> String {
    let part = |start: usize, length: usize| {
        let start = from.saturating_add(start);
        seed.get(start..start.saturating_add(length)).unwrap_or("00000000")
    };
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 4), part(13, 3), part(17, 3), part(20, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_seed_and_have_their_shape() {
        let seed = "0123456789abcdef".repeat(4);
        assert_eq!(uuid(&seed, 0), "01234567-89ab-8def-8123-456789abcdef");
        assert_eq!(uuid(&seed, 32), uuid(&seed, 0));
        assert_eq!(uuid(&seed, 1).len(), 36);
    }
}
