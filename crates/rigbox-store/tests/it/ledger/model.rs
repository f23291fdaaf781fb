//! Any sequence of what can happen, beside a model that fits on a page.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rigbox_store::ledger::{LedgerError, Outcome, Stale};
use rigbox_types::{AccountId, Credits, api::credits::CreditChangeKind};
use tokio::{runtime::Handle, task::block_in_place};

use super::{DAY, balance_of, change, hold, limit, whole};
use crate::kit::{World, account, profile};

#[derive(Debug, Clone)]
enum Step {
    Hold(u8, i64),
    Settle(u8, i64),
    Release(u8),
    TopUp(u8, i64),
    Adjust(u8, i64),
    Limit(Option<u64>),
    NextMonth,
    /// All processes die, and whoever comes after ends what they held.
    Crash(bool),
}

fn step() -> impl Strategy<Value = Step> {
    // Up to three credits, so that a few of them are too many; millionths, so that none is lost.
    let amount = 0..3_000_000_i64;
    prop_oneof![
        4 => (0..8_u8, amount.clone()).prop_map(|(id, amount)| Step::Hold(id, amount)),
        4 => (0..8_u8, amount.clone()).prop_map(|(id, amount)| Step::Settle(id, amount)),
        2 => (0..8_u8).prop_map(Step::Release),
        1 => (0..4_u8, amount.clone()).prop_map(|(key, amount)| Step::TopUp(key, amount)),
        2 => (4..9_u8, -2_000_000..2_000_000_i64).prop_map(|(key, amount)| Step::Adjust(key, amount)),
        1 => prop_oneof![Just(None), (0..5_u64).prop_map(Some)].prop_map(Step::Limit),
        1 => Just(Step::NextMonth),
        1 => any::<bool>().prop_map(Step::Crash),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Held(i64),
    Released(i64),
    Settled,
}

/// What an account should have.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) granted: i64,
    pub(super) lasting: i64,
    pub(super) used: i64,
    given: i64,
    pub(super) limit: Option<i64>,
    calls: BTreeMap<u8, Call>,
    keys: BTreeMap<u8, i64>,
    /// All that came from and went to the platform.
    came: i64,
}

impl Model {
    /// Of an account with so many credits a month.
    pub(super) fn with_limit(credits: i64) -> Self {
        let mut model = Self { limit: Some(credits * 1_000_000), ..Self::default() };
        model.look();
        model
    }

    /// Whether a call was charged.
    pub(super) fn has_charged(&self, id: u8) -> bool {
        self.calls.get(&id) == Some(&Call::Settled)
    }

    /// Whoever looks first makes the grant.
    pub(super) fn look(&mut self) {
        let more = self.limit.map_or(0, |limit| (limit - self.given).max(0));
        self.given += more;
        self.came += more;
        self.lasting += more.min(-self.lasting.min(0));
        // All that came and did not go is somewhere: what does not last was granted.
        self.granted = self.came - self.lasting;
    }

    fn held(&self) -> i64 {
        let held =
            self.calls.values().map(|call| if let Call::Held(held) = call { *held } else { 0 });
        held.sum()
    }

    pub(super) fn total(&self) -> i64 {
        self.granted + self.lasting
    }

    pub(super) fn charge(&mut self, id: u8, amount: i64) {
        self.used += amount;
        if self.limit.is_some() {
            self.came -= amount;
            let granted = amount.min(self.granted);
            self.granted -= granted;
            self.lasting -= amount - granted;
        }
        self.calls.insert(id, Call::Settled);
    }

    /// What calls hold is not taken.
    pub(super) fn change(&mut self, (key, amount): (u8, i64), held: i64) -> bool {
        if self.keys.contains_key(&key) {
            return self.keys[&key] == amount;
        }
        if amount == 0 || (amount < 0 && -amount > self.total() - held) {
            return false;
        }
        self.keys.insert(key, amount);
        self.came += amount;
        if amount >= 0 {
            self.lasting += amount;
        } else {
            let lasting = (-amount).min(self.lasting.max(0));
            self.lasting -= lasting;
            self.granted -= -amount - lasting;
        }
        true
    }

    pub(super) fn next_month(&mut self) {
        self.came -= self.granted;
        (self.granted, self.given, self.used) = (0, 0, 0);
    }
}

pub(super) fn micro(amount: i64) -> Credits {
    Credits::from_micro(amount).unwrap()
}

#[expect(clippy::too_many_lines, reason = "one arm a step")]
async fn play(world: &World, account: AccountId, steps: &[Step]) {
    let store = &world.store;
    store.accounts().insert_user(account, &profile("operator"), None).await.unwrap();
    limit(store, account, Some(3)).await;
    balance_of(store, account).await;
    let mut model = Model::with_limit(3);
    let name = |id: u8| format!("{account}-{id}");
    for step in steps {
        match *step {
            Step::Hold(id, amount) => {
                let done = hold(store, account, &name(id), micro(amount)).await;
                let fits = model.limit.is_none() || model.total() - model.held() >= amount;
                match model.calls.get(&id) {
                    Some(Call::Held(held)) => assert_eq!(done.is_ok(), *held == amount),
                    Some(Call::Released(_) | Call::Settled) => assert!(done.is_err()),
                    None => {
                        assert_eq!(done.is_ok(), fits, "{step:?} {model:?}");
                        if fits {
                            model.calls.insert(id, Call::Held(amount));
                        }
                    }
                }
            }
            Step::Settle(id, amount) => {
                let done = store.ledger().settle(&name(id), micro(amount), "a model").await;
                match model.calls.get(&id) {
                    None => assert!(matches!(done, Err(LedgerError::NoHold(_)))),
                    Some(Call::Settled) => assert!(done.unwrap().repeated),
                    Some(Call::Held(_) | Call::Released(_)) => {
                        assert!(!done.unwrap().repeated);
                        model.charge(id, amount);
                    }
                }
            }
            Step::Release(id) => {
                let done = store.ledger().release(&name(id)).await;
                match model.calls.get(&id).copied() {
                    None => assert!(matches!(done, Err(LedgerError::NoHold(_)))),
                    Some(Call::Held(held)) => drop(model.calls.insert(id, Call::Released(held))),
                    Some(Call::Released(_) | Call::Settled) => drop(done.unwrap()),
                }
            }
            Step::TopUp(key, amount) => {
                let what = (CreditChangeKind::TopUp, micro(amount), name(key));
                let done = change(store, account, (what.0, what.1, &what.2)).await;
                assert_eq!(
                    done.is_ok(),
                    amount > 0 && model.change((key, amount), model.held()),
                    "{step:?}"
                );
            }
            Step::Adjust(key, amount) => {
                let what = (CreditChangeKind::Adjustment, micro(amount), name(key));
                let done = change(store, account, (what.0, what.1, &what.2)).await;
                let held = model.held();
                assert_eq!(
                    done.is_ok(),
                    amount != 0 && model.change((key, amount), held),
                    "{step:?}"
                );
            }
            Step::Limit(most) => {
                limit(store, account, most).await;
                model.limit = most.map(|most| i64::try_from(most).unwrap() * 1_000_000);
            }
            Step::NextMonth => {
                world.clock.turn(31 * DAY);
                model.next_month();
            }
            Step::Crash(charges) => {
                let outcome = if charges { Outcome::Charge } else { Outcome::Release };
                store.ledger().recover(Stale::Of("ai-1"), outcome).await.unwrap();
                for (id, call) in model.calls.clone() {
                    match call {
                        Call::Held(held) if charges => model.charge(id, held),
                        Call::Held(held) => drop(model.calls.insert(id, Call::Released(held))),
                        Call::Released(_) | Call::Settled => {}
                    }
                }
            }
        }
        model.look();
        let balance = balance_of(store, account).await;
        let found = [balance.granted, balance.lasting, balance.held, balance.used];
        let expected = [model.granted, model.lasting, model.held(), model.used];
        assert_eq!(found.map(Credits::micro), expected, "after {step:?}: {model:?}");
    }
    // Nothing is left to others' sequences.
    store.ledger().recover(Stale::Of("ai-1"), Outcome::Release).await.unwrap();
}

pub(crate) async fn any_sequence_does_what_a_simple_model_says(world: World) {
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(16) });
    let handle = Handle::current();
    let mut accounts = 100..=u8::MAX;
    let accounts = std::sync::Mutex::new(&mut accounts);
    let played = runner.run(&vec(step(), 1..40), |steps| {
        // Another one each time, also while a sequence that failed is made shorter.
        let account = account(accounts.lock().unwrap().next().unwrap());
        block_in_place(|| handle.block_on(play(&world, account, &steps)));
        Ok(())
    });
    played.unwrap();
    whole(&world.store).await;
}
