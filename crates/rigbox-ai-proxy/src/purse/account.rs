//! One account's part of the purse.
//! Invariants: `free` is never below zero of what was taken from it; numbers of the ledger change only
//! while its turn is held, so that what is asked of it and what is known of it go together.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rigbox_store::{
    ai_calls::Call,
    ledger::{Exhausted, Lease},
};
use rigbox_types::{AccountId, Credits};
use tokio::time::Instant;

use super::Short;
use crate::journal::CallId;

/// See the module.
pub(super) struct Account {
    id: AccountId,
    state: Mutex<State>,
    /// Whose turn it is to ask the ledger.
    turn: tokio::sync::Mutex<()>,
}

/// A turn to ask the ledger.
pub(super) struct Turn<'a>(
    #[expect(dead_code, reason = "held for its drop")] tokio::sync::MutexGuard<'a, ()>,
);

struct State {
    /// What the ledger has leased to this process.
    leased: i64,
    /// Whether it was asked for more and nobody has heard the answer: it may have leased more than that.
    unheard: bool,
    /// What calls under way hold of it.
    held: i64,
    /// What calls that are over have cost, and the ledger does not know yet.
    owed: i64,
    /// Whether the platform pays.
    unlimited: bool,
    /// Calls under way, those that hold nothing too.
    under_way: usize,
    ended: Vec<(CallId, Call)>,
    last: Instant,
    /// What a call has held lately, and how many have begun since the ledger heard of any: what is leased
    /// ahead goes by them.
    usual: i64,
    begun: i64,
    /// What was missing lately, and when.
    short: Option<(Short, Instant)>,
}

/// What is to be posted.
pub(super) struct Batch {
    pub(super) ids: Vec<CallId>,
    pub(super) calls: Vec<Call>,
    pub(super) keep: Credits,
    pub(super) fill: Credits,
}

impl Account {
    pub(super) fn new(id: AccountId) -> Self {
        let state = State {
            leased: 0,
            unheard: false,
            held: 0,
            owed: 0,
            unlimited: false,
            under_way: 0,
            ended: Vec::new(),
            last: Instant::now(),
            usual: 0,
            begun: 0,
            short: None,
        };
        Self { id, state: Mutex::new(state), turn: tokio::sync::Mutex::default() }
    }

    pub(super) fn id(&self) -> AccountId {
        self.id
    }

    pub(super) fn touch(&self) {
        self.state().last = Instant::now();
    }

    /// Takes from what is leased, where it is enough.
    pub(super) fn take(&self, amount: Credits) -> bool {
        let mut state = self.state();
        if !state.unlimited && state.free() < amount.micro() {
            return false;
        }
        state.held += amount.micro();
        state.under_way += 1;
        state.usual = amount.micro();
        state.begun += 1;
        true
    }

    pub(super) fn take_nothing(&self) {
        self.state().under_way += 1;
    }

    /// How much more must be leased for `amount`; none where it is there.
    pub(super) fn short(&self, amount: Credits) -> Option<Credits> {
        let state = self.state();
        let short = amount.micro() - state.free();
        let is_short = !state.unlimited && short > 0;
        is_short.then(|| Credits::from_micro(short).unwrap_or(Credits::MAX))
    }

    /// What to lease for calls to come beside one that holds `amount`.
    pub(super) fn ahead(&self, amount: Credits) -> i64 {
        let mut state = self.state();
        state.usual = amount.micro();
        state.ahead()
    }

    /// What was missing a moment ago, where it is still missing for `amount`.
    pub(super) fn is_short(&self, amount: Credits) -> Option<Short> {
        let state = self.state();
        let (short, at) = state.short.as_ref()?;
        let is_new = at.elapsed() < super::SHORT_KEPT;
        (is_new && short.fits() < amount).then_some(Short { needed: amount, ..*short })
    }

    /// Its turn to ask the ledger, where nobody else has it.
    pub(super) fn ledger_now(&self) -> Option<Turn<'_>> {
        self.turn.try_lock().ok().map(Turn)
    }

    /// Waits for the turn to ask the ledger.
    pub(super) async fn ledger(&self) -> Turn<'_> {
        Turn(self.turn.lock().await)
    }

    /// The ledger is asked from here on. Whoever asks may go away before it answers.
    pub(super) fn asks(&self, _turn: &Turn<'_>) {
        self.state().unheard = true;
    }

    /// Whether the ledger may have leased what nobody knows of.
    pub(super) fn is_unheard(&self) -> bool {
        self.state().unheard
    }

    pub(super) fn leased(&self, _turn: &Turn<'_>, lease: &Lease) {
        self.state().hear(lease);
    }

    /// What the account has, as its owner should know it: what is over counts as spent, and held is what
    /// calls under way hold, not what is leased ahead of them. Nothing more was leased.
    pub(super) fn exhausted(&self, _turn: &Turn<'_>, short: &Exhausted, needed: Credits) -> Short {
        let mut state = self.state();
        let amount = |micro: i64| Credits::from_micro(micro).unwrap_or(Credits::ZERO);
        let others = short.held.micro() - state.leased;
        let short = Short {
            balance: amount(short.balance.micro() - state.owed),
            held: amount(others + state.held),
            needed,
        };
        state.unheard = false;
        state.short = Some((short, Instant::now()));
        short
    }

    /// A call that held `amount` is over.
    pub(super) fn ended(&self, amount: Credits, id: CallId, call: Call) {
        let mut state = self.state();
        state.held -= amount.micro();
        state.short = None;
        state.owed += call.charge.micro();
        state.under_way = state.under_way.saturating_sub(1);
        state.ended.push((id, call));
        state.last = Instant::now();
    }

    /// A call that held `amount` was nothing.
    pub(super) fn released(&self, amount: Credits) {
        let mut state = self.state();
        state.held -= amount.micro();
        state.short = None;
        state.under_way = state.under_way.saturating_sub(1);
        state.last = Instant::now();
    }

    pub(super) fn waiting(&self) -> usize {
        self.state().ended.len()
    }

    pub(super) fn unposted(&self, subject: &str) -> Vec<Call> {
        let state = self.state();
        let is_theirs = |call: &&Call| call.subject.as_deref() == Some(subject);
        state.ended.iter().map(|(_, call)| call).filter(is_theirs).cloned().collect()
    }

    /// What is to be posted now, at most `most` calls; none where there is nothing to do. Without a time to
    /// be idle for, no call is to come any more.
    pub(super) fn batch(&self, most: usize, idle: Duration) -> Option<Batch> {
        let mut state = self.state();
        let is_idle = state.under_way == 0 && state.last.elapsed() >= idle;
        let has_more = state.leased > 0 || state.unheard;
        let gives_back = is_idle && state.ended.is_empty() && has_more;
        if state.ended.is_empty() && !gives_back {
            return None;
        }
        // They stay until the ledger has them, so that who asks what was used finds them here or there.
        let count = state.ended.len().min(most);
        let (ids, calls): (Vec<_>, Vec<_>) = state.ended.iter().take(count).cloned().unzip();
        let costs = |part: &[(CallId, Call)]| -> i64 {
            part.iter().map(|(_, call)| call.charge.micro()).sum()
        };
        let (part, left) = state.ended.split_at_checked(count).unwrap_or((&[], &[]));
        let (part_cost, left) = (costs(part), costs(left));
        let goes_on = !is_idle && !idle.is_zero();
        let ahead = if goes_on { state.ahead() } else { 0 };
        let keep = state.held.saturating_add(left).saturating_add(ahead);
        // What will be given back cannot be taken meanwhile.
        let after = (state.leased - part_cost).max(0).min(keep);
        state.leased = after + part_cost;
        state.unheard = true;
        let fill = if goes_on && !state.unlimited { keep } else { 0 };
        let [keep, fill] = [keep, fill].map(|it| Credits::from_micro(it).unwrap_or(Credits::MAX));
        Some(Batch { ids, calls, keep, fill })
    }

    /// The ledger has a batch.
    pub(super) fn posted(&self, _turn: &Turn<'_>, batch: &Batch, lease: &Lease) {
        let cost: i64 = batch.calls.iter().map(|call| call.charge.micro()).sum();
        let mut state = self.state();
        state.owed -= cost;
        // Nothing was taken from the front meanwhile: that takes the turn.
        let count = batch.calls.len().min(state.ended.len());
        state.ended.drain(..count);
        // At once: what is not owed any more was taken from what is leased.
        state.hear(lease);
    }

    /// Whether nothing is known of it that is not on disk.
    pub(super) fn is_forgettable(&self, idle: Duration) -> bool {
        let state = self.state();
        state.under_way == 0
            && state.ended.is_empty()
            && state.leased == 0
            && !state.unheard
            && state.last.elapsed() >= idle
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hear(&mut self, lease: &Lease) {
        self.leased = lease.amount.micro();
        self.unlimited = lease.balance.unlimited;
        (self.unheard, self.short, self.begun) = (false, None, 0);
    }

    fn free(&self) -> i64 {
        self.leased - self.held - self.owed
    }

    /// What is leased for calls to come: for twice as many as have begun since the ledger was last asked.
    fn ahead(&self) -> i64 {
        let calls = self.begun.saturating_mul(2).clamp(super::AHEAD, super::AHEAD_MOST);
        self.usual.saturating_mul(calls).max(super::AHEAD_LEAST)
    }
}
