use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use super::*;

struct World {
    dir: tempfile::TempDir,
    tree: Tree,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("root");
        fs::create_dir(&root).unwrap();
        Self { tree: Tree::open(&root).unwrap(), dir }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }
}

#[test]
fn a_link_of_the_tree_leads_to_the_tree() {
    let world = World::new();
    let outside = world.at("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(world.at("root/run")).unwrap();
    fs::create_dir(world.at("root/var")).unwrap();
    symlink("/run", world.at("root/var/run")).unwrap();
    symlink(&outside, world.at("root/etc")).unwrap();
    world.tree.write(Utf8Path::new("/var/run/a"), &mut &b"a"[..], 0o644).unwrap();
    assert_eq!(fs::read(world.at("root/run/a")).unwrap(), b"a");
    // A link that means nothing inside is refused, not followed outside.
    world.tree.write(Utf8Path::new("/etc/passwd"), &mut &b"a"[..], 0o644).unwrap_err();
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn a_file_replaces_the_link_that_was_there() {
    let world = World::new();
    fs::write(world.at("secret"), "of the machine").unwrap();
    symlink(world.at("secret"), world.at("root/resolv.conf")).unwrap();
    world.tree.write(Utf8Path::new("/resolv.conf"), &mut &b"new"[..], 0o755).unwrap();
    assert_eq!(fs::read(world.at("secret")).unwrap(), b"of the machine");
    let metadata = fs::symlink_metadata(world.at("root/resolv.conf")).unwrap();
    assert_eq!((metadata.is_file(), metadata.permissions().mode() & 0o777), (true, 0o755));
}

#[test]
fn removing_a_directory_leaves_what_its_links_name() {
    let world = World::new();
    fs::create_dir_all(world.at("root/a/b")).unwrap();
    fs::create_dir(world.at("kept")).unwrap();
    fs::write(world.at("kept/file"), "").unwrap();
    symlink(world.at("kept"), world.at("root/a/b/link")).unwrap();
    world.tree.remove(Utf8Path::new("/a")).unwrap();
    world.tree.remove(Utf8Path::new("/a")).unwrap();
    assert!(!world.at("root/a").exists() && world.at("kept/file").exists());
}

#[test]
fn no_time_is_younger_than_the_image() {
    let world = World::new();
    world.tree.write(Utf8Path::new("/x/y"), &mut &b""[..], 0o644).unwrap();
    world.tree.link(Utf8Path::new("/x/z"), "y").unwrap();
    world.tree.settle_times().unwrap();
    for path in ["root", "root/x", "root/x/y", "root/x/z"] {
        let metadata = fs::symlink_metadata(world.at(path)).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (i64::from(EPOCH), 0), "{path}");
    }
}
