use std::{os::unix::fs::PermissionsExt, thread, time::Duration};

use camino::Utf8PathBuf;
use rigbox_store::{
    Adding, PageRequest, StoreError,
    api_keys::{ApiKeyRow, HasherError, KeyHash, KeyHasher, NewApiKey},
    feed::Wake,
};
use rigbox_types::{ApiKeyId, KeyScope, KeyScopes, Timestamp, authz::Standing};

use tokio::time::timeout;

use crate::kit::{Database, SECOND, World, account};

const PATIENCE: Duration = Duration::from_secs(30);

fn hasher() -> (tempfile::TempDir, Utf8PathBuf, KeyHasher) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("secrets/api-keys.key")).unwrap();
    let hasher = KeyHasher::load_or_create(&path).unwrap();
    (dir, path, hasher)
}

fn new_key(world: &World, n: u8, hash: KeyHash) -> NewApiKey {
    NewApiKey {
        id: ApiKeyId::from_random([n; 16]),
        account: world.account,
        prefix: format!("rb_{n}"),
        hash,
        name: Some("laptop".to_owned()),
        expires_at: Some(Timestamp::from_micros(7)),
        scopes: KeyScopes::full(),
    }
}

pub(crate) async fn a_key_is_found_by_its_prefix_and_known_by_its_hash(world: World) {
    let keys = world.store.api_keys();
    let (_dir, path, hasher) = hasher();
    let new = new_key(&world, 1, hasher.hash(&"rb_1_secret".into()));
    keys.insert(&new, Adding::at_most(100)).await.unwrap();
    assert_eq!(keys.find_by_prefix("rb_2").await.unwrap(), None);
    let found = keys.find_by_prefix("rb_1").await.unwrap().unwrap();
    assert_eq!((found.id, found.account, found.standing), (new.id, world.account, Standing::User));
    assert_eq!((found.name, found.expires_at), (new.name.clone(), new.expires_at));
    let again = KeyHasher::load_or_create(&path).unwrap();
    assert_eq!(found.hash, again.hash(&"rb_1_secret".into()));
    assert_ne!(found.hash, again.hash(&"rb_1_Secret".into()));

    let twice = keys
        .insert(
            &NewApiKey { id: ApiKeyId::from_random([9; 16]), ..new.clone() },
            Adding::at_most(100),
        )
        .await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "{twice:?}");
    let nobody = NewApiKey { account: account(99), ..new_key(&world, 3, new.hash) };
    let nobody = keys.insert(&nobody, Adding::at_most(100)).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
}

pub(crate) async fn a_key_belongs_to_one_account(world: World) {
    let keys = world.store.api_keys();
    let (_dir, _, hasher) = hasher();
    for n in 0..5 {
        keys.insert(&new_key(&world, n, hasher.hash(&"k".into())), Adding::at_most(100))
            .await
            .unwrap();
        world.clock.turn(SECOND);
    }
    let mut page = PageRequest { limit: 2, cursor: None };
    let mut seen = Vec::new();
    loop {
        let keys = keys.list(world.account, &page).await.unwrap();
        seen.extend(keys.items.into_iter().map(|key| key.prefix));
        page.cursor = keys.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["rb_4", "rb_3", "rb_2", "rb_1", "rb_0"]);
    assert!(keys.list(account(2), &PageRequest::default()).await.unwrap().items.is_empty());
    let id = ApiKeyId::from_random([0; 16]);
    let foreign = keys.delete(account(2), id).await;
    assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");
    keys.delete(world.account, id).await.unwrap();
    assert_eq!(keys.find_by_prefix("rb_0").await.unwrap(), None);
}

pub(crate) async fn the_last_use_is_noted_to_the_minute(world: World) {
    let keys = world.store.api_keys();
    let (_dir, _, hasher) = hasher();
    keys.insert(&new_key(&world, 1, hasher.hash(&"k".into())), Adding::at_most(100)).await.unwrap();
    let find = async || keys.find_by_prefix("rb_1").await.unwrap().unwrap();
    let never = find().await;
    assert_eq!(never.last_used_at, None);
    keys.used(&never).await.unwrap();
    let first = find().await;
    world.clock.turn(59 * SECOND);
    keys.used(&first).await.unwrap();
    // Also when the caller read the row long ago.
    keys.used(&never).await.unwrap();
    assert_eq!(find().await.last_used_at, first.last_used_at);
    world.clock.turn(2 * SECOND);
    keys.used(&first).await.unwrap();
    assert!(find().await.last_used_at > first.last_used_at);
}

#[test]
fn starts_at_once_end_up_with_one_hashing_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("k")).unwrap();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || KeyHasher::load_or_create(&path).unwrap().hash(&"x".into()))
        })
        .collect();
    let hashes: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_hashing_key_is_private_and_whole() {
    let (_dir, path, _) = hasher();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = KeyHasher::load_or_create(&path);
    assert!(matches!(exposed, Err(HasherError::Exposed { mode: 0o640, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, b"short").unwrap();
    assert!(matches!(KeyHasher::load_or_create(&path), Err(HasherError::Length { .. })));
}

pub(crate) async fn keys_are_bounded_and_the_oldest_make_room(world: World) {
    let (keys, hasher) = (world.store.api_keys(), hasher());
    for n in 1..=3 {
        let key = new_key(&world, n, hasher.2.hash(&"k".into()));
        keys.insert(&key, Adding::at_most(3)).await.unwrap();
        world.clock.turn(SECOND);
    }
    let fourth = new_key(&world, 4, hasher.2.hash(&"k".into()));
    let over = keys.insert(&fourth, Adding::at_most(3)).await;
    assert!(matches!(over, Err(StoreError::Over(_))), "{over:?}");
    // The first one was used since the second one was made.
    let page = keys.list(world.account, &PageRequest::default()).await.unwrap();
    keys.used(page.items.last().unwrap()).await.unwrap();
    keys.make_room(world.account, 2).await.unwrap();
    keys.insert(&fourth, Adding::at_most(3)).await.unwrap();
    let page = keys.list(world.account, &PageRequest::default()).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|row| row.prefix.clone()).collect();
    let kept = |n| new_key(&world, n, hasher.2.hash(&"k".into())).prefix;
    assert_eq!(ids, [kept(4), kept(3), kept(1)]);
}

/// Scopes, as they come out of a request.
fn scopes(words: &[&str]) -> KeyScopes {
    let scopes: Vec<KeyScope> = words.iter().map(|word| word.parse().unwrap()).collect();
    scopes.try_into().unwrap()
}

pub(crate) async fn a_key_keeps_its_scopes_and_one_from_before_them_is_full(world: World) {
    let (keys, hasher) = (world.store.api_keys(), hasher());
    let hash = || hasher.2.hash(&"k".into());
    let narrow = scopes(&["read", "workspace:ws-abcdefgh"]);
    let new = NewApiKey { scopes: narrow.clone(), ..new_key(&world, 1, hash()) };
    keys.insert(&new, Adding::at_most(100)).await.unwrap();
    // As a program from before there were scopes writes it.
    let old = sqlx::query(
        "INSERT INTO api_keys (id, account_id, prefix, hash, created_at) \
         SELECT $1, account_id, 'rb_2', hash, 1 FROM api_keys",
    );
    let id = ApiKeyId::from_random([2; 16]);
    old.bind(id.to_string()).execute(&mut world.raw().await).await.unwrap();
    let found = async |prefix| keys.find_by_prefix(prefix).await.unwrap().unwrap().scopes;
    assert_eq!((found("rb_1").await, found("rb_2").await), (narrow.clone(), KeyScopes::full()));
    assert_eq!(keys.get(world.account, new.id).await.unwrap().scopes, narrow);
    let page = keys.list(world.account, &PageRequest::default()).await.unwrap();
    let listed: Vec<_> = page.items.into_iter().map(|row| row.scopes).collect();
    assert_eq!(listed, [narrow, KeyScopes::full()]);
    // What a key was narrowed to does not outlive it.
    keys.delete(world.account, new.id).await.unwrap();
    keys.insert(&new_key(&world, 1, hash()), Adding::at_most(100)).await.unwrap();
    assert_eq!(found("rb_1").await, KeyScopes::full());
}

pub(crate) async fn a_rotated_key_is_the_same_with_another_secret(world: World) {
    let (keys, hasher) = (world.store.api_keys(), hasher());
    let (old, new) = (hasher.2.hash(&"old".into()), hasher.2.hash(&"new".into()));
    let key = NewApiKey { scopes: scopes(&["read"]), ..new_key(&world, 1, old) };
    keys.insert(&key, Adding::at_most(100)).await.unwrap();
    keys.insert(&new_key(&world, 2, hasher.2.hash(&"k".into())), Adding::at_most(100))
        .await
        .unwrap();
    let before = keys.get(world.account, key.id).await.unwrap();
    for (owner, prefix) in [(account(2), "rb_3"), (world.account, "rb_2")] {
        let refused = keys.rotate(owner, key.id, (prefix, &new)).await.unwrap_err();
        let expected = if owner == world.account {
            matches!(refused, StoreError::Conflict { .. })
        } else {
            matches!(refused, StoreError::NotFound { .. })
        };
        assert!(expected, "{refused:?}");
    }
    assert_eq!(keys.get(world.account, key.id).await.unwrap(), before);
    keys.rotate(world.account, key.id, ("rb_3", &new)).await.unwrap();
    assert_eq!(keys.find_by_prefix("rb_1").await.unwrap(), None);
    let after = keys.find_by_prefix("rb_3").await.unwrap().unwrap();
    assert_eq!(after, ApiKeyRow { prefix: "rb_3".to_owned(), hash: new, ..before });
}

pub(crate) async fn whoever_watches_is_told_of_a_key_that_ends(world: World) {
    let other = world.another_store().await;
    let mut watchers = vec![world.store.feed().subscribe()];
    // With SQLite there is one writing process, and wake-ups stay in it.
    if matches!(world.database, Database::Postgres(_)) {
        watchers.push(other.feed().subscribe());
    }
    let (keys, hasher) = (world.store.api_keys(), hasher());
    let hash = hasher.2.hash(&"k".into());
    let key = new_key(&world, 1, hasher.2.hash(&"k".into()));
    keys.insert(&key, Adding::at_most(100)).await.unwrap();
    keys.rotate(world.account, key.id, ("rb_2", &hash)).await.unwrap();
    keys.delete(world.account, key.id).await.unwrap();
    // Nobody is told of what did not happen.
    keys.delete(world.account, key.id).await.unwrap_err();
    keys.make_room(world.account, 0).await.unwrap();
    keys.insert(&key, Adding::at_most(100)).await.unwrap();
    keys.make_room(world.account, 0).await.unwrap();
    for watcher in &mut watchers {
        for expected in [Wake::ApiKey(key.id), Wake::ApiKey(key.id), Wake::Everything] {
            let wake = timeout(PATIENCE, watcher.next()).await.expect("not woken");
            assert_eq!(wake, Some(expected));
        }
    }
}
