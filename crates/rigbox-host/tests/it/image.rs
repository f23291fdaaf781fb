//! Images from the repository's own recipes and the machine's own package sources.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_host::image::{
    self, BuildRequest, GuestPrograms, ImageError, Packages, Progress, Stage, Store,
};
use tempfile::TempDir;

/// A data directory and programs that stand for the guest's.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.put_agent("first");
        world
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(name)
    }

    fn put_agent(&self, content: &str) {
        fs::create_dir_all(self.path("guest")).unwrap();
        fs::write(self.path("guest/rigbox-guest"), format!("#!/bin/sh\n# {content}\n")).unwrap();
    }

    fn request(&self) -> BuildRequest {
        BuildRequest {
            store: Store::below(&self.path("data")),
            recipes: Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images"),
            name: "tiny".parse().unwrap(),
            programs: GuestPrograms::within(&self.path("guest")),
            packages: Packages::AsBuilt,
        }
    }
}

fn quiet(_: &Progress) {}

/// What `debugfs` says of a path in an image.
fn inside(image: &Utf8Path, request: &str) -> String {
    let output = Command::new("/usr/sbin/debugfs").args(["-R", request, image.as_str()]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn the_same_recipe_gives_the_same_image() {
    let (one, two) = (World::new(), World::new());
    let first = Box::pin(image::build(&one.request(), &quiet)).await.unwrap();
    let second = Box::pin(image::build(&two.request(), &quiet)).await.unwrap();
    assert_eq!(first.manifest.digest, second.manifest.digest);
    assert_eq!(first.manifest.packages, second.manifest.packages);
    let kernels = [&one, &two].map(|world| world.request().store);
    let first_kernel = image::kernel_resolve(&kernels[0], None).await.unwrap();
    let second_kernel = image::kernel_resolve(&kernels[1], None).await.unwrap();
    assert_eq!(first_kernel.manifest.digest, second_kernel.manifest.digest);
    assert_eq!(first_kernel.manifest.initrd_digest, second_kernel.manifest.initrd_digest);

    let root = &first.root_disk;
    let agent = inside(root, "stat /usr/lib/rigbox/rigbox-guest");
    assert!(agent.contains("Mode:  0755"), "{agent}");
    let home = inside(root, "stat /home/developer");
    assert!(home.contains("User:  1000"), "{home}");
    assert_eq!(inside(root, "cat /etc/machine-id"), "", "an id that every workspace would share");
    assert_eq!(inside(root, "cat /etc/resolv.conf"), "nameserver 172.16.0.1\n");
}

#[tokio::test]
async fn an_image_is_built_once_replaced_whole_and_needs_packages_only_once() {
    let world = World::new();
    let request = world.request();
    // What a builder that was killed leaves behind.
    let left = world.path("data/cache/work/tree/etc");
    fs::create_dir_all(&left).unwrap();
    fs::create_dir_all(request.store.image(&request.name)).unwrap();

    let (one, two) = tokio::join!(
        Box::pin(image::build(&request, &quiet)),
        Box::pin(image::build(&request, &quiet)),
    );
    let built = one.unwrap();
    assert_eq!(built, two.unwrap(), "the second was built again instead of waiting for the first");
    assert!(!left.exists());
    assert_eq!(image::resolve(&request.store, &request.name).await.unwrap(), built);

    world.put_agent("second");
    let stages = std::sync::Mutex::new(Vec::new());
    let report = |progress: &Progress| stages.lock().unwrap().push(progress.stage);
    let rebuilt = Box::pin(image::build(&request, &report)).await.unwrap();
    assert_ne!(rebuilt.manifest.digest, built.manifest.digest);
    let stages = stages.into_inner().unwrap();
    assert!(!stages.contains(&Stage::Download), "{stages:?}");
    image::verify(&request.store, &request.name, &quiet).await.unwrap();

    fs::remove_file(world.path("guest/rigbox-guest")).unwrap();
    let refused = Box::pin(image::build(&request, &quiet)).await.unwrap_err();
    assert!(matches!(refused, ImageError::NoProgram { .. }), "{refused}");
    assert_eq!(image::resolve(&request.store, &request.name).await.unwrap(), rebuilt);

    fs::set_permissions(&rebuilt.root_disk, fs::Permissions::from_mode(0o600)).unwrap();
    let mut content = fs::read(&rebuilt.root_disk).unwrap();
    content[1 << 20] ^= 1;
    fs::write(&rebuilt.root_disk, content).unwrap();
    let damaged = image::resolve(&request.store, &request.name).await.unwrap_err();
    assert!(matches!(damaged, ImageError::Corrupt { .. }), "{damaged}");
}
