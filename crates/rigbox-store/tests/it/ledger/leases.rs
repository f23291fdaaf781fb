//! Leases: what a process holds for calls that it works on, and what it posts of them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rigbox_store::{
    Store, StoreError,
    ai_calls::Call,
    ledger::{Exhausted, Lease, LedgerError, Outcome, Posting, Stale},
};
use rigbox_types::{AccountId, Credits, Timestamp};

use super::{balance, credits, hold, limit, said, whole};
use crate::kit::{World, account, workspace_id};

pub(super) fn call(account: AccountId, request_id: &str, charge: Credits) -> Call {
    Call {
        request_id: request_id.to_owned(),
        account,
        workspace: workspace_id(1),
        provider: "openai".to_owned(),
        model: "gpt-5-mini".to_owned(),
        operation: "chat_completion".to_owned(),
        mode: "managed".to_owned(),
        subject: Some("ada".to_owned()),
        charge,
        input_tokens: 10,
        cached_tokens: 0,
        output_tokens: 1,
        reasoning_tokens: 0,
        basis: "reported".to_owned(),
        status: 200,
        began_at: Timestamp::from_micros(1),
        ended_at: Timestamp::from_micros(2),
    }
}

pub(super) async fn post(
    store: &Store,
    (account, holder): (AccountId, &str),
    calls: &[Call],
    keep: Credits,
) -> Result<Lease, LedgerError> {
    store.ledger().post(&Posting { account, holder, calls, keep, fill: Credits::ZERO }).await
}

async fn lease(
    world: &World,
    holder: &str,
    (least, most): (&str, &str),
) -> Result<Lease, LedgerError> {
    let range = (credits(least), credits(most));
    world.store.ledger().lease(world.account, holder, range).await
}

pub(crate) async fn a_lease_is_of_what_is_free_and_of_no_more(world: World) {
    limit(&world.store, world.account, Some(10)).await;
    hold(&world.store, world.account, "r1", credits("1")).await.unwrap();
    let first = lease(&world, "ai-1", ("4", "5")).await.unwrap();
    assert_eq!(first.amount, credits("5"));
    assert_eq!(said(&first.balance), ["10", "0", "6", "0"]);
    let second = lease(&world, "ai-2", ("3", "20")).await.unwrap();
    assert_eq!(second.amount, credits("4"));
    let short = lease(&world, "ai-1", ("0.000001", "1")).await.unwrap_err();
    let LedgerError::Exhausted(short) = short else { panic!("{short}") };
    let ten = credits("10");
    assert_eq!(short, Exhausted { balance: ten, held: ten, needed: credits("0.000001") });
    // Nothing more is always there, and says what is leased.
    assert_eq!(lease(&world, "ai-1", ("0", "0")).await.unwrap().amount, credits("5"));
    for (holder, range) in [("ai-1", ("-1", "1")), ("ai-1", ("2", "1"))] {
        let error = lease(&world, holder, range).await.unwrap_err();
        assert!(matches!(error, LedgerError::Amount), "{error}");
    }
    for holder in ["", "a\nb", &"a".repeat(65)] {
        let error = lease(&world, holder, ("0", "1")).await.unwrap_err();
        assert!(matches!(error, LedgerError::Text("holder")), "{error}");
    }
    // What one that is gone held is free again, what the others hold is not.
    let ended = world.store.ledger().recover(Stale::Of("ai-1"), Outcome::Release).await;
    // The hold of this name, too.
    assert_eq!(ended.unwrap(), 2);
    assert_eq!(balance(&world).await.held, credits("4"));
    assert_eq!(lease(&world, "ai-1", ("6", "6")).await.unwrap().amount, credits("6"));
    for holder in ["ai-1", "ai-2"] {
        let of = (world.account, holder);
        let left = post(&world.store, of, &[], Credits::ZERO).await.unwrap();
        assert_eq!(left.amount, Credits::ZERO);
    }
    assert!(world.store.ledger().stale(Stale::NotOf("")).await.unwrap().is_empty());
    whole(&world.store).await;
}

pub(crate) async fn an_account_without_a_limit_leases_nothing(world: World) {
    limit(&world.store, world.account, None).await;
    let most = (Credits::MAX, Credits::MAX);
    let leased = world.store.ledger().lease(world.account, "ai-1", most).await.unwrap();
    assert_eq!((leased.amount, leased.balance.unlimited), (Credits::ZERO, true));
    let calls = [call(world.account, "r1", credits("5"))];
    let left = post(&world.store, (world.account, "ai-1"), &calls, Credits::MAX).await.unwrap();
    assert_eq!((left.amount, left.balance.used), (Credits::ZERO, credits("5")));
    // Beyond what may be charged: nothing of it is.
    let calls = [call(world.account, "r2", credits("1")), call(world.account, "r3", Credits::MAX)];
    let error = post(&world.store, (world.account, "ai-1"), &calls, Credits::MAX).await;
    assert!(matches!(error, Err(LedgerError::Bounds)), "{error:?}");
    assert_eq!(balance(&world).await.used, credits("5"));
    let again = post(&world.store, (world.account, "ai-1"), &calls[..1], Credits::MAX).await;
    assert_eq!(again.unwrap().balance.used, credits("6"));
    whole(&world.store).await;
}

pub(crate) async fn a_call_is_posted_once_whoever_posts_it(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(10)).await;
    lease(&world, "ai-1", ("6", "6")).await.unwrap();
    let calls =
        [("r1", "1"), ("r2", "2"), ("r3", "0")].map(|it| call(account, it.0, credits(it.1)));
    let left = post(store, (account, "ai-1"), &calls[..2], credits("2.5")).await.unwrap();
    assert_eq!((left.amount, left.balance.total()), (credits("2.5"), credits("7")));
    // Again, out of order, twice in one posting, with another charge, by another process.
    let dearer = call(account, "r1", credits("7"));
    let mixed = [calls[2].clone(), calls[1].clone(), dearer, calls[2].clone(), calls[0].clone()];
    for holder in ["ai-1", "ai-2"] {
        let left = post(store, (account, holder), &mixed, credits("2.5")).await.unwrap();
        assert_eq!(left.balance.total(), credits("7"), "{holder}");
    }
    let spent =
        store.ai_calls().spent(account, "ada", (Timestamp::from_micros(0), &[])).await.unwrap();
    assert_eq!((spent.requests, spent.charged), (3, credits("3")));
    // Without those that whoever asks knows of already, and one that is not there.
    let without = (Timestamp::from_micros(0), &["r2".to_owned(), "r9".to_owned()][..]);
    let spent = store.ai_calls().spent(account, "ada", without).await.unwrap();
    assert_eq!((spent.requests, spent.charged), (2, credits("1")));
    // More than is leased, and more than there is: it was used.
    let beyond = [call(account, "r4", credits("9"))];
    let left = post(store, (account, "ai-1"), &beyond, Credits::MAX).await.unwrap();
    assert_eq!((left.amount, left.balance.total()), (Credits::ZERO, credits("-2")));
    assert_eq!(said(&left.balance), ["0", "-2", "0", "12"]);
    // By a process that is gone, and whose lease was given back.
    store.ledger().recover(Stale::Of("ai-1"), Outcome::Release).await.unwrap();
    let late = [call(account, "r5", credits("1"))];
    let left = post(store, (account, "ai-1"), &late, Credits::MAX).await.unwrap();
    assert_eq!(said(&left.balance), ["0", "-3", "0", "13"]);
    whole(store).await;
}

pub(crate) async fn a_posting_that_is_not_right_writes_nothing(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(10)).await;
    lease(&world, "ai-1", ("5", "5")).await.unwrap();
    let good = call(account, "r1", credits("1"));
    let theirs = call(self::account(2), "r2", credits("1"));
    let below = call(account, "r2", credits("-1"));
    let odd = Call { model: "no model".to_owned(), ..call(account, "r2", credits("1")) };
    let long = Call { subject: Some("a".repeat(257)), ..call(account, "r2", credits("1")) };
    for (bad, is_expected) in [
        (theirs, (|it| matches!(it, LedgerError::Store(StoreError::Internal(_)))) as fn(&_) -> _),
        (below, |it| matches!(it, LedgerError::Amount)),
        (odd, |it| matches!(it, LedgerError::Text("model"))),
        (long, |it| matches!(it, LedgerError::Text("subject"))),
    ] {
        let calls = [good.clone(), bad];
        let error = post(store, (account, "ai-1"), &calls, Credits::ZERO).await.unwrap_err();
        assert!(is_expected(&error), "{error}");
    }
    assert_eq!(said(&balance(&world).await), ["10", "0", "5", "0"]);
    let spent =
        store.ai_calls().spent(account, "ada", (Timestamp::from_micros(0), &[])).await.unwrap();
    assert_eq!(spent.requests, 0);
    whole(store).await;
}

pub(crate) async fn of_many_leases_at_once_no_more_is_held_than_there_is(world: World) {
    limit(&world.store, world.account, Some(10)).await;
    let other = world.another_store().await;
    let leases = (0..60).map(|n| {
        let store = if n % 2 == 0 { world.store.clone() } else { other.clone() };
        let (account, holder) = (world.account, format!("ai-{}", n % 6));
        tokio::spawn(async move {
            let range = (credits("0.4"), credits("0.7"));
            match store.ledger().lease(account, &holder, range).await {
                Ok(_) => true,
                Err(LedgerError::Exhausted(_)) => false,
                Err(other) => panic!("{other}"),
            }
        })
    });
    let passed = join_all(leases).await.into_iter().filter(|it| *it.as_ref().unwrap()).count();
    // 14 of 0.7 leave 0.2, which is less than anybody takes.
    assert_eq!((passed, balance(&world).await.held), (14, credits("9.8")));
    whole(&world.store).await;
}

pub(crate) async fn of_many_postings_at_once_one_charges(world: World) {
    limit(&world.store, world.account, Some(100)).await;
    lease(&world, "ai-0", ("50", "50")).await.unwrap();
    let other = world.another_store().await;
    // Each posts some of the same calls, so that all of them are posted by many.
    let posts = (0..30_usize).map(|n| {
        let store = if n % 2 == 0 { world.store.clone() } else { other.clone() };
        let account = world.account;
        tokio::spawn(async move {
            let ids: BTreeSet<usize> = (0..10).map(|m| (n * 7 + m * 3) % 20).collect();
            let calls: Vec<_> =
                ids.iter().map(|id| call(account, &format!("r{id}"), credits("1"))).collect();
            let holder = format!("ai-{}", n % 3);
            post(&store, (account, &holder), &calls, Credits::MAX).await.unwrap();
        })
    });
    for posted in join_all(posts).await {
        posted.unwrap();
    }
    assert_eq!(balance(&world).await.used, credits("20"));
    whole(&world.store).await;
}
