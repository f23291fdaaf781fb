//! Any sequence of leases and postings of two processes, beside the model of an account.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rigbox_store::ledger::{LedgerError, Outcome, Posting, Stale};
use rigbox_types::{AccountId, Credits, api::credits::CreditChangeKind};
use tokio::{runtime::Handle, task::block_in_place};

use super::{
    DAY, balance_of, change,
    leases::call,
    limit,
    model::{Model, micro},
    whole,
};
use crate::kit::{World, account, profile};

/// The processes, as the ledger knows them.
const HOLDERS: [&str; 2] = ["ai-7", "ai-8"];

#[derive(Debug, Clone)]
enum Step {
    /// At least so much, and so much beyond that.
    Lease(usize, i64, i64),
    /// Calls, new ones and such as were posted before, what is kept and what is filled up to.
    Post(usize, Vec<(u8, i64)>, (i64, i64)),
    /// A process dies, and the next one gives back what it held. What it posts later still counts.
    Crash(usize),
    TopUp(u8, i64),
    Adjust(u8, i64),
    Limit(Option<u64>),
    NextMonth,
}

fn step() -> impl Strategy<Value = Step> {
    let amount = 0..3_000_000_i64;
    let calls = vec((0..40_u8, prop_oneof![1 => Just(0), 6 => 0..1_500_000_i64]), 0..6);
    let keep = prop_oneof![Just(0), amount.clone(), Just(Credits::MAX.micro())];
    prop_oneof![
        4 => (0..2_usize, amount.clone(), amount.clone())
            .prop_map(|(holder, least, beyond)| Step::Lease(holder, least, beyond)),
        4 => (0..2_usize, calls, (keep.clone(), keep))
            .prop_map(|(holder, calls, keep)| Step::Post(holder, calls, keep)),
        1 => (0..2_usize).prop_map(Step::Crash),
        1 => (0..4_u8, amount).prop_map(|(key, amount)| Step::TopUp(key, amount)),
        1 => (4..9_u8, -2_000_000..2_000_000_i64).prop_map(|(key, amount)| Step::Adjust(key, amount)),
        1 => prop_oneof![Just(None), (0..5_u64).prop_map(Some)].prop_map(Step::Limit),
        1 => Just(Step::NextMonth),
    ]
}

/// What an account should have, and what each process should hold of it.
struct Leased {
    model: Model,
    leases: [i64; 2],
}

impl Leased {
    fn held(&self) -> i64 {
        self.leases.iter().sum()
    }

    /// What is leased then; none where it is too much.
    fn lease(&mut self, holder: usize, least: i64, beyond: i64) -> Option<i64> {
        let free = self.model.total() - self.held();
        match self.model.limit {
            None => {}
            Some(_) if free < least => return None,
            Some(_) => self.leases[holder] += free.min(least + beyond),
        }
        Some(self.leases[holder])
    }

    fn post(&mut self, holder: usize, calls: &[(u8, i64)], (keep, fill): (i64, i64)) -> i64 {
        let mut charged = 0;
        for (id, charge) in calls {
            if !self.model.has_charged(*id) {
                self.model.charge(*id, *charge);
                charged += charge;
            }
        }
        self.leases[holder] = (self.leases[holder] - charged).max(0).min(keep);
        if self.model.limit.is_some() {
            let free = self.model.total() - self.held();
            self.leases[holder] += (fill.min(keep) - self.leases[holder]).min(free).max(0);
        }
        self.leases[holder]
    }
}

async fn play(world: &World, account: AccountId, steps: &[Step]) {
    let store = &world.store;
    store.accounts().insert_user(account, &profile("operator"), None).await.unwrap();
    limit(store, account, Some(3)).await;
    balance_of(store, account).await;
    let mut leased = Leased { model: Model::with_limit(3), leases: [0; 2] };
    let name = |id: u8| format!("{account}-{id}");
    for step in steps {
        match step {
            Step::Lease(holder, least, beyond) => {
                let range = (micro(*least), micro(least + beyond));
                let done = store.ledger().lease(account, HOLDERS[*holder], range).await;
                match leased.lease(*holder, *least, *beyond) {
                    Some(amount) => assert_eq!(done.unwrap().amount.micro(), amount, "{step:?}"),
                    None => assert!(matches!(done, Err(LedgerError::Exhausted(_))), "{done:?}"),
                }
            }
            Step::Post(holder, calls, kept) => {
                let holder_name = HOLDERS[*holder];
                let posted: Vec<_> =
                    calls.iter().map(|it| call(account, &name(it.0), micro(it.1))).collect();
                let (keep, fill) = (micro(kept.0), micro(kept.1));
                let posting = Posting { account, holder: holder_name, calls: &posted, keep, fill };
                let done = store.ledger().post(&posting).await.unwrap();
                assert_eq!(done.amount.micro(), leased.post(*holder, calls, *kept), "{step:?}");
            }
            Step::Crash(holder) => {
                let which = Stale::Of(HOLDERS[*holder]);
                store.ledger().recover(which, Outcome::Release).await.unwrap();
                leased.leases[*holder] = 0;
            }
            Step::TopUp(key, amount) | Step::Adjust(key, amount) => {
                let kind = match step {
                    Step::TopUp(..) => CreditChangeKind::TopUp,
                    _ => CreditChangeKind::Adjustment,
                };
                let is_right = *amount > 0 || kind == CreditChangeKind::Adjustment;
                let done = change(store, account, (kind, micro(*amount), &name(*key))).await;
                let held = leased.held();
                let expected =
                    is_right && *amount != 0 && leased.model.change((*key, *amount), held);
                assert_eq!(done.is_ok(), expected, "{step:?}");
            }
            Step::Limit(most) => {
                limit(store, account, *most).await;
                leased.model.limit = most.map(|most| i64::try_from(most).unwrap() * 1_000_000);
            }
            Step::NextMonth => {
                world.clock.turn(31 * DAY);
                leased.model.next_month();
            }
        }
        leased.model.look();
        let balance = balance_of(store, account).await;
        let found = [balance.granted, balance.lasting, balance.held, balance.used];
        let Model { granted, lasting, used, .. } = leased.model;
        let expected = [granted, lasting, leased.held(), used];
        assert_eq!(found.map(Credits::micro), expected, "after {step:?}");
    }
    // Nothing is left to others' sequences.
    for holder in HOLDERS {
        store.ledger().recover(Stale::Of(holder), Outcome::Release).await.unwrap();
    }
}

pub(crate) async fn any_sequence_of_leases_does_what_a_simple_model_says(world: World) {
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
