use futures_util::future::join_all;
use rigbox_store::{
    PageRequest, Store,
    api_keys::KeyHasher,
    audit::{AUDIT_KEPT, NewEntry, Verdict},
};
use rigbox_types::{AccountId, api::audit::AuditStage};

use crate::{
    bad_days::run,
    kit::{World, account},
};

/// A chain's key, which goes with its directory.
fn key() -> KeyHasher {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(dir.path()).unwrap().join("audit.key");
    KeyHasher::load_or_create(&path).unwrap()
}

fn entry(account: AccountId, target: &str) -> NewEntry {
    NewEntry {
        stage: AuditStage::Completed,
        request_id: "req-1".to_owned(),
        action: "workspace_stop".to_owned(),
        account: Some(account),
        actor: "key:1".to_owned(),
        address: None,
        target: target.to_owned(),
        status: Some(200),
        code: None,
    }
}

async fn fill(store: &Store, key: &KeyHasher, count: usize) {
    let entries: Vec<_> = (0..count).map(|n| entry(account(1), &format!("/{n}"))).collect();
    store.audit().append(&entries, key).await.unwrap();
}

fn broken(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Broken { at_seq, .. } => *at_seq,
        Verdict::Whole { .. } => panic!("{verdict:?}"),
    }
}

pub(crate) async fn entries_of_many_writers_make_one_chain(world: World) {
    let (key, other) = (key(), world.another_store().await);
    let stores = [&world.store, &other];
    join_all(stores.iter().cycle().take(20).map(|store| fill(store, &key, 3))).await;
    let verdict = world.store.audit().verify(&key, None).await.unwrap();
    assert!(matches!(verdict, Verdict::Whole { entries: 60, last_seq: 60, .. }), "{verdict:?}");
}

pub(crate) async fn an_account_sees_its_own_entries_page_by_page(world: World) {
    let key = key();
    let entries = [entry(account(1), "/a"), entry(account(2), "/b"), entry(account(1), "/c")];
    let audit = world.store.audit();
    audit.append(&entries, &key).await.unwrap();
    let first = PageRequest { limit: 1, cursor: None };
    let page = audit.list(Some(account(1)), &first).await.unwrap();
    assert_eq!(page.items[0].target, "/c");
    let rest = PageRequest { limit: 9, cursor: page.next_cursor };
    let page = audit.list(Some(account(1)), &rest).await.unwrap();
    assert_eq!(page.items.iter().map(|entry| entry.target.as_str()).collect::<Vec<_>>(), ["/a"]);
    assert_eq!(audit.list(None, &PageRequest::default()).await.unwrap().items.len(), 3);
}

pub(crate) async fn what_was_tampered_with_is_found(world: World) {
    let key = key();
    fill(&world.store, &key, 5).await;
    let audit = world.store.audit();
    let Verdict::Whole { last_seq, last_hash, .. } = audit.verify(&key, None).await.unwrap() else {
        panic!("not whole");
    };
    let kept = Some((last_seq, last_hash.as_str()));
    run(&world, "UPDATE audit SET actor = 'key:2' WHERE seq = 3").await;
    assert_eq!(broken(&audit.verify(&key, None).await.unwrap()), 3);
    run(&world, "UPDATE audit SET actor = 'key:1' WHERE seq = 3").await;
    assert!(matches!(audit.verify(&key, kept).await.unwrap(), Verdict::Whole { .. }));
    // Without the key nobody writes an entry that fits.
    assert_eq!(broken(&audit.verify(&self::key(), None).await.unwrap()), 1);
    run(&world, "DELETE FROM audit WHERE seq = 5").await;
    assert_eq!(broken(&audit.verify(&key, None).await.unwrap()), 5);
    // A cut at the new end that also moves the end is seen by whoever kept a hash.
    run(
        &world,
        "UPDATE audit_ends SET last_seq = 4, last_hash = (SELECT hash FROM audit WHERE seq = 4)",
    )
    .await;
    assert!(matches!(audit.verify(&key, None).await.unwrap(), Verdict::Whole { .. }));
    assert_eq!(broken(&audit.verify(&key, kept).await.unwrap()), 4);
    run(&world, "DELETE FROM audit WHERE seq = 2").await;
    assert_eq!(broken(&audit.verify(&key, None).await.unwrap()), 2);
}

pub(crate) async fn a_record_that_is_cut_off_at_its_old_end_is_whole(world: World) {
    let key = key();
    fill(&world.store, &key, 3).await;
    let kept = i64::try_from(AUDIT_KEPT.as_micros()).unwrap();
    world.clock.turn(kept + 1);
    fill(&world.store, &key, 2).await;
    let audit = world.store.audit();
    audit.forget(&key, AUDIT_KEPT).await.unwrap();
    assert_eq!(broken(&audit.verify(&key, Some((1, "gone"))).await.unwrap()), 3);
    let verdict = audit.verify(&key, None).await.unwrap();
    assert!(matches!(verdict, Verdict::Whole { entries: 2, last_seq: 5, .. }), "{verdict:?}");
    // An entry of a clock that was wrong takes none that is younger with it.
    run(&world, "UPDATE audit SET at = 5 WHERE seq = 5").await;
    audit.forget(&key, AUDIT_KEPT).await.unwrap();
    assert_eq!(audit.list(None, &PageRequest::default()).await.unwrap().items.len(), 2);
    run(&world, "UPDATE audit SET at = (SELECT at FROM audit WHERE seq = 4) WHERE seq = 5").await;
    world.clock.turn(kept + 1);
    audit.forget(&key, AUDIT_KEPT).await.unwrap();
    fill(&world.store, &key, 1).await;
    let verdict = audit.verify(&key, None).await.unwrap();
    assert!(matches!(verdict, Verdict::Whole { entries: 2, last_seq: 6, .. }), "{verdict:?}");
    // Who has no key cuts nothing off unseen.
    run(
        &world,
        "UPDATE audit_ends SET cut_seq = 5, cut_hash = (SELECT hash FROM audit WHERE seq = 5)",
    )
    .await;
    run(&world, "DELETE FROM audit WHERE seq <= 5").await;
    assert_eq!(broken(&audit.verify(&key, None).await.unwrap()), 5);
}
