//! The ledger of credits: what is charged, held and granted, by whom at once, and that it adds up.

use std::convert::Infallible;

use futures_util::future::join_all;
use rigbox_store::{
    PageRequest, Store, StoreError,
    accounts::Profile,
    ledger::{
        Balance, Change, Entry, Exhausted, Held, LedgerError, NewHold, Settled, Totals, Verdict,
    },
};
use rigbox_types::{
    AccountId, Credits, Quotas,
    api::credits::{CreditChangeKind, EntryKind},
};
use sqlx::AssertSqlSafe;

use crate::kit::{SECOND, World, account};

mod holds;
mod lease_model;
mod leases;
mod model;

pub(crate) use holds::{
    a_call_is_charged_once_whatever_it_was_held_for,
    a_hold_is_given_back_once_and_a_late_charge_still_counts,
    holds_of_a_process_that_is_gone_are_recovered_once,
    of_many_holds_at_once_as_many_pass_as_the_balance_pays_for,
    of_many_settlements_at_once_one_charges,
};
pub(crate) use lease_model::any_sequence_of_leases_does_what_a_simple_model_says;
pub(crate) use leases::{
    a_call_is_posted_once_whoever_posts_it, a_lease_is_of_what_is_free_and_of_no_more,
    a_posting_that_is_not_right_writes_nothing, an_account_without_a_limit_leases_nothing,
    of_many_leases_at_once_no_more_is_held_than_there_is, of_many_postings_at_once_one_charges,
};
pub(crate) use model::any_sequence_does_what_a_simple_model_says;

const DAY: i64 = 24 * 3_600 * SECOND;

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

/// Gives an account so many credits a month; none for no limit.
pub(crate) async fn limit(store: &Store, account: AccountId, most: Option<u64>) {
    let edit = |_: &_, profile: &mut Profile| {
        profile.overrides = Quotas { max_ai_credits_per_month: most, ..Quotas::default() };
        Ok::<_, Infallible>(())
    };
    store.accounts().change(account, edit).await.unwrap();
}

async fn hold(
    store: &Store,
    account: AccountId,
    request_id: &str,
    amount: Credits,
) -> Result<Held, LedgerError> {
    let new =
        NewHold { account, amount, request_id, actor: "workspace:ws-aaaaaaaa", holder: "ai-1" };
    store.ledger().hold(&new).await
}

async fn settle(store: &Store, request_id: &str, amount: &str) -> Settled {
    store.ledger().settle(request_id, credits(amount), "a model").await.unwrap()
}

async fn change(
    store: &Store,
    account: AccountId,
    (kind, amount, key): (CreditChangeKind, Credits, &str),
) -> Result<(Entry, Balance), LedgerError> {
    let change = Change { account, kind, amount, reason: "as agreed", actor: "key:1", key };
    store.ledger().change(&change).await
}

async fn top_up(store: &Store, account: AccountId, amount: &str, key: &str) -> Balance {
    let what = (CreditChangeKind::TopUp, credits(amount), key);
    change(store, account, what).await.unwrap().1
}

async fn balance_of(store: &Store, account: AccountId) -> Balance {
    store.ledger().balance(account).await.unwrap()
}

async fn balance(world: &World) -> Balance {
    balance_of(&world.store, world.account).await
}

/// Granted, lasting, held and used, as decimals.
fn said(balance: &Balance) -> [String; 4] {
    [balance.granted, balance.lasting, balance.held, balance.used].map(|part| part.to_string())
}

pub(crate) async fn whole(store: &Store) -> Totals {
    match store.ledger().verify().await.unwrap() {
        Verdict::Whole(totals) => {
            assert_eq!(totals.books.values().sum::<i128>(), 0, "{totals:?}");
            totals
        }
        broken @ Verdict::Broken { .. } => panic!("{broken:?}"),
    }
}

/// Something in every table of the ledger.
pub(crate) async fn fill(store: &Store, account: AccountId) {
    limit(store, account, Some(10)).await;
    top_up(store, account, "0.5", "k").await;
    for id in ["r1", "r2", "r3"] {
        hold(store, account, id, credits("1")).await.unwrap();
    }
    settle(store, "r1", "0.000001").await;
    store.ledger().release("r2").await.unwrap();
}

/// Writes past the store.
async fn edit(world: &World, text: &str) {
    let text = AssertSqlSafe(text.to_owned());
    sqlx::query(text).execute(&mut world.raw().await).await.unwrap();
}

/// Kinds and amounts of all entries, oldest first.
async fn entries(store: &Store, account: AccountId) -> Vec<(EntryKind, String)> {
    let page = PageRequest { limit: 200, cursor: None };
    let page = store.ledger().statement(account, &page).await.unwrap();
    page.items.iter().rev().map(|entry| (entry.kind, entry.amount.to_string())).collect()
}

pub(crate) async fn a_month_has_one_grant_and_what_is_left_expires(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(250)).await;
    let looks = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.ledger().balance(account).await.unwrap() })
    });
    for look in join_all(looks).await {
        assert_eq!(said(&look.unwrap()), ["250", "0", "0", "0"]);
    }
    top_up(store, account, "10", "k").await;
    hold(store, account, "r1", credits("60")).await.unwrap();
    settle(store, "r1", "50").await;
    hold(store, account, "r2", credits("30")).await.unwrap();
    world.clock.turn(31 * DAY);
    // What was granted is gone, what was given stays; what is held is held of the new one.
    assert_eq!(said(&balance(&world).await), ["250", "10", "30", "0"]);
    // A call is charged in the month in which it ends.
    assert_eq!(said(&settle(store, "r2", "255").await.balance), ["0", "5", "0", "255"]);
    // A debt is paid by the next grant.
    hold(store, account, "r3", credits("1")).await.unwrap();
    settle(store, "r3", "7.5").await;
    // A clock that goes back makes no month anew.
    world.clock.turn(-62 * DAY);
    assert_eq!(said(&balance(&world).await), ["0", "-2.5", "0", "262.5"]);
    world.clock.turn((62 + 31) * DAY);
    assert_eq!(said(&balance(&world).await), ["247.5", "0", "0", "0"]);
    let expected = [
        (EntryKind::Grant, "250"),
        (EntryKind::TopUp, "10"),
        (EntryKind::Charge, "-50"),
        (EntryKind::Expiry, "-200"),
        (EntryKind::Grant, "250"),
        (EntryKind::Charge, "-255"),
        (EntryKind::Charge, "-7.5"),
        (EntryKind::Grant, "250"),
    ];
    let expected = expected.map(|(kind, amount)| (kind, amount.to_owned()));
    assert_eq!(entries(store, account).await, expected);
    assert_eq!(whole(store).await.books["expired"], 200_000_000);
}

pub(crate) async fn another_plan_gives_the_difference_and_takes_nothing(world: World) {
    let (store, account) = (&world.store, world.account);
    world.quota("free", Quotas::default()).await;
    assert_eq!(said(&balance(&world).await), ["250", "0", "0", "0"]);
    hold(store, account, "r1", credits("100")).await.unwrap();
    settle(store, "r1", "100").await;
    world.quota("pro", Quotas::default()).await;
    assert_eq!(said(&balance(&world).await), ["1900", "0", "0", "100"]);
    for plan in ["free", "pro"] {
        world.quota(plan, Quotas::default()).await;
        assert_eq!(said(&balance(&world).await), ["1900", "0", "0", "100"]);
    }
    // From the next month on there is what the plan has then.
    world.quota("free", Quotas::default()).await;
    world.clock.turn(31 * DAY);
    assert_eq!(said(&balance(&world).await), ["250", "0", "0", "0"]);
    limit(store, account, Some(0)).await;
    world.clock.turn(31 * DAY);
    assert_eq!(said(&balance(&world).await), ["0", "0", "0", "0"]);
    whole(store).await;
}

pub(crate) async fn an_account_without_a_limit_is_granted_what_it_uses(world: World) {
    let (store, account) = (&world.store, world.account);
    assert!(balance(&world).await.unlimited);
    hold(store, account, "r1", credits("1000000")).await.unwrap();
    let settled = settle(store, "r1", "0.25").await;
    assert_eq!(said(&settled.balance), ["0", "0", "0", "0.25"]);
    top_up(store, account, "5", "k").await;
    hold(store, account, "r2", credits("1")).await.unwrap();
    assert_eq!(said(&settle(store, "r2", "1").await.balance), ["0", "5", "0", "1.25"]);
    let expected = [
        (EntryKind::Grant, "0.25"),
        (EntryKind::Charge, "-0.25"),
        (EntryKind::TopUp, "5"),
        (EntryKind::Grant, "1"),
        (EntryKind::Charge, "-1"),
    ];
    let expected = expected.map(|(kind, amount)| (kind, amount.to_owned()));
    assert_eq!(entries(store, account).await, expected);
    // With a limit from now on, what is held is charged like any other.
    hold(store, account, "r3", credits("7")).await.unwrap();
    limit(store, account, Some(1)).await;
    assert_eq!(said(&settle(store, "r3", "7").await.balance), ["0", "-1", "0", "8.25"]);
    // Without one again, what is owed stays as it is.
    limit(store, account, None).await;
    hold(store, account, "r4", credits("7")).await.unwrap();
    assert_eq!(said(&settle(store, "r4", "2").await.balance), ["0", "-1", "0", "10.25"]);
    whole(store).await;
}

pub(crate) async fn an_operator_gives_and_takes_once_for_each_key(world: World) {
    use CreditChangeKind::{Adjustment, TopUp};
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(10)).await;
    let gifts = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { change(&store, account, (TopUp, credits("5"), "k1")).await })
    });
    let mut first = Vec::new();
    for gift in join_all(gifts).await {
        first.push(gift.unwrap().unwrap().0);
    }
    assert!(first.iter().all(|entry| *entry == first[0]), "{first:?}");
    assert_eq!(said(&balance(&world).await), ["10", "5", "0", "0"]);
    let other = change(store, account, (TopUp, credits("6"), "k1")).await.unwrap_err();
    assert!(matches!(other, LedgerError::Different(_)), "{other}");
    // What lasts is taken first.
    let (_, balance) = change(store, account, (Adjustment, credits("-7"), "k2")).await.unwrap();
    assert_eq!(said(&balance), ["8", "0", "0", "0"]);
    let short = change(store, account, (Adjustment, credits("-8.000001"), "k3")).await;
    let needed = credits("8.000001");
    match short.unwrap_err() {
        LedgerError::Exhausted(short) => {
            assert_eq!(short, Exhausted { balance: credits("8"), held: Credits::ZERO, needed });
        }
        other => panic!("{other}"),
    }
    change(store, account, (Adjustment, credits("0.5"), "k3")).await.unwrap();
    for (kind, amount) in [(TopUp, "0"), (TopUp, "-1"), (Adjustment, "0")] {
        let refused = change(store, account, (kind, credits(amount), "k4")).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Amount), "{refused}");
    }
    let unnamed = Change {
        account,
        kind: TopUp,
        amount: credits("1"),
        reason: " ",
        actor: "key:1",
        key: "k5",
    };
    let refused = store.ledger().change(&unnamed).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Text("reason")), "{refused}");
    let nobody = Change { account: self::account(77), reason: "so", ..unnamed };
    let refused = store.ledger().change(&nobody).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Store(StoreError::NotFound { .. })), "{refused}");
    let totals = whole(store).await;
    assert_eq!((totals.books["top_ups"], totals.books["adjustments"]), (-5_000_000, 6_500_000));
}

pub(crate) async fn numbers_beyond_the_bounds_are_refused(world: World) {
    let (store, account) = (&world.store, world.account);
    // A plan may have more than any account.
    limit(store, account, Some(1_000_000_000_000)).await;
    assert_eq!(said(&balance(&world).await)[0], "1000000000");
    let what = (CreditChangeKind::TopUp, credits("0.000001"), "k");
    let over = change(store, account, what).await.unwrap_err();
    assert!(matches!(over, LedgerError::Bounds), "{over}");
    hold(store, account, "r1", Credits::MAX).await.unwrap();
    let short = hold(store, account, "r2", credits("0.000001")).await.unwrap_err();
    assert!(matches!(short, LedgerError::Exhausted(_)), "{short}");
    limit(store, account, None).await;
    let over = hold(store, account, "r2", credits("0.000001")).await.unwrap_err();
    assert!(matches!(over, LedgerError::Bounds), "{over}");
    let below = hold(store, account, "r3", credits("-1")).await.unwrap_err();
    assert!(matches!(below, LedgerError::Amount), "{below}");
    let below = store.ledger().settle("r1", credits("-1"), "a model").await.unwrap_err();
    assert!(matches!(below, LedgerError::Amount), "{below}");
    for id in ["", "a\nb", &"x".repeat(129), "ü"] {
        let odd = hold(store, account, id, credits("1")).await.unwrap_err();
        assert!(matches!(odd, LedgerError::Text("request id")), "{odd}");
    }
    assert_eq!(balance(&world).await.held, Credits::MAX);
    whole(store).await;
}

pub(crate) async fn nothing_in_the_ledger_is_changed_or_deleted(world: World) {
    top_up(&world.store, world.account, "5", "k").await;
    let mut connection = world.raw().await;
    for text in [
        "UPDATE ledger_entries SET amount_micro = 6000000",
        "UPDATE ledger_postings SET amount_micro = 6000000 WHERE line = 0",
        "DELETE FROM ledger_postings",
        "DELETE FROM ledger_entries",
    ] {
        let refused = sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("the ledger is only added to"), "{text}: {refused}");
    }
    let by_force = match world.database {
        crate::kit::Database::Sqlite { .. } => {
            "INSERT OR REPLACE INTO ledger_entries SELECT account_id, seq, at, kind, 6000000, \
             balance_micro, reason, actor, entry_key FROM ledger_entries"
        }
        crate::kit::Database::Postgres(_) => "TRUNCATE ledger_postings",
    };
    let refused = sqlx::query(AssertSqlSafe(by_force)).execute(&mut connection).await.unwrap_err();
    assert!(refused.to_string().contains("the ledger is only added to"), "{refused}");
    whole(&world.store).await;
}

pub(crate) async fn what_was_tampered_with_is_found_by_a_recomputation(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(10)).await;
    hold(store, account, "r1", credits("2")).await.unwrap();
    settle(store, "r1", "1").await;
    hold(store, account, "r2", credits("2")).await.unwrap();
    whole(store).await;
    for (change, back, expected) in [
        ("lasting_micro = 1", "lasting_micro = 0", "the balance is not the sum of the postings"),
        (
            "granted_micro = granted_micro + 1",
            "granted_micro = granted_micro - 1",
            "the balance is not the sum of the postings",
        ),
        ("held_micro = 0", "held_micro = 2000000", "what is held is not the sum of the holds"),
        ("entries = 3", "entries = 2", "this entry and those after it are gone"),
        ("entries = 1", "entries = 2", "there are more entries than the account knows of"),
    ] {
        edit(&world, &format!("UPDATE ledger_accounts SET {change}")).await;
        match store.ledger().verify().await.unwrap() {
            Verdict::Broken { account: whose, what, .. } => {
                assert_eq!((whose, what), (account, expected));
            }
            whole @ Verdict::Whole(_) => panic!("{change}: {whole:?}"),
        }
        edit(&world, &format!("UPDATE ledger_accounts SET {back}")).await;
    }
    let free = "UPDATE ledger_holds SET settled_micro = 2 WHERE request_id = 'r1'";
    edit(&world, free).await;
    let verdict = store.ledger().verify().await.unwrap();
    assert!(matches!(verdict, Verdict::Broken { .. }), "{verdict:?}");
    edit(&world, "UPDATE ledger_holds SET settled_micro = 1000000 WHERE request_id = 'r1'").await;
    edit(&world, "DELETE FROM ledger_holds WHERE request_id = 'r1'").await;
    let verdict = store.ledger().verify().await.unwrap();
    assert!(matches!(verdict, Verdict::Broken { .. }), "{verdict:?}");
}

pub(crate) async fn a_statement_comes_page_by_page(world: World) {
    let (store, account) = (&world.store, world.account);
    limit(store, account, Some(1)).await;
    world.add_account(2).await;
    top_up(store, self::account(2), "99", "theirs").await;
    for n in 1..=4 {
        top_up(store, account, &n.to_string(), &format!("k{n}")).await;
    }
    let mut page = PageRequest { limit: 2, cursor: None };
    let mut seen = Vec::new();
    loop {
        let part = store.ledger().statement(account, &page).await.unwrap();
        assert!(part.items.len() <= 2);
        seen.extend(part.items.iter().map(|entry| (entry.seq, entry.balance.to_string())));
        page.cursor = part.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    let expected = [(5, "11"), (4, "7"), (3, "4"), (2, "2"), (1, "1")];
    assert_eq!(seen, expected.map(|(seq, balance)| (seq, balance.to_owned())));
    let wrong = PageRequest { limit: 2, cursor: Some("bm9uZQ".to_owned()) };
    let refused = store.ledger().statement(account, &wrong).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Store(StoreError::InvalidCursor)), "{refused}");
}
