use std::sync::Mutex;

use super::*;

fn quiet(_: &Progress) {}

#[tokio::test]
async fn a_second_build_waits_and_what_a_killed_one_left_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::below(Utf8Path::from_path(dir.path()).unwrap());
    let first = Turn::take(&store, &quiet).await.unwrap();
    let left = first.work().join("left");
    fs::write(&left, "half made").unwrap();

    let heard = Mutex::new(Vec::new());
    let report = |progress: &Progress| heard.lock().unwrap().push(progress.stage);
    let second = Turn::take(&store, &report);
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(20), &mut second).await;
    assert!(early.is_err(), "two builds at once");
    // As a killed builder would: the lock goes, the directory stays.
    drop(first);
    let second = second.await.unwrap();
    assert!(!left.exists());
    assert_eq!(heard.lock().unwrap().first(), Some(&Stage::Waiting));
    second.end().await.unwrap();
    assert!(!store.cache().join("work").exists());
}

#[tokio::test]
async fn a_build_that_would_fill_the_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::below(Utf8Path::from_path(dir.path()).unwrap());
    let turn = Turn::take(&store, &quiet).await.unwrap();
    turn.need(1).unwrap();
    assert!(matches!(turn.need(u64::MAX), Err(ImageError::NoSpace { .. })));
    let full = ImageError::Tool {
        tool: "tar".to_owned(),
        status: "exit status: 2".to_owned(),
        reason: "tar: x: Cannot write: No space left on device".to_owned(),
    };
    assert!(matches!(turn.explain::<()>(Err(full), 7), Err(ImageError::NoSpace { .. })));
}

#[test]
fn blanks_in_mount_points_are_understood() {
    assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
}
