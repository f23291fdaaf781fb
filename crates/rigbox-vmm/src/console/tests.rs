use super::*;

fn log_path(dir: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8PathBuf::try_from(dir.path().join("console.log")).expect("temporary paths are UTF-8")
}

#[tokio::test]
async fn a_flood_leaves_two_segments_with_the_end_of_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = log_path(&dir);
    let mut log = Log::open(path.clone()).await.expect("open");
    for number in 0..2_000_u32 {
        log.append(format!("{number:01023}\n").as_bytes()).await.expect("append");
    }
    let text = read(&path).await.expect("read");
    assert!(text.len() as u64 <= 2 * SEGMENT_BYTES + 2 * 1024, "{} bytes", text.len());
    assert!(text.ends_with(b"1999\n"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 2);
}

#[tokio::test]
async fn a_log_goes_on_after_a_restart_and_can_be_removed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = log_path(&dir);
    for part in ["before ", "after"] {
        let mut log = Log::open(path.clone()).await.expect("open");
        log.append(part.as_bytes()).await.expect("append");
    }
    assert_eq!(read(&path).await.expect("read"), b"before after");
    remove(&path).await.expect("remove");
    assert_eq!(read(&path).await.expect("read"), b"");
    remove(&path).await.expect("remove again");
}

#[tokio::test]
async fn a_console_is_drained_until_it_ends() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = log_path(&dir);
    let log = Log::open(path.clone()).await.expect("open");
    drain(&b"hello from the guest\n"[..], log).await;
    assert_eq!(read(&path).await.expect("read"), b"hello from the guest\n");
}
