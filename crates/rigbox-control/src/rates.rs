//! How fast one may ask: by account and class once it is known who asks, by address before.
//! Owns the buckets of this process. Invariants: bounded in memory; what an address
//! is refused costs no look into the database; where several controls share a database they share the
//! buckets of accounts, from which each draws a few tokens ahead; an account that was given a profile
//! has its numbers from the next request on, here at once and elsewhere as soon as the feed tells, or
//! after [`PROFILE_MAX_AGE`]. The operator's account has no limits but the machine's.
//! Does not know what is asked.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use rigbox_store::{Store, StoreError};
use rigbox_types::{
    AccountId, Principal, WorkspaceId,
    authz::Standing,
    endpoint::RateClass,
    rate::{self, Draw, Rate, RateLimits, RateProfile},
};
use tokio::{sync::Mutex as AsyncMutex, time::timeout};

use crate::{
    error::{ApiResult, TooFast},
    source::now,
};

/// Buckets of one kind that are remembered before full ones are forgotten.
const BUCKETS_MAX: usize = 16 * 1024;

/// The share of a bucket that is drawn ahead from a shared database: one write for so many requests,
/// and so many tokens that another control may miss for a while.
const AHEAD: u32 = 20;

/// How long a look into a shared bucket may take before this process counts alone.
const SHARED_TIMEOUT: Duration = Duration::from_millis(500);

/// How long it is believed which profile an account has.
const PROFILE_MAX_AGE: Duration = Duration::from_secs(5);

/// Refusals of strangers that are recorded within a minute: enough to see an attack, too few to fill
/// a disk.
const STRANGERS: Rate = Rate { limit: 60, window_s: 60 };

/// How often code in a workspace may switch something of it: each time is two entries in the record and
/// something that its guest is told.
const INSIDE: Rate = Rate { limit: 20, window_s: 600 };

/// How long credentials that were good are let through to be looked at again, in microseconds.
const TRUST: i64 = 3_600 * 1_000_000;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Whose bucket, and of what.
type Of = (AccountId, RateClass);

/// All buckets.
pub(crate) struct Rates {
    limits: RateLimits,
    accounts: Buckets<Of>,
    /// What this process knows of shared buckets.
    shared: Mutex<HashMap<Of, Arc<AsyncMutex<Shared>>>>,
    profiles: Mutex<Profiles>,
    addresses: Buckets<(IpAddr, RateClass)>,
    /// Credentials that were good within [`TRUST`], by digest, and until when that counts.
    trusted: Mutex<HashMap<Digest256, i64>>,
    strangers: Buckets<()>,
    inside: Buckets<WorkspaceId>,
}

/// What a credential is remembered by: it is kept nowhere itself.
type Digest256 = [u8; 32];

/// Profiles of accounts that asked a moment ago.
#[derive(Default)]
struct Profiles {
    known: HashMap<AccountId, (Instant, RateProfile)>,
    /// Counts how often something was forgotten: what was read before that is not kept.
    forgotten: u64,
}

/// A shared bucket, as far as this process knows it. One request at a time looks into the database;
/// those behind it take of what it drew.
#[derive(Debug, Default)]
struct Shared {
    /// Tokens that are this process's.
    tokens: u32,
    /// What the bucket had left besides, and when it is full.
    remaining: u32,
    full_at: i64,
    /// Until when the tokens may be used.
    until: i64,
    /// Before that it is not worth a look whether there are new ones.
    empty_until: i64,
}

/// What an answer says of the bucket that its request drew from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    limit: u32,
    remaining: u32,
    reset_s: u32,
}

impl Left {
    /// Of a bucket that is empty for so many seconds.
    pub(crate) fn nothing(limit: u32, reset_s: u32) -> Self {
        Self { limit, remaining: 0, reset_s }
    }

    /// Writes the fields `RateLimit-Limit`, `-Remaining` and `-Reset`, where they do not tell already
    /// of what has refused the request.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        if headers.contains_key(LIMIT) {
            return;
        }
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_s));
    }
}

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            limits,
            accounts: Buckets::new(),
            shared: Mutex::new(HashMap::new()),
            profiles: Mutex::default(),
            addresses: Buckets::new(),
            trusted: Mutex::new(HashMap::new()),
            strangers: Buckets::new(),
            inside: Buckets::new(),
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
        let rate = self.limits_of(store, account).await.of(class);
        let drawn = match self.draw_shared(store, (account, class), rate).await {
            Some(drawn) => drawn,
            None => self.accounts.draw((account, class), rate, now().as_micros()),
        };
        left(drawn, class, rate).map(Some)
    }

    /// The numbers of an account. Where the database has other worries they are the platform's.
    async fn limits_of(&self, store: &Store, account: AccountId) -> RateLimits {
        let forgotten = {
            let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
            match profiles.known.get(&account) {
                Some((since, profile)) if since.elapsed() < PROFILE_MAX_AGE => {
                    return self.limits.with(*profile);
                }
                _ => profiles.forgotten,
            }
        };
        let profile = match store.rate_profiles().get(account).await {
            Ok(found) => found.map(|(_, rules)| rules).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the request rates of an account cannot be read");
                return self.limits;
            }
        };
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if profiles.known.len() >= BUCKETS_MAX {
            profiles.known.retain(|_, (since, _)| since.elapsed() < PROFILE_MAX_AGE);
        }
        if profiles.forgotten == forgotten && profiles.known.len() < BUCKETS_MAX {
            profiles.known.insert(account, (Instant::now(), profile));
        }
        self.limits.with(profile)
    }

    /// Believes no longer which profile an account has, nor what was drawn ahead by its numbers;
    /// where none is named, which profile any has.
    pub(crate) fn forget_profile(&self, account: Option<AccountId>) {
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        profiles.forgotten = profiles.forgotten.wrapping_add(1);
        profiles.known.retain(|of, _| account.is_some_and(|account| account != *of));
        drop(profiles);
        let Some(account) = account else { return };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|(of, _), _| *of != account);
    }

    /// Draws from what was drawn ahead, else from the shared bucket. None where no bucket is shared,
    /// and where the database has other worries: a look must not fail for want of a writer.
    async fn draw_shared(&self, store: &Store, of: Of, rate: Rate) -> Option<Draw> {
        if !store.rates().are_shared() {
            return None;
        }
        let drawn = self.draw_one_at_a_time(store, of, rate);
        match timeout(SHARED_TIMEOUT, drawn).await {
            Ok(Ok(drawn)) => Some(drawn),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a shared rate bucket cannot be reached");
                None
            }
            Err(_) => {
                tracing::warn!("a shared rate bucket does not answer");
                None
            }
        }
    }

    async fn draw_one_at_a_time(
        &self,
        store: &Store,
        (account, class): Of,
        rate: Rate,
    ) -> Result<Draw, StoreError> {
        let shared = self.shared((account, class));
        let mut shared = shared.lock().await;
        let now = now().as_micros();
        if now < shared.empty_until {
            return Ok(Draw::Empty { retry_after_s: 1 });
        }
        if shared.tokens == 0 || now >= shared.until {
            let several = (rate.limit / AHEAD).max(1);
            let mut tokens = several;
            let mut drawn = store.rates().draw(account, class, (rate, tokens)).await?;
            if matches!(drawn, Draw::Empty { .. }) && several > 1 {
                tokens = 1;
                drawn = store.rates().draw(account, class, (rate, tokens)).await?;
            }
            match drawn {
                Draw::Passed { full_at, remaining, .. } => {
                    let until = now.saturating_add(rate.window());
                    *shared = Shared { tokens, remaining, full_at, until, empty_until: 0 };
                }
                Draw::Empty { .. } => {
                    shared.empty_until = now.saturating_add(rate.cost(1));
                    return Ok(drawn);
                }
            }
        }
        shared.tokens -= 1;
        let remaining = shared.remaining.saturating_add(shared.tokens);
        let full_at = shared.full_at;
        Ok(Draw::Passed { full_at, remaining, reset_s: rate::seconds(full_at.saturating_sub(now)) })
    }

    fn shared(&self, of: Of) -> Arc<AsyncMutex<Shared>> {
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= BUCKETS_MAX {
            // Tokens that are forgotten come back with time.
            all.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        Arc::clone(all.entry(of).or_default())
    }

    /// Draws a token of an address, for what needs no credentials.
    pub(crate) fn draw_open(&self, from: IpAddr) -> ApiResult<Left> {
        let (class, now) = (RateClass::Open, now().as_micros());
        left(
            self.addresses.draw((network(from), class), self.limits.of(class), now),
            class,
            self.limits.of(class),
        )
    }

    /// Refuses an address from which too many wrong credentials came, but not what was good a while
    /// ago: nobody is locked out by a guesser beside them.
    pub(crate) fn check_guesses(&self, from: IpAddr, shown: Option<&Digest256>) -> ApiResult<()> {
        let (class, now) = (RateClass::Authentication, now().as_micros());
        let found = self.addresses.look((network(from), class), self.limits.of(class), now);
        if matches!(found, Draw::Empty { .. }) && self.is_trusted(shown, now) {
            return Ok(());
        }
        left(found, class, self.limits.of(class)).map(drop)
    }

    /// Notes that a credential is good.
    pub(crate) fn trust(&self, digest: Digest256) {
        let now = now().as_micros();
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted.len() >= BUCKETS_MAX && !trusted.contains_key(&digest) {
            trusted.retain(|_, until| *until > now);
            // More good keys within the hour than are worth remembering.
            if trusted.len() >= BUCKETS_MAX {
                return;
            }
        }
        trusted.insert(digest, now.saturating_add(TRUST));
    }

    /// Lets code in a workspace switch something of it, or says when it may.
    pub(crate) fn draw_inside(&self, workspace: &WorkspaceId) -> ApiResult<()> {
        match self.inside.draw(workspace.clone(), INSIDE, now().as_micros()) {
            Draw::Passed { .. } => Ok(()),
            Draw::Empty { retry_after_s } => {
                let Rate { limit, window_s } = INSIDE;
                let facts = TooFast { class: "inside", limit, window_s, retry_after_s };
                let text = format!(
                    "code in a workspace may switch {limit} times within {window_s} s; come again in \
                     {retry_after_s} s"
                );
                Err(facts.refusal(text))
            }
        }
    }

    /// Whether one more refusal of a stranger is worth an entry in the record.
    pub(crate) fn is_worth_an_entry(&self) -> bool {
        matches!(self.strangers.draw((), STRANGERS, now().as_micros()), Draw::Passed { .. })
    }

    /// Counts wrong or missing credentials against their address.
    pub(crate) fn count_guess(&self, from: IpAddr, shown: Option<&Digest256>) {
        if let Some(digest) = shown {
            self.trusted.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        }
        let class = RateClass::Authentication;
        let drawn =
            self.addresses.draw((network(from), class), self.limits.of(class), now().as_micros());
        if matches!(drawn, Draw::Empty { .. }) {
            tracing::debug!("one guess more than are counted");
        }
    }

    fn is_trusted(&self, shown: Option<&Digest256>, now: i64) -> bool {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let until = shown.and_then(|digest| trusted.get(digest).copied());
        until.is_some_and(|until| until > now)
    }
}

fn left(drawn: Draw, class: RateClass, rate: Rate) -> ApiResult<Left> {
    match drawn {
        Draw::Passed { remaining, reset_s, .. } => {
            Ok(Left { limit: rate.limit, remaining, reset_s })
        }
        Draw::Empty { retry_after_s } => {
            let (class, limit, window_s) = (class.as_str(), rate.limit, rate.window_s);
            Err(TooFast { class, limit, window_s, retry_after_s }.refusal(format!(
                "more than {limit} requests of the class {class} within {window_s} s; \
                 come again in {retry_after_s} s"
            )))
        }
    }
}

/// What counts as one address: of IPv6 the half that a provider gives to one line.
pub(crate) fn network(from: IpAddr) -> IpAddr {
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
    use rigbox_types::api::error::ErrorCode;

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
        let rates = Rates::new(RateLimits::default());
        let from = IpAddr::from([192, 0, 2, 1]);
        let (good, wrong) = ([1; 32], [2; 32]);
        rates.trust(good);
        for _ in 0..RateLimits::default().authentication {
            rates.check_guesses(from, Some(&wrong)).unwrap();
            rates.count_guess(from, Some(&wrong));
        }
        let refused = rates.check_guesses(from, Some(&wrong)).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        rates.check_guesses(from, Some(&good)).unwrap();
        rates.check_guesses(IpAddr::from([192, 0, 2, 2]), Some(&wrong)).unwrap();
        // A key that was revoked is good no longer.
        rates.count_guess(from, Some(&good));
        rates.check_guesses(from, Some(&good)).unwrap_err();
    }
}
