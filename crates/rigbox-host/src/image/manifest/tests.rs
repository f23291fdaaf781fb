use super::*;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    name: ImageName,
}

fn world(content: &[u8]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::below(Utf8Path::from_path(dir.path()).unwrap());
    let name: ImageName = "small".parse().unwrap();
    let home = store.image(&name);
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join(ROOT), content).unwrap();
    let manifest = Manifest {
        name: name.clone(),
        description: "small".to_owned(),
        digest: hex(&Sha256::digest(content)),
        recipe_digest: String::new(),
        size_bytes: 3,
        stored_bytes: 3,
        built_at: Timestamp::from_micros(0),
        suite: "bookworm".to_owned(),
        packages: Vec::new(),
    };
    fs::write(home.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
    World { _dir: dir, store, name }
}

#[tokio::test]
async fn a_whole_image_is_read_once_and_then_known() {
    let world = world(b"abc");
    let image = resolve(&world.store, &world.name).await.unwrap();
    assert_eq!(image.manifest.digest.get(..8), Some("ba7816bf"));
    assert!(world.store.image(&world.name).join(VERIFIED).exists());
    assert_eq!(resolve(&world.store, &world.name).await.unwrap(), image);
    assert_eq!(list(&world.store).unwrap(), [image.manifest]);
}

#[tokio::test]
async fn a_changed_image_is_refused_although_it_was_good_before() {
    let world = world(b"abc");
    resolve(&world.store, &world.name).await.unwrap();
    fs::write(world.store.image(&world.name).join(ROOT), b"abcd").unwrap();
    let refused = resolve(&world.store, &world.name).await.unwrap_err();
    assert!(matches!(refused, ImageError::Corrupt { .. }), "{refused}");
}

#[tokio::test]
async fn a_check_reads_what_a_note_calls_good() {
    let world = world(b"abc");
    let root = world.store.image(&world.name).join(ROOT);
    resolve(&world.store, &world.name).await.unwrap();
    let times = fs::metadata(&root).unwrap().modified().unwrap();
    fs::write(&root, b"abd").unwrap();
    File::options().write(true).open(&root).unwrap().set_modified(times).unwrap();
    // The note is fooled: same size, inode and time. Reading is not.
    resolve(&world.store, &world.name).await.unwrap();
    verify(&world.store, &world.name, &|_| {}).await.unwrap_err();
}

#[tokio::test]
async fn an_image_without_its_file_or_manifest_is_missing() {
    let world = world(b"abc");
    let other: ImageName = "other".parse().unwrap();
    let missing = resolve(&world.store, &other).await.unwrap_err();
    assert_eq!(missing.hint().as_deref(), Some("rigbox image build other"));
    fs::remove_file(world.store.image(&world.name).join(ROOT)).unwrap();
    let missing = resolve(&world.store, &world.name).await.unwrap_err();
    assert!(matches!(missing, ImageError::Missing { .. }), "{missing}");
}
