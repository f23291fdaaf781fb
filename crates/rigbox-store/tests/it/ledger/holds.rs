//! Holds, and how they end: by whom at once, how often, late, or by nobody.

use futures_util::future::join_all;
use rigbox_store::ledger::{Exhausted, LedgerError, NewHold, Outcome, Stale};
use rigbox_types::Credits;

use super::{DAY, balance, credits, entries, hold, limit, said, settle, top_up, whole};
use crate::kit::{SECOND, World, account};

pub(crate) async fn of_many_holds_at_once_as_many_pass_as_the_balance_pays_for(world: World) {
    limit(&world.store, world.account, Some(3)).await;
    let other = world.another_store().await;
    let stores = [&world.store, &other];
    let holds = (0..100).zip(stores.iter().cycle()).map(|(n, store)| {
        let (store, account) = ((*store).clone(), world.account);
        let one = async move { hold(&store, account, &format!("r{n}"), credits("1")).await };
        tokio::spawn(one)
    });
    let mut passed = 0;
    for held in join_all(holds).await {
        match held.unwrap() {
            Ok(held) => {
                passed += 1;
                assert!(!held.repeated);
            }
            Err(LedgerError::Exhausted(short)) => {
                let all =
                    Exhausted { balance: credits("3"), held: credits("3"), needed: credits("1") };
                assert_eq!(short, all);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(passed, 3);
    assert_eq!(said(&balance(&world).await), ["3", "0", "3", "0"]);
    // The grant was made once, whoever was first.
    assert_eq!(entries(&world.store, world.account).await.len(), 1);
    whole(&world.store).await;
}

pub(crate) async fn a_call_is_charged_once_whatever_it_was_held_for(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(10)).await;
    hold(store, account, "r1", credits("4")).await.unwrap();
    // A repeat of the same is the same; of another is none.
    assert!(hold(store, account, "r1", credits("4")).await.unwrap().repeated);
    let other = hold(store, account, "r1", credits("5")).await.unwrap_err();
    assert!(matches!(other, LedgerError::Different(_)), "{other}");
    world.add_account(2).await;
    let theirs = hold(store, self::account(2), "r1", credits("4")).await.unwrap_err();
    assert!(matches!(theirs, LedgerError::Different(_)), "{theirs}");

    let first = settle(store, "r1", "1.000001").await;
    assert_eq!(said(&first.balance), ["8.999999", "0", "0", "1.000001"]);
    let again = settle(store, "r1", "7").await;
    assert_eq!((again.entry, again.repeated), (first.entry, true));
    let ended = hold(store, account, "r1", credits("4")).await.unwrap_err();
    assert!(matches!(ended, LedgerError::Ended(_)), "{ended}");

    // More than was held, and more than there is.
    top_up(store, account, "2", "k").await;
    hold(store, account, "r2", credits("1")).await.unwrap();
    let beyond = settle(store, "r2", "13").await;
    assert_eq!(said(&beyond.balance), ["0", "-2.000001", "0", "14.000001"]);
    let refused = hold(store, account, "r3", Credits::ZERO).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Exhausted(_)), "{refused}");
    // What comes pays that first.
    let balance = top_up(store, account, "5", "k2").await;
    assert_eq!(said(&balance), ["0", "2.999999", "0", "14.000001"]);
    hold(store, account, "r4", credits("2")).await.unwrap();
    let free = settle(store, "r4", "0").await;
    assert_eq!((free.entry, free.balance.held), (None, Credits::ZERO));
    let missing = store.ledger().settle("r9", credits("1"), "a model").await.unwrap_err();
    assert!(matches!(missing, LedgerError::NoHold(_)), "{missing}");
    let totals = whole(store).await;
    assert_eq!(totals.books["revenue"], 14_000_001);
}

pub(crate) async fn a_hold_is_given_back_once_and_a_late_charge_still_counts(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(10)).await;
    hold(store, account, "r1", credits("4")).await.unwrap();
    for _ in 0..2 {
        let released = store.ledger().release("r1").await.unwrap();
        assert_eq!(said(&released.balance), ["10", "0", "0", "0"]);
    }
    let ended = hold(store, account, "r1", credits("4")).await.unwrap_err();
    assert!(matches!(ended, LedgerError::Ended(_)), "{ended}");
    let late = settle(store, "r1", "3").await;
    assert_eq!(said(&late.balance), ["7", "0", "0", "3"]);
    // What was charged is not given back.
    let released = store.ledger().release("r1").await.unwrap();
    assert_eq!((released.entry, released.repeated), (late.entry, true));
    assert_eq!(said(&released.balance), ["7", "0", "0", "3"]);
    // Released holds are forgotten when no call lasts as long; settled ones never are.
    hold(store, account, "r2", credits("1")).await.unwrap();
    store.ledger().release("r2").await.unwrap();
    world.clock.turn(32 * DAY);
    store.ledger().forget().await.unwrap();
    let gone = store.ledger().release("r2").await.unwrap_err();
    assert!(matches!(gone, LedgerError::NoHold(_)), "{gone}");
    assert!(settle(store, "r1", "9").await.repeated);
    whole(store).await;
}

pub(crate) async fn holds_of_a_process_that_is_gone_are_recovered_once(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(1_000)).await;
    let held = async |request_id: &str, holder: &str| {
        let amount = credits("2");
        let new = NewHold { account, amount, request_id, actor: "workspace:ws-1", holder };
        store.ledger().hold(&new).await.unwrap();
    };
    for n in 0..120 {
        held(&format!("a{n}"), "ai-1").await;
    }
    held("b1", "ai-2").await;
    settle(store, "a7", "0.5").await;
    // Two that recover at once end each of them once.
    let other = world.another_store().await;
    let (one, two) = (store.ledger(), other.ledger());
    let (one, two) = tokio::join!(
        one.recover(Stale::Of("ai-1"), Outcome::Charge),
        two.recover(Stale::Of("ai-1"), Outcome::Charge),
    );
    assert_eq!(one.unwrap() + two.unwrap(), 119);
    assert_eq!(said(&balance(&world).await), ["761.5", "0", "2", "238.5"]);
    // A process that was only slow has been charged for already.
    assert!(settle(store, "a8", "1").await.repeated);
    let ended = store.ledger().recover(Stale::NotOf("ai-2"), Outcome::Release).await;
    assert_eq!(ended.unwrap(), 0);
    let started = store.now();
    let ended = store.ledger().recover(Stale::Before(started), Outcome::Release).await;
    assert_eq!(ended.unwrap(), 0);
    world.clock.turn(SECOND);
    let open = store.ledger().stale(Stale::NotOf("ai-1")).await.unwrap();
    assert_eq!((open.len(), open[0].request_id.as_str()), (1, "b1"));
    let ended = store.ledger().recover(Stale::Before(store.now()), Outcome::Release).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(said(&balance(&world).await), ["761.5", "0", "0", "238.5"]);
    whole(store).await;
}

pub(crate) async fn of_many_settlements_at_once_one_charges(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(100)).await;
    hold(store, account, "r1", credits("30")).await.unwrap();
    let other = world.another_store().await;
    let ends = (0..30).map(|n| {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move {
            match n % 3 {
                0 => store.ledger().release("r1").await.unwrap(),
                _ => settle(&store, "r1", &n.to_string()).await,
            }
        })
    });
    let charged: Vec<_> = join_all(ends).await.into_iter().map(Result::unwrap).collect();
    let first = charged.iter().find(|end| !end.repeated && end.entry.is_some()).unwrap();
    let many = charged.iter().filter(|end| !end.repeated && end.entry.is_some()).count();
    assert_eq!(many, 1);
    let amount = first.entry.as_ref().unwrap().amount;
    let balance = balance(&world).await;
    assert_eq!((balance.held, balance.used), (Credits::ZERO, amount.negated()));
    whole(store).await;
}
