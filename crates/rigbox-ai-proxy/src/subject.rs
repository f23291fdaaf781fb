//! For whom a call is, as the caller says, and how much that one may use.
//!
//! | header | says |
//! |---|---|
//! | `X-Rigbox-Subject` | for whom; where it is not there, `user` of OpenAI's body |
//! | `X-Rigbox-Subject-Budget` | `<amount>;period=<window>`: beyond it 402 |
//! | `X-Rigbox-Subject-Rate`, several | `<amount>;window=<window>`: beyond it 429 |
//!
//! An amount is credits as a decimal, or `<n>req`; a window `30s`, `30m`, `5h`, `7d` or seconds. What was
//! used is what was charged to calls that began within the window, and what calls under way hold: who has
//! used up an amount waits. So the last call may go over it, by what that one costs, and no second one; who
//! is kept waiting by calls under way alone is told so.
//! Invariants: limits are of the caller's account, so that they hold for all of its workspaces; a limit
//! that cannot be read refuses the call; without a subject none is read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use rigbox_store::{
    Store,
    ai_calls::{Call, SUBJECT_MAX_CHARS},
};
use rigbox_types::{AccountId, Credits, Timestamp};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    journal::{CallId, request_id},
    purse::Purse,
    refusal::Refusal,
};

const SUBJECT: &str = "x-rigbox-subject";
const BUDGET: &str = "x-rigbox-subject-budget";
const RATE: &str = "x-rigbox-subject-rate";

/// Most rates of one call.
const RATES_MAX: usize = 8;

/// Longest window: what is kept of calls is a little more.
const WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Credits(Credits),
    Requests(u64),
}

/// How much in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    amount: Amount,
    window: Duration,
}

impl Limit {
    /// Whether no other call may begin after so many micro-credits and calls.
    fn is_reached(&self, (micro, calls): (i64, u64)) -> bool {
        match self.amount {
            Amount::Credits(most) => micro >= most.micro(),
            Amount::Requests(most) => calls >= most,
        }
    }
}

/// Limits of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    budget: Option<Limit>,
    rates: Vec<Limit>,
}

/// For whom a call is: by its header, else by what its body says.
pub(crate) fn subject(headers: &HeaderMap, user: Option<&str>) -> Result<Option<String>, Refusal> {
    let said = match headers.get(SUBJECT) {
        Some(value) => Some(
            std::str::from_utf8(value.as_bytes())
                .map_err(|_| Refusal::invalid("X-Rigbox-Subject must be UTF-8"))?,
        ),
        None => None,
    };
    // One that is empty is none, and the body's counts.
    let said = said.map(str::trim).filter(|text| !text.is_empty());
    let text = said.or_else(|| user.map(str::trim)).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > SUBJECT_MAX_CHARS || text.chars().any(char::is_control) {
        let message = format!(
            "the subject of a call (X-Rigbox-Subject, or user) must have at most {SUBJECT_MAX_CHARS} \
             characters, and no control characters"
        );
        return Err(Refusal::invalid(message));
    }
    Ok(Some(text.to_owned()))
}

impl Limits {
    /// Reads the limits of a call.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut budgets = headers.get_all(BUDGET).iter();
        let budget = budgets.next().map(|it| limit(it.as_bytes(), "period")).transpose()?;
        if budgets.next().is_some() {
            return Err(malformed("X-Rigbox-Subject-Budget must be there once at most"));
        }
        let values =
            headers.get_all(RATE).iter().flat_map(|it| it.as_bytes().split(|b| *b == b','));
        let rates: Vec<_> =
            values.take(RATES_MAX + 1).map(|it| limit(it, "window")).collect::<Result<_, _>>()?;
        if rates.len() > RATES_MAX {
            return Err(malformed(&format!(
                "X-Rigbox-Subject-Rate must be there at most {RATES_MAX} times"
            )));
        }
        Ok(Self { budget, rates })
    }
}

fn malformed(message: &str) -> Refusal {
    let message = format!(
        "{message}; a limit is <amount>;period=<window> or <amount>;window=<window>, such as \
         2.5;period=7d or 100req;window=1h"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "subject_limit_malformed", message)
}

fn limit(value: &[u8], name: &'static str) -> Result<Limit, Refusal> {
    let wrong = || malformed(&format!("{:?} is no limit", String::from_utf8_lossy(value)));
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (said, window) = text.split_once(';').ok_or_else(wrong)?;
    let (said_name, window) = window.split_once('=').ok_or_else(wrong)?;
    if !said_name.trim().eq_ignore_ascii_case(name) {
        return Err(wrong());
    }
    let amount = amount(said.trim()).ok_or_else(wrong)?;
    let window = window_of(window.trim()).ok_or_else(wrong)?;
    Ok(Limit { amount, window })
}

fn amount(text: &str) -> Option<Amount> {
    if let Some(count) = text.strip_suffix("req") {
        return whole(count).filter(|count| *count > 0).map(Amount::Requests);
    }
    let credits: Credits = text.parse().ok()?;
    credits.is_positive().then_some(Amount::Credits(credits))
}

/// Seconds, or a number with a unit.
pub(crate) fn window_of(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.as_bytes().last().copied()?),
        None => (text, b's'),
    };
    let each = match unit {
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => 1,
    };
    let seconds = whole(number)?.checked_mul(each)?;
    let window = Duration::from_secs(seconds);
    (seconds > 0 && window <= WINDOW_MAX).then_some(window)
}

fn whole(text: &str) -> Option<u64> {
    let is_plain = (1..=12).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// What calls under way hold for subjects, and whose turn it is to begin one.
#[derive(Clone)]
pub(crate) struct Subjects {
    held: Arc<Mutex<HashMap<Key, Vec<Held>>>>,
    /// To ask the database what was used, which reads many rows: others need it, too.
    turns: Arc<Semaphore>,
}

/// A subject of an account.
type Key = (AccountId, String);

impl Default for Subjects {
    fn default() -> Self {
        /// Of SQLite's four readers.
        const TURNS: usize = 2;
        Self { held: Arc::default(), turns: Arc::new(Semaphore::new(TURNS)) }
    }
}

/// What a call under way holds; those of a subject are in the order in which they came.
#[derive(Debug, Clone, Copy)]
struct Held {
    id: CallId,
    micro: i64,
}

/// A call of a subject that is under way; it counts until it is dropped.
pub(crate) struct UnderWay {
    subjects: Subjects,
    key: Key,
    id: CallId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut held = self.subjects.held();
        if let Some(calls) = held.get_mut(&self.key) {
            calls.retain(|call| call.id != self.id);
            if calls.is_empty() {
                held.remove(&self.key);
            }
        }
    }
}

/// What a subject has used within a window.
struct Used {
    micro: i64,
    calls: u64,
    oldest: Option<Timestamp>,
    /// Whether without calls under way it would be less than the limit.
    is_held: bool,
}

/// Calls of a subject that the ledger need not have yet, and may.
struct Known {
    of: Key,
    /// What those under way hold.
    held: Vec<i64>,
    /// Those that are over.
    unposted: Vec<Call>,
    ids: Vec<String>,
}

impl Known {
    /// What was used within a window.
    async fn used(
        &self,
        subjects: &Subjects,
        store: &Store,
        (limit, now): (&Limit, Timestamp),
    ) -> Result<Used, Refusal> {
        let (account, subject) = &self.of;
        let since = before(now, limit.window);
        let _turn = subjects.turns.acquire().await;
        let spent = store.ai_calls().spent(*account, subject, (since, &self.ids)).await;
        let spent = spent.map_err(|error| Refusal::internal("what a subject has used", &error))?;
        let add = |(micro, calls): (i64, u64), cost: i64| {
            (micro.saturating_add(cost), calls.saturating_add(1))
        };
        let over = self.unposted.iter().filter(|call| call.began_at > since);
        let oldest = over.clone().map(|call| call.began_at).next();
        let over = over.map(|call| call.charge.micro());
        let over = over.fold((spent.charged.micro(), spent.requests), add);
        let (micro, calls) = self.held.iter().copied().fold(over, add);
        let is_held = !limit.is_reached(over);
        Ok(Used { micro, calls, oldest: spent.oldest.or(oldest), is_held })
    }
}

impl Subjects {
    /// Lets a call of a subject begin, or says which of its limits is used up: the budget first.
    pub(crate) async fn admit(
        &self,
        (store, purse): (&Store, &Purse),
        (account, subject): (AccountId, &str),
        (id, limits, hold): (CallId, &Limits, Credits),
    ) -> Result<UnderWay, Refusal> {
        // Before it is looked at what others hold: of two at once the second sees the first.
        let under_way = self.enter((account, subject.to_owned()), id, hold);
        if limits.budget.is_none() && limits.rates.is_empty() {
            return Ok(under_way);
        }
        let known = self.known(purse, &under_way);
        for (limit, is_budget) in limits
            .budget
            .iter()
            .map(|it| (it, true))
            .chain(limits.rates.iter().map(|it| (it, false)))
        {
            let now = store.now();
            let used = known.used(self, store, (limit, now)).await?;
            if limit.is_reached((used.micro, used.calls)) {
                let wait = self.wait(store, &under_way.key, (limit, &used, now)).await?;
                return Err(over(subject, limit, is_budget, (&used, wait)));
            }
        }
        Ok(under_way)
    }

    fn enter(&self, key: Key, id: CallId, hold: Credits) -> UnderWay {
        let call = Held { id, micro: hold.micro() };
        self.held().entry(key.clone()).or_default().push(call);
        UnderWay { subjects: self.clone(), key, id }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Key, Vec<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known beside the ledger, without the call that asks and those that came after it.
    fn known(&self, purse: &Purse, under_way: &UnderWay) -> Known {
        let (account, subject) = &under_way.key;
        // In the order in which a call goes from one to the next, so that it is never in none; it may be in
        // two of them meanwhile, and counts where it was seen to have cost something first, and once.
        let held: Vec<Held> = {
            let calls = self.held();
            let calls = calls.get(&under_way.key).map_or(&[][..], Vec::as_slice);
            calls.iter().take_while(|call| call.id != under_way.id).copied().collect()
        };
        let unposted = purse.unposted(*account, subject);
        let mut held: BTreeMap<_, _> =
            held.into_iter().map(|call| (request_id(call.id), call.micro)).collect();
        for call in &unposted {
            held.remove(&call.request_id);
        }
        let ids = unposted.iter().map(|call| call.request_id.clone());
        let ids = ids.chain(held.keys().cloned()).collect();
        Known { of: under_way.key.clone(), held: held.into_values().collect(), unposted, ids }
    }

    /// When another call may be made: once the one is out of the window that is one too many.
    async fn wait(
        &self,
        store: &Store,
        (account, subject): &Key,
        (limit, used, now): (&Limit, &Used, Timestamp),
    ) -> Result<Duration, Refusal> {
        // One of those that hold it is over sometime.
        if used.is_held {
            return Ok(Duration::from_secs(1));
        }
        let since = before(now, limit.window);
        let leaves = match limit.amount {
            Amount::Requests(most) => {
                let nth = store.ai_calls().nth_newest(*account, subject, (since, most)).await;
                nth.map_err(|error| Refusal::internal("what a subject has used", &error))?
            }
            Amount::Credits(_) => None,
        };
        let Some(leaves) = leaves.or(used.oldest) else { return Ok(Duration::from_secs(1)) };
        let micros = leaves.as_micros() - since.as_micros();
        Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

fn before(now: Timestamp, window: Duration) -> Timestamp {
    let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(window))
}

fn over(subject: &str, limit: &Limit, is_budget: bool, (used, wait): (&Used, Duration)) -> Refusal {
    let amount = match limit.amount {
        Amount::Credits(credits) => format!("{credits} credits"),
        Amount::Requests(count) => format!("{count} requests"),
    };
    let window = limit.window.as_secs();
    let holds = if used.is_held { ", with what its calls under way may use" } else { "" };
    let message =
        format!("the subject {subject:?} has used up its {amount} within {window} s{holds}");
    let (status, code) = if is_budget {
        (StatusCode::PAYMENT_REQUIRED, "subject_over_budget")
    } else {
        (StatusCode::TOO_MANY_REQUESTS, "subject_rate_limited")
    };
    let details = json!({
        "subject": subject,
        "limit": amount,
        "window_s": window,
        "retry_after_s": wait.as_secs().max(1),
    });
    Refusal::new(status, code, message).with(details).after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_limit_is_read_as_the_contract_has_it_and_nothing_else_is() {
        let credits = |text: &str| Amount::Credits(text.parse().unwrap());
        for (value, amount, seconds) in [
            ("2.5;period=7d", credits("2.5"), 7 * 86_400),
            ("100req;period=1h", Amount::Requests(100), 3_600),
            (" 0.000001 ; period = 30 ", credits("0.000001"), 30),
            ("1req;PERIOD=30m", Amount::Requests(1), 1_800),
        ] {
            let read = limit(value.as_bytes(), "period").unwrap();
            assert_eq!(read, Limit { amount, window: Duration::from_secs(seconds) }, "{value}");
        }
        for value in [
            "",
            "2",
            "2;period",
            "2;window=1h",
            "0;period=1h",
            "0req;period=1h",
            "-1;period=1h",
            "1e3;period=1h",
            "2;period=0s",
            "2;period=1w",
            "2;period=367d",
            "2;period=99999999999999999999d",
            "2.1234567;period=1h",
            "NaN;period=1h",
            "2;period=1h;period=2h",
        ] {
            let refusal = limit(value.as_bytes(), "period").unwrap_err();
            assert_eq!(refusal.code(), "subject_limit_malformed", "{value}");
        }
        let twice = headers(&[(BUDGET, "1;period=1h"), (BUDGET, "2;period=1h")]);
        assert!(Limits::read(&twice).is_err());
        let rates = headers(&[(RATE, "1;window=1h"), (RATE, "5req;window=30s, 9req;window=60")]);
        assert_eq!(Limits::read(&rates).unwrap().rates.len(), 3);
    }

    #[test]
    fn the_header_wins_over_the_body_and_an_empty_one_is_none() {
        let named = |header: Option<&str>, user| {
            let headers = header.map_or_else(HeaderMap::new, |it| headers(&[(SUBJECT, it)]));
            subject(&headers, user).unwrap()
        };
        assert_eq!(named(Some(" ada "), Some("bob")).as_deref(), Some("ada"));
        assert_eq!(named(None, Some(" bob ")).as_deref(), Some("bob"));
        assert_eq!(named(Some(" "), Some("bob")).as_deref(), Some("bob"));
        assert_eq!((named(Some(""), None), named(None, Some(" "))), (None, None));
        let long = "ü".repeat(SUBJECT_MAX_CHARS);
        assert_eq!(subject(&HeaderMap::new(), Some(&long)).unwrap(), Some(long.clone()));
        assert!(subject(&HeaderMap::new(), Some(&format!("{long}x"))).is_err());
    }
}
