use std::convert::Infallible;

use camino::Utf8Path;
use futures_util::future::join_all;
use rigbox_store::{
    StoreUrl, SystemClock,
    accounts::{Preferences, Profile},
    ledger::{Balance, Outcome, Stale, Verdict},
};
use rigbox_types::{Quotas, Timestamp};

use super::*;
use crate::journal::{Beginning, End};

struct World {
    folder: tempfile::TempDir,
    store: Store,
    account: AccountId,
}

impl World {
    /// An account with so many credits a month; none for no limit.
    async fn new(credits: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("rigbox.db");
        let url: StoreUrl = format!("sqlite:{path}").parse().unwrap();
        let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
        let account: AccountId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let profile = Profile {
            email: None,
            display_name: None,
            plan: "operator".parse().unwrap(),
            overrides: Quotas::default(),
            disabled_at: None,
            preferences: Preferences::default(),
        };
        store.accounts().insert_user(account, &profile, None).await.unwrap();
        let edit = |_: &_, profile: &mut Profile| {
            profile.overrides = Quotas { max_ai_credits_per_month: credits, ..Quotas::default() };
            Ok::<_, Infallible>(())
        };
        store.accounts().change(account, edit).await.unwrap();
        Self { folder, store, account }
    }

    fn purse(&self, holder: &str) -> Purse {
        let journal = Utf8Path::from_path(self.folder.path()).unwrap().join("journal");
        Purse::new(self.store.clone(), Journal::open(&journal, holder).unwrap())
    }

    async fn balance(&self) -> Balance {
        self.store.ledger().balance(self.account).await.unwrap()
    }

    fn call(&self, id: CallId, charge: i64) -> Call {
        let beginning = Beginning {
            account: self.account,
            workspace: "ws-aaaaaaaa".parse().unwrap(),
            provider: "openai".to_owned(),
            model: "gpt-5-mini".to_owned(),
            operation: "chat_completion".to_owned(),
            mode: "managed".to_owned(),
            subject: None,
            held: Credits::ZERO,
            at: Timestamp::from_micros(1),
        };
        let end = End { charge: micro(charge), basis: "reported".to_owned(), ..End::default() };
        beginning.call(id, &end)
    }
}

fn micro(micro: i64) -> Credits {
    Credits::from_micro(micro).unwrap()
}

async fn whole(store: &Store) {
    let verdict = store.ledger().verify().await.unwrap();
    assert!(matches!(verdict, Verdict::Whole(_)), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a13_of_a_thousand_at_once_as_many_pass_as_the_balance_pays_for() {
    let world = World::new(Some(100)).await;
    let purse = world.purse("ai-1");
    let each = micro(1_000_000);
    let holds = (0..1_000).map(|_| {
        let (purse, account) = (purse.clone(), world.account);
        tokio::spawn(async move { purse.hold(account, each).await })
    });
    let mut held = Vec::new();
    let mut refused = 0;
    for hold in join_all(holds).await {
        match hold.unwrap() {
            Ok(hold) => held.push(hold),
            Err(HoldError::Exhausted(short)) => {
                assert_eq!((short.needed, short.balance), (each, micro(100_000_000)));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((held.len(), refused), (100, 900));
    for (number, hold) in held.into_iter().enumerate() {
        let id = CallId::from_u128(u128::try_from(number).unwrap());
        hold.settle(id, world.call(id, 999_999));
    }
    // What is over counts before it is posted.
    let short = purse.hold(world.account, micro(101)).await.err().unwrap();
    assert!(matches!(short, HoldError::Exhausted(short) if short.fits() == micro(100)), "{short}");
    drop(purse.hold(world.account, micro(100)).await.unwrap());
    purse.close().await;
    let balance = world.balance().await;
    assert_eq!((balance.total(), balance.held), (micro(100), Credits::ZERO));
    whole(&world.store).await;
}

#[tokio::test]
async fn what_was_not_used_is_given_back_and_what_was_posted_is_not_posted_again() {
    let world = World::new(Some(10)).await;
    let purse = world.purse("ai-1");
    let hold = purse.hold(world.account, micro(2_000_000)).await.unwrap();
    assert!(world.balance().await.held >= micro(2_000_000));
    let id = CallId::from_u128(1);
    hold.settle(id, world.call(id, 1));
    drop(purse.hold(world.account, micro(3_000_000)).await.unwrap());
    purse.close().await;
    purse.close().await;
    let balance = world.balance().await;
    assert_eq!((balance.total(), balance.held), (micro(9_999_999), Credits::ZERO));
    assert!(purse.accounts().is_empty());
    whole(&world.store).await;
}

#[tokio::test]
async fn what_was_leased_for_a_caller_who_had_gone_is_not_lost() {
    let world = World::new(Some(1)).await;
    let purse = world.purse("ai-1");
    let all = micro(1_000_000);
    // Whatever the database was about when a caller went, the next one can hold all of it.
    for yields in 0..40_u32 {
        let (asked, account) = (purse.clone(), world.account);
        let asking = tokio::spawn(async move { asked.hold(account, all).await.map(drop) });
        for _ in 0..yields * yields {
            tokio::task::yield_now().await;
        }
        asking.abort();
        drop(asking.await);
        drop(purse.hold(world.account, all).await.unwrap());
        purse.close().await;
        assert_eq!(world.balance().await.held, Credits::ZERO);
    }
    let account = purse.account(world.account);
    account.asks(&account.ledger().await);
    world.store.ledger().lease(world.account, "ai-1", (all, all)).await.unwrap();
    drop(account);
    purse.close().await;
    assert_eq!(world.balance().await.held, Credits::ZERO);
    whole(&world.store).await;
}

#[tokio::test]
async fn what_was_leased_and_not_heard_of_is_there_for_the_next_call() {
    let world = World::new(Some(1)).await;
    let purse = world.purse("ai-1");
    let account = purse.account(world.account);
    account.asks(&account.ledger().await);
    let all = micro(1_000_000);
    world.store.ledger().lease(world.account, "ai-1", (all, all)).await.unwrap();
    assert_eq!(purse.hold(world.account, all).await.unwrap().amount(), all);
}

#[tokio::test]
async fn an_account_without_a_limit_holds_nothing_and_is_charged_all_the_same() {
    let world = World::new(None).await;
    let purse = world.purse("ai-1");
    let hold = purse.hold(world.account, Credits::MAX).await.unwrap();
    assert_eq!(world.balance().await.held, Credits::ZERO);
    let id = CallId::from_u128(1);
    hold.settle(id, world.call(id, 5));
    purse.close().await;
    assert_eq!(world.balance().await.used, micro(5));
    whole(&world.store).await;
}

#[tokio::test]
async fn what_a_killed_process_held_is_given_back_by_the_next_one() {
    let world = World::new(Some(10)).await;
    let purse = world.purse("ai-1");
    let hold = purse.hold(world.account, micro(10_000_000)).await.unwrap();
    let short = purse.hold(world.account, micro(1)).await.err().unwrap();
    assert!(matches!(short, HoldError::Exhausted(_)), "{short}");
    // Killed: what it holds nobody gives back.
    std::mem::forget(hold);
    world.store.ledger().recover(Stale::Of("ai-1"), Outcome::Release).await.unwrap();
    assert_eq!(world.balance().await.held, Credits::ZERO);
    whole(&world.store).await;
}
