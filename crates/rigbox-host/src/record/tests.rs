use super::*;

fn layout() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
    (dir, layout)
}

fn workspace() -> WorkspaceId {
    WorkspaceId::from_random([1; 8])
}

fn found(layout: &Layout) -> Found {
    let mut all = Record::load_all(layout).unwrap();
    assert_eq!(all.len(), 1);
    all.pop().unwrap()
}

#[test]
fn a_record_is_read_back_as_it_was_saved() {
    let (_dir, layout) = layout();
    let mut record = Record::new(workspace());
    record.slot = Some(3);
    record.save(&layout).unwrap();
    record.uid = Some(70_000);
    record.save(&layout).unwrap();
    let Found::Record(read) = found(&layout) else { panic!("no record") };
    assert_eq!((read.revision, &read), (2, &record));
}

#[test]
fn a_corrupt_record_is_set_aside_and_reported() {
    let (_dir, layout) = layout();
    Record::new(workspace()).save(&layout).unwrap();
    let whole = fs::read(layout.record(&workspace())).unwrap();
    let half = &whole[..whole.len() / 2];
    for content in [half, b"", b"\xff\xfe", b"{}", br#"{"format":99}"#] {
        fs::write(layout.record(&workspace()), content).unwrap();
        let Found::SetAside { path, .. } = found(&layout) else { panic!("taken for a record") };
        assert_eq!(fs::read(path).unwrap(), content, "the content is kept");
        assert!(matches!(found(&layout), Found::Nothing { .. }));
    }
}

#[test]
fn the_record_of_another_workspace_is_not_taken_for_ours() {
    let (_dir, layout) = layout();
    let mut record = Record::new(WorkspaceId::from_random([2; 8]));
    record.save(&layout).unwrap();
    let other = layout.workspace_dir(&record.workspace);
    fs::rename(other, layout.workspace_dir(&workspace())).unwrap();
    assert!(matches!(found(&layout), Found::SetAside { .. }));
}

#[test]
fn a_forgotten_record_leaves_nothing() {
    let (_dir, layout) = layout();
    let mut record = Record::new(workspace());
    record.save(&layout).unwrap();
    Record::forget(&layout, &workspace()).unwrap();
    Record::forget(&layout, &workspace()).unwrap();
    assert!(Record::load_all(&layout).unwrap().is_empty());
}
