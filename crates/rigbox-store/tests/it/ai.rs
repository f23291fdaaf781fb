use std::{convert::Infallible, os::unix::fs::MetadataExt as _};

use rigbox_store::{
    Store, StoreError, StoreUrl,
    accounts::Profile,
    ai::{AiKeyPlace, AiSettings, KeyChange, SealedKey},
    ai_calls::Call,
    ai_usage::{CallsOf, Used, UsedByModel, UsedInStep},
    ledger::Posting,
};
use rigbox_types::{
    AccountId, Credits, Desired, Observed, Timestamp, WorkspaceId,
    api::ai::{AiDecider, AiInject, AiMode, AiProvider},
};

use crate::kit::{Database, SECOND, World, account, observation};

fn put(provider: AiProvider, bytes: &[u8]) -> KeyChange {
    KeyChange::Put { provider, sealed: SealedKey(bytes.to_vec()), preview: "…abcd".to_owned() }
}

async fn made(world: &World) -> WorkspaceId {
    let new = world.new_workspace();
    world.store.workspaces().insert(&new, None).await.unwrap().id
}

async fn choose(store: &Store, id: &WorkspaceId, edit: impl FnOnce(&mut AiSettings) + Send) {
    let edit = |settings: &mut AiSettings| {
        edit(settings);
        Ok::<_, StoreError>(Vec::new())
    };
    store.ai().workspace_change(id, edit).await.unwrap();
}

pub(crate) async fn what_nobody_has_decided_is_off_and_managed(world: World) {
    let id = made(&world).await;
    let caller = world.store.ai().caller(&id).await.unwrap();
    assert_eq!((caller.account, &caller.host), (world.account, &world.host));
    assert_eq!(
        (caller.enabled, caller.mode, caller.account_disabled),
        (false, AiMode::Managed, false)
    );
    assert_eq!((caller.provider, caller.model.as_deref(), caller.keys.len()), (None, None, 0));
    let nobody = world.store.ai().caller(&"ws-zzzzzzzz".parse().unwrap()).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NotFound { .. }), "{nobody:?}");
}

pub(crate) async fn a_workspace_decides_before_its_account_and_its_guest_last(world: World) {
    let (ai, id) = (world.store.ai(), made(&world).await);
    let decided = async || {
        let row = ai.workspace(&id).await.unwrap();
        let (enabled, by) = row.settings.enabled();
        assert_eq!(ai.caller(&id).await.unwrap().enabled, enabled);
        (enabled, by)
    };
    choose(&world.store, &id, |settings| settings.choice.guest_enabled = Some(true)).await;
    assert_eq!(decided().await, (true, Some(AiDecider::Guest)));
    ai.account_change(world.account, &[], |defaults| defaults.enabled = Some(false)).await.unwrap();
    assert_eq!(decided().await, (false, Some(AiDecider::UserDefault)));
    choose(&world.store, &id, |settings| settings.choice.enabled = Some(true)).await;
    assert_eq!(decided().await, (true, Some(AiDecider::Workspace)));
    choose(&world.store, &id, |settings| settings.choice.enabled = None).await;
    ai.account_change(world.account, &[], |defaults| defaults.enabled = None).await.unwrap();
    assert_eq!(decided().await, (true, Some(AiDecider::Guest)));
}

pub(crate) async fn what_a_workspace_has_not_decided_its_account_does(world: World) {
    let (ai, id) = (world.store.ai(), made(&world).await);
    assert_eq!(world.store.workspaces().get(&id).await.unwrap().ai_mode, None);
    ai.account_change(world.account, &[], |defaults| {
        defaults.mode = Some(AiMode::Byok);
        defaults.provider = Some(AiProvider::Openai);
        defaults.model = Some("openai/gpt-5".to_owned());
    })
    .await
    .unwrap();
    let caller = ai.caller(&id).await.unwrap();
    assert_eq!((caller.mode, caller.provider), (AiMode::Byok, Some(AiProvider::Openai)));
    assert_eq!(caller.model.as_deref(), Some("openai/gpt-5"));
    // The account's model is not one of another provider.
    choose(&world.store, &id, |settings| settings.choice.provider = Some(AiProvider::Google)).await;
    let caller = ai.caller(&id).await.unwrap();
    assert_eq!((caller.provider, caller.model.as_deref()), (Some(AiProvider::Google), None));
    // Where the platform pays, its keys stay outside whatever was decided before.
    choose(&world.store, &id, |settings| settings.choice.inject = Some(AiInject::Env)).await;
    assert_eq!(ai.workspace(&id).await.unwrap().settings.inject(), AiInject::Env);
    choose(&world.store, &id, |settings| settings.choice.mode = Some(AiMode::Managed)).await;
    assert_eq!(ai.workspace(&id).await.unwrap().settings.inject(), AiInject::Proxy);
    let row = world.store.workspaces().get(&id).await.unwrap();
    assert_eq!(row.ai_mode, Some(AiMode::Managed));
}

pub(crate) async fn a_key_of_a_workspace_counts_before_that_of_its_account(world: World) {
    let (ai, id, other) = (world.store.ai(), made(&world).await, made(&world).await);
    let of_account = [put(AiProvider::Openai, b"account"), put(AiProvider::Brave, b"search")];
    ai.account_change(world.account, &of_account, |_| {}).await.unwrap();
    let edit = |_: &mut AiSettings| Ok::<_, StoreError>(vec![put(AiProvider::Openai, b"own")]);
    ai.workspace_change(&id, edit).await.unwrap();
    let key = async |id: &WorkspaceId, provider| {
        let caller = ai.caller(id).await.unwrap();
        caller.key(provider).map(|key| (key.sealed.0.clone(), key.of_workspace))
    };
    assert_eq!(key(&id, AiProvider::Openai).await, Some((b"own".to_vec(), true)));
    assert_eq!(key(&id, AiProvider::Brave).await, Some((b"search".to_vec(), false)));
    assert_eq!(key(&id, AiProvider::Google).await, None);
    assert_eq!(key(&other, AiProvider::Openai).await, Some((b"account".to_vec(), false)));

    // A key takes the place of the one before, and one that is forgotten leaves it to the account.
    let edit = |_: &mut AiSettings| Ok::<_, StoreError>(vec![put(AiProvider::Openai, b"new")]);
    ai.workspace_change(&id, edit).await.unwrap();
    assert_eq!(key(&id, AiProvider::Openai).await, Some((b"new".to_vec(), true)));
    let forget = KeyChange::Forget { provider: AiProvider::Openai };
    let edit = |_: &mut AiSettings| Ok::<_, StoreError>(vec![forget]);
    ai.workspace_change(&id, edit).await.unwrap();
    assert_eq!(key(&id, AiProvider::Openai).await, Some((b"account".to_vec(), false)));
    assert!(!format!("{:?}", ai.caller(&id).await.unwrap()).contains("97"), "bytes are not shown");
}

pub(crate) async fn keys_and_settings_go_with_their_workspace(world: World) {
    let (ai, id) = (world.store.ai(), made(&world).await);
    ai.account_change(world.account, &[put(AiProvider::Openai, b"account")], |_| {}).await.unwrap();
    let edit = |settings: &mut AiSettings| {
        settings.choice.enabled = Some(true);
        Ok::<_, StoreError>(vec![put(AiProvider::Openai, b"own")])
    };
    ai.workspace_change(&id, edit).await.unwrap();
    assert_eq!(ai.keys_after(None, 10).await.unwrap().len(), 2);
    let delete = |_: &_, wanted: &mut rigbox_store::workspaces::Wanted| {
        wanted.desired = Desired::Deleted;
        Ok::<_, Infallible>(())
    };
    let row = world.store.workspaces().change(&id, None, delete).await.unwrap();
    let gone = observation(&id, row.generation.0, Observed::Absent, (1, 1));
    world.store.workspaces().observe(&world.host, &[gone]).await.unwrap();
    let missing = ai.caller(&id).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing:?}");
    let left = ai.keys_after(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|key| key.place.workspace.clone()).collect::<Vec<_>>(), [None]);
}

pub(crate) async fn a_change_reaches_the_workspaces_that_it_is_about(world: World) {
    let (ai, id, other) = (world.store.ai(), made(&world).await, made(&world).await);
    let generations = async || {
        let of = async |id| world.store.workspaces().get(id).await.unwrap().generation.0;
        (of(&id).await, of(&other).await)
    };
    choose(&world.store, &id, |settings| settings.choice.enabled = Some(true)).await;
    assert_eq!(generations().await, (2, 1));
    let before = ai.workspace(&id).await.unwrap();
    world.clock.turn(SECOND);
    choose(&world.store, &id, |settings| settings.choice.enabled = Some(true)).await;
    assert_eq!(generations().await, (2, 1), "what changes nothing writes nothing");
    assert_eq!(ai.workspace(&id).await.unwrap(), before);
    ai.account_change(world.account, &[], |defaults| defaults.enabled = Some(true)).await.unwrap();
    assert_eq!(generations().await, (3, 2));
    let nobody = ai.account_change(account(9), &[], |_| {}).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NotFound { .. }), "{nobody:?}");
}

pub(crate) async fn a_key_is_encrypted_anew_unless_it_was_set_meanwhile(world: World) {
    let ai = world.store.ai();
    world.add_account(2).await;
    for owner in [world.account, account(2)] {
        let keys = [put(AiProvider::Google, b"g"), put(AiProvider::Openai, b"o")];
        ai.account_change(owner, &keys, |_| {}).await.unwrap();
    }
    let all = ai.keys_after(None, 10).await.unwrap();
    assert_eq!(all.len(), 4);
    let first = ai.keys_after(None, 3).await.unwrap();
    let rest = ai.keys_after(first.last(), 3).await.unwrap();
    assert_eq!([first, rest].concat(), all);
    assert!(ai.key_reseal(&all[0], &SealedKey(b"anew".to_vec())).await.unwrap());
    assert!(!ai.key_reseal(&all[0], &SealedKey(b"late".to_vec())).await.unwrap());
    let place = AiKeyPlace { account: all[0].place.account, workspace: None };
    assert_eq!(ai.keys(&place).await.unwrap()[0].sealed.0, b"anew");
}

/// What another process changes counts for the next caller, whatever this one has kept, and however it writes
/// meanwhile itself.
pub(crate) async fn a_switch_counts_at_once_whatever_was_kept(world: World) {
    let (id, other) = (made(&world).await, world.another_store().await);
    let (store, account, mut reused) = (&world.store, world.account, 0);
    for n in 0..200 {
        let calls = [call(&world, &format!("r{n}"), &id, ("a", 1))];
        let before = store.ai().caller(&id).await.unwrap();
        let (keep, fill) = (Credits::ZERO, Credits::ZERO);
        let posting = Posting { account, holder: "ai-1", calls: &calls, keep, fill };
        let post = async {
            store.ledger().post(&posting).await.unwrap();
        };
        let switch = async {
            if n % 3 > 0 {
                // Another one each time.
                let on = Some((n + n / 3) % 2 == 0);
                choose(&other, &id, |settings| settings.choice.enabled = on).await;
                let caller = store.ai().caller(&id).await.unwrap();
                assert_eq!(Some(caller.enabled), on, "{n}");
            }
        };
        tokio::join!(post, switch);
        let after = store.ai().caller(&id).await.unwrap();
        reused += usize::from(std::sync::Arc::ptr_eq(&before, &after));
    }
    // Where this process alone has written, and it is known without asking.
    let expected = match world.database {
        Database::Sqlite { .. } => 60..=70,
        Database::Postgres(..) => 0..=0,
    };
    assert!(expected.contains(&reused), "{reused}");
}

/// Leases that write nothing are no commits, so that one of another process is not taken for theirs.
pub(crate) async fn a_switch_counts_beside_leases_that_change_nothing(world: World) {
    let (id, other) = (made(&world).await, world.another_store().await);
    let (ledger, none) = (world.store.ledger(), (Credits::ZERO, Credits::ZERO));
    let too_much = (Credits::MAX, Credits::MAX);
    crate::ledger::limit(&world.store, world.account, Some(1)).await;
    for n in 0..100 {
        world.store.ai().caller(&id).await.unwrap();
        let on = Some(n % 2 == 0);
        let lease = async {
            ledger.lease(world.account, "ai-1", none).await.unwrap();
            ledger.lease(world.account, "ai-1", too_much).await.unwrap_err();
        };
        let switch = choose(&other, &id, |settings| settings.choice.enabled = on);
        tokio::join!(lease, switch);
        assert_eq!(Some(world.store.ai().caller(&id).await.unwrap().enabled), on, "{n}");
    }
}

/// A process that closes any descriptor of a file loses all its locks on it: SQLite's would be gone with them.
pub(crate) async fn looking_at_the_index_takes_no_lock_from_sqlite(world: World) {
    let StoreUrl::Sqlite(path) = &world.url else { return };
    let id = made(&world).await;
    let inode = std::fs::metadata(format!("{path}-shm")).unwrap().ino();
    let locks = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().filter(|line| line.contains(&format!(":{inode} "))).count()
    };
    assert!(locks() > 0);
    let other = world.another_store().await;
    for _ in 0..1_000 {
        other.ai().caller(&id).await.unwrap();
        world.store.ai().caller(&id).await.unwrap();
    }
    other.close().await;
    drop(other);
    assert!(locks() > 0);
}

pub(crate) async fn a_disabled_account_is_told_to_the_proxy(world: World) {
    let id = made(&world).await;
    let disable = |_: &_, profile: &mut Profile| {
        profile.disabled_at = Some(Timestamp::from_micros(1));
        Ok::<_, Infallible>(())
    };
    world.store.accounts().change(world.account, disable).await.unwrap();
    assert!(world.store.ai().caller(&id).await.unwrap().account_disabled);
}

/// Rows for a test of whole databases.
pub(crate) async fn fill(store: &Store, account: AccountId, id: &WorkspaceId) {
    let keys = [put(AiProvider::Openai, &[0, 255, 7])];
    store.ai().account_change(account, &keys, |it| it.enabled = Some(false)).await.unwrap();
    let edit = |settings: &mut AiSettings| {
        settings.choice.guest_enabled = Some(true);
        Ok::<_, StoreError>(vec![put(AiProvider::Google, b"own")])
    };
    store.ai().workspace_change(id, edit).await.unwrap();
}

fn call(world: &World, id: &str, workspace: &WorkspaceId, (model, charge): (&str, i64)) -> Call {
    let now = world.store.now();
    Call {
        request_id: id.to_owned(),
        account: world.account,
        workspace: workspace.clone(),
        provider: "openai".to_owned(),
        model: model.to_owned(),
        operation: "chat_completion".to_owned(),
        mode: "managed".to_owned(),
        subject: (model == "b").then(|| "alice".to_owned()),
        charge: Credits::from_micro(charge).unwrap(),
        input_tokens: 10,
        cached_tokens: 0,
        output_tokens: 3,
        reasoning_tokens: 0,
        basis: "reported".to_owned(),
        status: 200,
        began_at: now,
        ended_at: now,
    }
}

pub(crate) async fn what_calls_have_used_is_added_up(world: World) {
    let (usage, start) = (world.store.ai_usage(), world.store.now());
    let (id, gone) = (made(&world).await, crate::kit::workspace_id(999));
    let old = call(&world, "r0", &id, ("a", 1_000_000));
    world.clock.turn(600 * SECOND);
    let since = world.store.now();
    let first = call(&world, "r1", &id, ("a", 5));
    world.clock.turn(60 * SECOND);
    let calls =
        [old, first, call(&world, "r2", &id, ("b", 7)), call(&world, "r3", &gone, ("b", 20))];
    let posting = Posting {
        account: world.account,
        holder: "ai-1",
        calls: &calls,
        keep: Credits::ZERO,
        fill: Credits::ZERO,
    };
    world.store.ledger().post(&posting).await.unwrap();

    let used = |charged_micro, requests| Used {
        charged_micro,
        input_tokens: 10 * requests,
        output_tokens: 3 * requests,
        requests,
    };
    let (account, of_it) = (CallsOf::Account(world.account), CallsOf::Workspace(id.clone()));
    assert_eq!(usage.totals(&account, since).await.unwrap(), used(32, 3));
    assert_eq!(usage.totals(&of_it, since).await.unwrap(), used(12, 2));
    let nobody = CallsOf::Account(crate::kit::account(7));
    assert_eq!(usage.totals(&nobody, since).await.unwrap(), Used::default());
    assert_eq!(usage.of_subject(&id, "alice", since).await.unwrap(), used(7, 1));
    assert_eq!(usage.of_subject(&id, "bob", since).await.unwrap(), Used::default());

    let steps = usage.steps(&account, (start, 60)).await.unwrap();
    let at = |seconds: i64| Timestamp::from_micros(start.as_micros() + seconds * SECOND);
    let expected = [(at(0), used(1_000_000, 1)), (at(600), used(5, 1)), (at(660), used(27, 2))];
    assert_eq!(steps, expected);

    let models = usage.by_model(&account, since).await.unwrap();
    let models: Vec<_> = models.into_iter().map(|of| (of.provider, of.model, of.used)).collect();
    let openai = || "openai".to_owned();
    let expected =
        [(openai(), "b".to_owned(), used(27, 2)), (openai(), "a".to_owned(), used(5, 1))];
    assert_eq!(models, expected);

    let workspaces = usage.by_workspace(world.account, since).await.unwrap();
    let workspaces: Vec<_> =
        workspaces.into_iter().map(|of| (of.workspace, of.name, of.used)).collect();
    let name = world.store.workspaces().get(&id).await.unwrap().name.to_string();
    let named = Some(name);
    let expected = [(gone.clone(), None, used(20, 1)), (id.clone(), named.clone(), used(12, 2))];
    assert_eq!(workspaces, expected);

    let details = usage.details(world.account, (since, 60)).await.unwrap();
    let line = |seconds, (workspace, name), (model, micro): (&str, i64)| UsedInStep {
        begins: at(seconds),
        workspace,
        name,
        of: UsedByModel { provider: openai(), model: model.to_owned(), used: used(micro, 1) },
    };
    let expected = [
        line(660, (gone, None), ("b", 20)),
        line(660, (id.clone(), named.clone()), ("b", 7)),
        line(600, (id, named), ("a", 5)),
    ];
    assert_eq!(details, expected);
}
