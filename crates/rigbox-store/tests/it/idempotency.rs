use futures_util::future::join_all;
use rigbox_store::{
    Adding, StoreError,
    idempotency::{Begin, Claim},
    service_specs::ServiceSpec,
    setup_scripts::SetupScript,
    ssh_keys::SshKey,
    workspaces::{ChangeError, EnvVars},
};
use rigbox_types::{
    Desired, ServiceSpecId, SetupScriptId, SshKeyId,
    api::{service_specs::RestartPolicy, setup_scripts::RunOn},
};

use crate::kit::{Database, SECOND, World, account};

const HASH: [u8; 32] = [1; 32];

async fn begin(world: &World) -> Begin {
    world.store.idempotency().begin((world.account, None), "key", &HASH).await.unwrap()
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
        let other = idempotency.begin((world.account, None), "key", &[2; 32]).await.unwrap();
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

pub(crate) async fn an_account_has_so_many_keys_and_no_more(world: World) {
    world.add_account(2).await;
    let begin = async |whose, key: &str| {
        let begun = world.store.idempotency().begin((whose, Some(3)), key, &HASH).await;
        begun.unwrap()
    };
    let mut claims = Vec::new();
    for key in ["a", "b", "c"] {
        claims.push(work(begin(world.account, key).await).0);
        world.clock.turn(SECOND);
    }
    let day = 24 * 3_600;
    assert_eq!(begin(world.account, "d").await, Begin::TooMany { retry_after_s: day - 3 });
    // What has begun goes on, and so does another account.
    assert_eq!(begin(world.account, "a").await, Begin::InFlight);
    work(begin(account(2), "a").await);
    // A refused one has taken no place, and one that is given back leaves its own.
    world.store.idempotency().abandon(&claims[2]).await.unwrap();
    work(begin(world.account, "d").await);
    assert!(matches!(begin(world.account, "c").await, Begin::TooMany { .. }));
    // The oldest one is a day old, whether it was forgotten yet or not.
    world.clock.turn((i64::from(day) - 2) * SECOND);
    work(begin(world.account, "c").await);
    assert!(matches!(begin(world.account, "e").await, Begin::TooMany { .. }));
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
    workspaces.insert(&new, Some(&slow)).await.unwrap();
    world.clock.turn(14 * SECOND);
    assert_eq!(begin(&world).await, Begin::InFlight);
    world.clock.turn(2 * SECOND);
    let (repeat, made) = work(begin(&world).await);
    assert_eq!(made, Some(new.id.to_string()));
    // The slow one comes too late, for its answer and for anything else.
    let late = idempotency.finish(&slow, 201, "late").await;
    assert!(matches!(late, Err(StoreError::ClaimLost)), "{late:?}");
    idempotency.abandon(&slow).await.unwrap();
    let another = world.new_workspace();
    let late = workspaces.insert(&another, Some(&slow)).await;
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
    world.add_account(2).await;
    work(begin(&world).await);
    work(world.store.idempotency().begin((account(2), None), "key", &HASH).await.unwrap());
}

pub(crate) async fn a_claim_holds_as_long_as_it_is_renewed(world: World) {
    let (claim, _) = work(begin(&world).await);
    for _ in 0..5 {
        world.clock.turn(10 * SECOND);
        world.store.idempotency().renew(&claim).await.unwrap();
    }
    world.clock.turn(10 * SECOND);
    assert_eq!(begin(&world).await, Begin::InFlight);
    world.clock.turn(10 * SECOND);
    work(begin(&world).await);
    // Renewing what was taken over changes nothing.
    world.clock.turn(10 * SECOND);
    world.store.idempotency().renew(&claim).await.unwrap();
    world.clock.turn(10 * SECOND);
    work(begin(&world).await);
}

pub(crate) async fn a_writer_that_is_alone_gives_back_what_a_former_one_held(world: World) {
    work(begin(&world).await);
    world.store.idempotency().release().await.unwrap();
    let next = begin(&world).await;
    match world.database {
        Database::Sqlite { .. } => drop(work(next)),
        // Another process may be at it.
        Database::Postgres(_) => assert_eq!(next, Begin::InFlight),
    }
}

pub(crate) async fn a_change_is_noted_with_its_claim(world: World) {
    let (workspaces, idempotency) = (world.store.workspaces(), world.store.idempotency());
    let row = workspaces.insert(&world.new_workspace(), None).await.unwrap();
    let change = async |claim: &Claim, desired| {
        let edit = workspaces.change(&row.id, Some(claim), |_, wanted| {
            wanted.desired = desired;
            Ok::<_, StoreError>(())
        });
        edit.await
    };
    let (killed, _) = work(begin(&world).await);
    let changed = change(&killed, Desired::Running).await.unwrap();
    world.clock.turn(16 * SECOND);
    let (repeat, made) = work(begin(&world).await);
    assert_eq!(made, Some(row.id.to_string()));
    // The former one is not dead after all: it changes nothing any more.
    let late = change(&killed, Desired::Deleted).await;
    assert!(matches!(late, Err(ChangeError::Store(StoreError::ClaimLost))), "{late:?}");
    assert_eq!(workspaces.get(&row.id).await.unwrap().generation, changed.generation);
    // Giving up what has had an effect lets the next one see it at once.
    idempotency.abandon(&repeat).await.unwrap();
    assert_eq!(work(begin(&world).await).1, Some(row.id.to_string()));
}

pub(crate) async fn what_is_added_is_noted_with_its_claim(world: World) {
    let (store, account) = (&world.store, world.account);
    let script = SetupScript {
        name: "s".to_owned(),
        content: String::new(),
        run_on: RunOn::default(),
        order: 0,
    };
    let spec = ServiceSpec {
        name: "s".to_owned(),
        exec_start: "a".to_owned(),
        env: EnvVars::default(),
        environment_file: None,
        restart_policy: RestartPolicy::default(),
        auto_enable: false,
        setup_script: String::new(),
    };
    let key = SshKey {
        name: "k".to_owned(),
        public_key: "ssh-ed25519 a".to_owned(),
        fingerprint: "SHA256:a".to_owned(),
    };
    for what in ["script", "spec", "key"] {
        let begin = async || store.idempotency().begin((account, None), what, &HASH).await.unwrap();
        let (claim, _) = work(begin().await);
        let adding = Adding { most: 1, claim: Some(&claim) };
        let id = match what {
            "script" => {
                let id = SetupScriptId::from_random([1; 16]);
                let scripts = store.setup_scripts();
                scripts.insert(id, account, &script, adding).await.unwrap();
                id.to_string()
            }
            "spec" => {
                let id = ServiceSpecId::from_random([2; 16]);
                store.service_specs().insert(id, account, &spec, adding).await.unwrap();
                id.to_string()
            }
            _ => {
                let id = SshKeyId::from_random([3; 16]);
                store.ssh_keys().insert(id, account, &key, adding).await.unwrap();
                assert_eq!(store.ssh_keys().get(account, id).await.unwrap().key, key);
                id.to_string()
            }
        };
        world.clock.turn(16 * SECOND);
        assert_eq!(work(begin().await).1, Some(id));
    }
}
