use futures_util::future::join_all;
use rigbox_store::{
    StoreError,
    idempotency::{Begin, Claim},
};

use crate::kit::{SECOND, UNLIMITED, World, account};

const HASH: [u8; 32] = [1; 32];

async fn begin(world: &World) -> Begin {
    world.store.idempotency().begin(world.account, "key", &HASH).await.unwrap()
}

fn work(begin: Begin) -> (Claim, Option<String>) {
    match begin {
        Begin::Work { claim, made } => (claim, made),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_repeat_gets_the_first_answer(world: World) {
    let (claim, made) = work(begin(&world).await);
    assert_eq!(made, None);
    assert_eq!(begin(&world).await, Begin::InFlight);
    world.store.idempotency().finish(&claim, 201, "{\"a\":1}").await.unwrap();
    let answered = Begin::Answered { status: 201, body: "{\"a\":1}".to_owned() };
    assert_eq!(begin(&world).await, answered);
    let twice = world.store.idempotency().finish(&claim, 500, "").await;
    assert!(matches!(twice, Err(StoreError::ClaimLost)), "{twice:?}");
    assert_eq!(begin(&world).await, answered);
}

pub(crate) async fn another_request_with_the_same_key_is_a_mismatch(world: World) {
    let idempotency = world.store.idempotency();
    let (claim, _) = work(begin(&world).await);
    for _ in 0..2 {
        let other = idempotency.begin(world.account, "key", &[2; 32]).await.unwrap();
        assert_eq!(other, Begin::Mismatch);
        drop(idempotency.finish(&claim, 201, "").await);
    }
}

pub(crate) async fn of_many_at_once_one_works(world: World) {
    let begun = join_all((0..20).map(|_| begin(&world))).await;
    let working = begun.iter().filter(|begun| matches!(begun, Begin::Work { .. })).count();
    let waiting = begun.iter().filter(|begun| matches!(begun, Begin::InFlight)).count();
    assert_eq!((working, waiting), (1, 19), "{begun:?}");
}

pub(crate) async fn a_refused_request_gives_its_key_back(world: World) {
    let (claim, _) = work(begin(&world).await);
    world.store.idempotency().abandon(&claim).await.unwrap();
    let (claim, _) = work(begin(&world).await);
    world.store.idempotency().finish(&claim, 201, "").await.unwrap();
    // An answer stays.
    world.store.idempotency().abandon(&claim).await.unwrap();
    assert!(matches!(begin(&world).await, Begin::Answered { .. }));
}

pub(crate) async fn after_a_day_a_key_is_new(world: World) {
    let (claim, _) = work(begin(&world).await);
    world.store.idempotency().finish(&claim, 201, "").await.unwrap();
    world.clock.turn(24 * 3_600 * SECOND);
    world.store.idempotency().forget().await.unwrap();
    assert!(matches!(begin(&world).await, Begin::Answered { .. }));
    world.clock.turn(1);
    let (claim, _) = work(begin(&world).await);
    world.store.idempotency().finish(&claim, 201, "").await.unwrap();
    world.clock.turn(24 * 3_600 * SECOND + 1);
    world.store.idempotency().forget().await.unwrap();
    assert!(matches!(begin(&world).await, Begin::Work { .. }));
}

pub(crate) async fn whoever_takes_over_finds_what_was_made(world: World) {
    let (workspaces, idempotency) = (world.store.workspaces(), world.store.idempotency());
    let (slow, _) = work(begin(&world).await);
    let new = world.new_workspace();
    workspaces.insert(&new, &UNLIMITED, Some(&slow)).await.unwrap();
    world.clock.turn(119 * SECOND);
    assert_eq!(begin(&world).await, Begin::InFlight);
    world.clock.turn(2 * SECOND);
    let (repeat, made) = work(begin(&world).await);
    assert_eq!(made, Some(new.id.to_string()));
    // The slow one comes too late, for its answer and for anything else.
    let late = idempotency.finish(&slow, 201, "late").await;
    assert!(matches!(late, Err(StoreError::ClaimLost)), "{late:?}");
    idempotency.abandon(&slow).await.unwrap();
    let another = world.new_workspace();
    let late = workspaces.insert(&another, &UNLIMITED, Some(&slow)).await;
    assert!(matches!(late, Err(StoreError::ClaimLost)), "{late:?}");
    let gone = workspaces.get(&another.id).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    // What was made is not forgotten by giving up.
    idempotency.abandon(&repeat).await.unwrap();
    idempotency.finish(&repeat, 201, "once").await.unwrap();
    let answered = Begin::Answered { status: 201, body: "once".to_owned() };
    assert_eq!(begin(&world).await, answered);
}

pub(crate) async fn keys_of_two_accounts_are_two_keys(world: World) {
    world.store.accounts().insert_user(account(2)).await.unwrap();
    work(begin(&world).await);
    work(world.store.idempotency().begin(account(2), "key", &HASH).await.unwrap());
}
