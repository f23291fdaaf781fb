//! How fast one may ask: by account and class once it is known who asks, by address before.
//! Owns the buckets of this process. Invariants: bounded in memory; what is refused costs neither a
//! look into the database nor a hash; where several controls share a database they share the
//! buckets of accounts, from which each draws a few tokens ahead. The operator's account has no
//! limits but the machine's.
//! Does not know what is asked.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use rigbox_store::Store;
use rigbox_types::{
    AccountId, Principal,
    api::error::ErrorCode,
    authz::Standing,
    endpoint::RateClass,
    rate::{Draw, Rate},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    error::{ApiError, ApiResult},
    source::now,
};

/// Buckets of one kind that are remembered before full ones are forgotten.
const BUCKETS_MAX: usize = 16 * 1024;

/// The share of a bucket that is drawn ahead from a shared database: one write for so many requests,
/// and so many tokens that another control may miss for a while.
const AHEAD: u32 = 20;

/// How long credentials that were good are let through to be looked at again, in microseconds.
const TRUST: i64 = 3_600 * 1_000_000;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// All buckets.
pub(crate) struct Rates {
    accounts: Buckets<(AccountId, RateClass)>,
    /// Tokens that were drawn ahead, and until when they may be used.
    ahead: Mutex<HashMap<(AccountId, RateClass), Ahead>>,
    addresses: Buckets<(IpAddr, RateClass)>,
    /// Credentials that were good within [`TRUST`], by digest, and until when that counts.
    trusted: Mutex<HashMap<Digest256, i64>>,
}

type Digest256 = [u8; 32];

/// Tokens of the shared bucket that are this process's.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    tokens: u32,
    /// What the shared bucket had left, and when it is full.
    remaining: u32,
    full_at: i64,
    until: i64,
}

/// What an answer says of the bucket that its request drew from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    limit: u32,
    remaining: u32,
    reset_s: u32,
}

impl Left {
    /// Writes the fields `RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_s));
    }
}

impl Rates {
    pub(crate) fn new() -> Self {
        Self {
            accounts: Buckets::new(),
            ahead: Mutex::new(HashMap::new()),
            addresses: Buckets::new(),
            trusted: Mutex::new(HashMap::new()),
        }
    }

    /// Draws one token of the caller's account; none where nothing limits it.
    pub(crate) async fn draw(
        &self,
        store: &Store,
        who: &Principal,
        class: RateClass,
    ) -> ApiResult<Option<Left>> {
        let account = match who {
            Principal::Key { standing: Standing::Operator, .. } => return Ok(None),
            Principal::Key { account, .. } | Principal::Guest { account, .. } => *account,
        };
        let rate = class.rate();
        let drawn = if store.rates().are_shared() {
            self.draw_shared(store, account, class).await?
        } else {
            self.accounts.draw((account, class), rate, now().as_micros())
        };
        left(drawn, class, rate).map(Some)
    }

    /// Draws from what was drawn ahead, else from the shared bucket.
    async fn draw_shared(
        &self,
        store: &Store,
        account: AccountId,
        class: RateClass,
    ) -> ApiResult<Draw> {
        let (rate, now) = (class.rate(), now().as_micros());
        if let Some(drawn) = self.take_ahead((account, class), now) {
            return Ok(drawn);
        }
        let several = (rate.limit / AHEAD).max(1);
        let mut tokens = several;
        let mut drawn = store.rates().draw(account, class, (rate, tokens)).await?;
        if matches!(drawn, Draw::Empty { .. }) && several > 1 {
            tokens = 1;
            drawn = store.rates().draw(account, class, (rate, tokens)).await?;
        }
        if let Draw::Passed { full_at, remaining, .. } = drawn {
            let ahead =
                Ahead { tokens: tokens - 1, remaining, full_at, until: now + rate.window() };
            let mut all = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= BUCKETS_MAX {
                all.retain(|_, ahead| ahead.tokens > 0 && now < ahead.until);
            }
            all.insert((account, class), ahead);
        }
        Ok(drawn)
    }

    fn take_ahead(&self, of: (AccountId, RateClass), now: i64) -> Option<Draw> {
        let mut all = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = all.get_mut(&of)?;
        if ahead.tokens == 0 || now >= ahead.until {
            all.remove(&of);
            return None;
        }
        ahead.tokens -= 1;
        let reset = u32::try_from(ahead.full_at.saturating_sub(now) / 1_000_000).unwrap_or(0);
        Some(Draw::Passed {
            full_at: ahead.full_at,
            remaining: ahead.remaining.saturating_add(ahead.tokens),
            reset_s: reset,
        })
    }

    /// Draws a token of an address, for what needs no credentials.
    pub(crate) fn draw_open(&self, from: IpAddr) -> ApiResult<Left> {
        let (class, now) = (RateClass::Open, now().as_micros());
        left(self.addresses.draw((network(from), class), class.rate(), now), class, class.rate())
    }

    /// Refuses an address from which too many wrong credentials came, but not what was good a while
    /// ago: nobody is locked out by a guesser beside them.
    pub(crate) fn check_guesses(&self, from: IpAddr, headers: &HeaderMap) -> ApiResult<()> {
        let (class, now) = (RateClass::Authentication, now().as_micros());
        let found = self.addresses.look((network(from), class), class.rate(), now);
        if matches!(found, Draw::Empty { .. }) && self.is_trusted(headers, now) {
            return Ok(());
        }
        left(found, class, class.rate()).map(drop)
    }

    /// Notes that these credentials are good.
    pub(crate) fn trust(&self, headers: &HeaderMap) {
        let Some(digest) = digest(headers) else { return };
        let now = now().as_micros();
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted.len() >= BUCKETS_MAX {
            trusted.retain(|_, until| *until > now);
        }
        if trusted.len() < BUCKETS_MAX {
            trusted.insert(digest, now.saturating_add(TRUST));
        }
    }

    /// Counts wrong or missing credentials against their address.
    pub(crate) fn count_guess(&self, from: IpAddr, headers: &HeaderMap) {
        if let Some(digest) = digest(headers) {
            self.trusted.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        }
        let class = RateClass::Authentication;
        let drawn = self.addresses.draw((network(from), class), class.rate(), now().as_micros());
        if matches!(drawn, Draw::Empty { .. }) {
            tracing::debug!("one guess more than are counted");
        }
    }

    fn is_trusted(&self, headers: &HeaderMap, now: i64) -> bool {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let until = digest(headers).and_then(|digest| trusted.get(&digest).copied());
        until.is_some_and(|until| until > now)
    }
}

/// A digest of the credentials: the key itself is kept nowhere. A key has 256 random bits, so how
/// far a lookup of its digest comes tells nothing about it.
fn digest(headers: &HeaderMap) -> Option<Digest256> {
    let value = headers.get(header::AUTHORIZATION)?;
    Some(Sha256::digest(value.as_bytes()).into())
}

fn left(drawn: Draw, class: RateClass, rate: Rate) -> ApiResult<Left> {
    match drawn {
        Draw::Passed { remaining, reset_s, .. } => {
            Ok(Left { limit: rate.limit, remaining, reset_s })
        }
        Draw::Empty { retry_after_s } => {
            let (class, limit, window_s) = (class.as_str(), rate.limit, rate.window_s);
            let left = Left { limit, remaining: 0, reset_s: retry_after_s };
            Err(ApiError::new(
                ErrorCode::RateLimited,
                format!(
                    "more than {limit} requests of the class {class} within {window_s} s; \
                     come again in {retry_after_s} s"
                ),
            )
            .with(json!({
                "class": class,
                "limit": limit,
                "window_s": window_s,
                "retry_after_s": retry_after_s,
            }))
            .retry_after(retry_after_s)
            .left(left))
        }
    }
}

/// What counts as one address: of IPv6 the half that a provider gives to one line.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let kept = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(kept))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Buckets of this process, each known by when it is full again.
struct Buckets<K>(Mutex<HashMap<K, i64>>);

impl<K: Eq + Hash> Buckets<K> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn look(&self, of: K, rate: Rate, now: i64) -> Draw {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rate.draw(buckets.get(&of).copied().unwrap_or(now), now, 1)
    }

    fn draw(&self, of: K, rate: Rate, now: i64) -> Draw {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&of) {
            buckets.retain(|_, full_at| *full_at > now);
            // Where so many are not full, the machine has other worries than one more.
            if buckets.len() >= BUCKETS_MAX {
                buckets.clear();
            }
        }
        let drawn = rate.draw(buckets.get(&of).copied().unwrap_or(now), now, 1);
        if let Draw::Passed { full_at, .. } = drawn {
            buckets.insert(of, full_at);
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        network(text.parse().unwrap())
    }

    #[test]
    fn a_line_is_one_address() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded_and_full_buckets_go_first() {
        let buckets = Buckets::new();
        let rate = Rate { limit: 1, window_s: 1 };
        for key in 0..BUCKETS_MAX {
            buckets.draw(key, rate, 0);
        }
        assert!(matches!(buckets.draw(7, rate, 1), Draw::Empty { .. }));
        buckets.draw(BUCKETS_MAX, rate, 1_000_000);
        assert_eq!(buckets.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_guesser_is_refused_and_its_neighbour_is_not() {
        let rates = Rates::new();
        let from = IpAddr::from([192, 0, 2, 1]);
        let of = |key: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(key))])
        };
        let (good, wrong) = (of("Bearer rb_good"), of("Bearer rb_wrong"));
        rates.trust(&good);
        for _ in 0..RateClass::Authentication.rate().limit {
            rates.check_guesses(from, &wrong).unwrap();
            rates.count_guess(from, &wrong);
        }
        let refused = rates.check_guesses(from, &wrong).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        rates.check_guesses(from, &good).unwrap();
        rates.check_guesses(IpAddr::from([192, 0, 2, 2]), &wrong).unwrap();
        // A key that was revoked is good no longer.
        rates.count_guess(from, &good);
        rates.check_guesses(from, &good).unwrap_err();
    }
}
