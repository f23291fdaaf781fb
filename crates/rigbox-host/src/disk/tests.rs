//! Disks on a plain directory and on a small pool of their own.

use std::os::unix::fs::FileExt as _;

use rigbox_types::failure::FailureCode;

use super::*;
use crate::{exec::Run, trouble::StepError};

const SIZE_MIB: u32 = 16;

struct World {
    dir: tempfile::TempDir,
    layout: Layout,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        Self { dir, layout }
    }

    /// An image with an empty ext4 of 8 MiB.
    async fn image(&self, name: &str) -> ImageName {
        let dir = self.layout.images_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        let root = dir.join("root.ext4");
        let image = ["-q", "-F", "-t", "ext4", root.as_str(), "8M"];
        Run::new("mke2fs", &image).output().await.unwrap();
        let digest = Run::new("sha256sum", &[root.as_str()]).output().await.unwrap();
        let manifest = serde_json::json!({
            "name": name, "description": "", "digest": digest.split(' ').next(),
            "recipe_digest": "", "size_bytes": 8 * MIB, "stored_bytes": 0,
            "built_at": "2026-12-01T00:00:00Z", "suite": "", "packages": [],
        });
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        name.parse().unwrap()
    }

    async fn disks(&self, pool: PoolChoice, reserve_mib: u64) -> Disks {
        let config = config::Disk { pool_gib: Some(1), pool, reserve_mib };
        Disks::open(&self.layout, &config).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let pool = self.dir.path().join("pool");
        if is_mounted(&self.layout).unwrap() {
            assert!(std::process::Command::new("umount").arg(pool).status().unwrap().success());
        }
    }
}

fn order(image: &ImageName, n: u8) -> CloneOrder {
    let workspace = WorkspaceId::from_random([n; 8]);
    CloneOrder { workspace, image: image.clone(), size_mib: SIZE_MIB, uid: 70_000 }
}

async fn check_life_of_a_disk(pool: PoolChoice) {
    let world = World::new();
    let disks = world.disks(pool, 0).await;
    let order = order(&world.image("tiny").await, 1);
    assert_eq!(disks.clone_image(order.clone()).await.unwrap(), SIZE_MIB);
    let disk = disks.path(&order.workspace);
    let metadata = fs::metadata(&disk).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (70_000, 0o600));

    let file = fs::File::options().write(true).open(&disk).unwrap();
    file.write_all_at(b"mine", 0).unwrap();
    disks.clone_image(order.clone()).await.unwrap();
    assert_eq!(&fs::read(&disk).unwrap()[..4], b"mine", "a disk that is there is kept");
    file.write_all_at(&[0; 4], 0).unwrap();
    drop(file);

    let listing = Run::new("dumpe2fs", &["-h", disk.as_str()]).output().await.unwrap();
    assert!(listing.contains("Block count:              16384"), "{listing}");
    // Whatever a guest has made of it: nothing on the host looks at it.
    let file = fs::File::options().write(true).open(&disk).unwrap();
    file.write_all_at(b"a trap for e2fsck", 1024).unwrap();
    drop(file);
    disks.grow(&order.workspace, 2 * SIZE_MIB).await.unwrap();
    disks.grow(&order.workspace, SIZE_MIB).await.unwrap();
    let grown = fs::read(&disk).unwrap();
    assert_eq!(u64::try_from(grown.len()).unwrap(), u64::from(2 * SIZE_MIB) * MIB);
    assert_eq!(&grown[1024..1041], b"a trap for e2fsck");
    assert!(grown[usize::try_from(u64::from(SIZE_MIB) * MIB).unwrap()..].iter().all(|b| *b == 0));

    disks.delete(&order.workspace).await.unwrap();
    disks.delete(&order.workspace).await.unwrap();
    assert!(disks.files().unwrap().is_empty());
    unmount(&world.layout).await.unwrap();
}

#[tokio::test]
async fn a_disk_is_copied_grown_and_deleted() {
    check_life_of_a_disk(PoolChoice::Never).await;
}

#[tokio::test]
async fn a_disk_is_cloned_in_a_pool_that_is_adopted_and_unmounted() {
    check_life_of_a_disk(PoolChoice::Always).await;
    let world = World::new();
    drop(world.disks(PoolChoice::Auto, 0).await);
    drop(world.disks(PoolChoice::Auto, 0).await);
    unmount(&world.layout).await.unwrap();
    unmount(&world.layout).await.unwrap();
    assert!(!is_mounted(&world.layout).unwrap());
}

async fn refused(disks: &Disks, order: CloneOrder) -> FailureCode {
    let error = StepError::from(disks.clone_image(order).await.unwrap_err());
    assert!(disks.files().unwrap().is_empty(), "nothing half-made: {}", error.chain());
    error.code
}

#[tokio::test]
async fn a_missing_or_damaged_image_is_told_apart() {
    let world = World::new();
    let disks = world.disks(PoolChoice::Never, 0).await;
    let missing = order(&"none".parse().unwrap(), 1);
    assert_eq!(refused(&disks, missing).await, FailureCode::ImageMissing);

    let image = world.image("tiny").await;
    let root = world.layout.images_dir().join("tiny/root.ext4");
    fs::File::options().write(true).open(&root).unwrap().write_all_at(b"!", 5_000_000).unwrap();
    assert_eq!(refused(&disks, order(&image, 1)).await, FailureCode::ImageCorrupt);
    fs::write(root.with_file_name("manifest.json"), "{").unwrap();
    assert_eq!(refused(&disks, order(&image, 1)).await, FailureCode::ImageCorrupt);
}

#[tokio::test]
async fn a_full_pool_is_told_and_leaves_nothing_half_made() {
    let world = World::new();
    let image = world.image("tiny").await;
    let disks = world.disks(PoolChoice::Always, 64).await;
    disks.clone_image(order(&image, 1)).await.unwrap();
    disks.delete(&order(&image, 1).workspace).await.unwrap();
    let filler = world.layout.pool_dir().join("filler");
    let file = fs::File::create(&filler).unwrap();
    let stat = statvfs(&world.layout.pool_dir()).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free - 32 * MIB).unwrap();
    assert_eq!(refused(&disks, order(&image, 2)).await, FailureCode::DiskFull);
    drop(file);
    fs::remove_file(filler).unwrap();
    disks.clone_image(order(&image, 2)).await.unwrap();
    unmount(&world.layout).await.unwrap();
}

#[tokio::test]
async fn a_pool_file_is_as_large_as_what_is_below_it() {
    let world = World::new();
    // A file system of 500 MiB below a pool of 1 GiB.
    let small = world.dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let small = Utf8PathBuf::from_path_buf(small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=500m", "none", small.as_str()];
    Run::new("mount", &mount).output().await.unwrap();
    let layout = Layout::open(&small).unwrap();
    let below = World { dir: tempfile::tempdir().unwrap(), layout };
    let image = below.image("tiny").await;
    let disks = below.disks(PoolChoice::Always, 64).await;
    let capacity = disks.capacity_mib().unwrap();
    assert!((300..=500).contains(&capacity), "{capacity}");
    disks.clone_image(order(&image, 1)).await.unwrap();
    disks.delete(&order(&image, 1).workspace).await.unwrap();
    let free = statvfs(&small).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
    let filler = fs::File::create(small.join("filler")).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(&filler, flags, 0, free - 32 * MIB).unwrap();
    assert_eq!(refused(&disks, order(&image, 2)).await, FailureCode::DiskFull);
    unmount(&below.layout).await.unwrap();
    drop(filler);
    Run::new("umount", &[small.as_str()]).output().await.unwrap();
}
