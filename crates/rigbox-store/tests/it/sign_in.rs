//! Passwords, links, sessions, throttles, second factors and requests of command lines.

use std::time::Duration;

use futures_util::future::join_all;
use rigbox_store::{
    StoreError,
    accounts::Profile,
    api_keys::{KeyHash, KeyHasher, NewApiKey},
    device_codes::{Asked, Decision, NewDeviceCode},
    feed::Wake,
    sessions::{Carrier, Epoch, Level, NewSession, SESSIONS_MAX_COUNT},
    throttles::{Attempt, Bucket, Patience},
};
use rigbox_types::{ApiKeyId, KeyScopes, SessionId, Timestamp};

use crate::kit::{SECOND, World, account, profile};

const HOUR: i64 = 3_600 * SECOND;

/// The hash of a text, with a key that is of no use elsewhere.
pub(crate) fn hash(text: &str) -> KeyHash {
    let dir = std::env::temp_dir().join("rigbox-store-sign-in.key");
    let path = camino::Utf8PathBuf::from_path_buf(dir).unwrap();
    KeyHasher::load_or_create(&path).unwrap().hash(&text.to_owned().into())
}

fn session(n: u8, level: Level) -> NewSession {
    NewSession {
        id: SessionId::from_random([n; 16]),
        account: account(1),
        epoch: Epoch::default(),
        level,
        carrier: Carrier::Cookie,
        hash: hash(&format!("token {n}")),
        address: Some("192.0.2.1".to_owned()),
        user_agent: None,
    }
}

async fn addressed(world: &World, n: u8, email: &str) {
    let profile = Profile { email: Some(email.parse().unwrap()), ..profile("free") };
    world.store.accounts().insert_user(account(n), &profile, None).await.unwrap();
}

pub(crate) async fn a_session_is_known_by_its_secret_and_ends(world: World) {
    let sessions = world.store.sessions();
    let new = session(1, Level::Full);
    sessions.insert(&new).await.unwrap();
    let row = sessions.find(new.id).await.unwrap().unwrap();
    assert!(row.is_opened_by(&hash("token 1"), world.store.now()));
    assert!(!row.is_opened_by(&hash("token 2"), world.store.now()));
    assert_eq!(row.ends_at().as_micros(), row.created_at.as_micros() + 12 * HOUR);
    // A use moves the end, and never past thirty days.
    world.clock.turn(11 * HOUR);
    sessions.used(&row, &new.hash).await.unwrap();
    let row = sessions.find(new.id).await.unwrap().unwrap();
    assert_eq!(row.ends_at().as_micros(), row.created_at.as_micros() + 23 * HOUR);
    let mut old = row.clone();
    old.used_at = Timestamp::from_micros(row.created_at.as_micros() + 719 * HOUR);
    assert_eq!(old.ends_at().as_micros(), row.created_at.as_micros() + 720 * HOUR);
    let pending = session(2, Level::Pending);
    sessions.insert(&pending).await.unwrap();
    assert_eq!(sessions.list(account(1)).await.unwrap().len(), 1);
    world.clock.turn(600 * SECOND);
    sessions.forget().await.unwrap();
    assert_eq!(sessions.find(pending.id).await.unwrap(), None);
    assert!(sessions.find(new.id).await.unwrap().is_some());
    world.clock.turn(12 * HOUR);
    sessions.forget().await.unwrap();
    assert_eq!(sessions.find(new.id).await.unwrap(), None);
}

pub(crate) async fn of_two_that_change_a_secret_at_once_one_does(world: World) {
    let sessions = world.store.sessions();
    let new = session(1, Level::Full);
    sessions.insert(&new).await.unwrap();
    let row = sessions.find(new.id).await.unwrap().unwrap();
    world.clock.turn(HOUR);
    let (a, b) = (hash("a"), hash("b"));
    let both = tokio::join!(
        sessions.rotate(&row, (&new.hash, &a)),
        sessions.rotate(&row, (&new.hash, &b))
    );
    let (a_won, b_won) = (both.0.unwrap(), both.1.unwrap());
    assert!(a_won != b_won, "{a_won} {b_won}");
    let (won, lost) = if a_won { (a, b) } else { (b, a) };
    let row = sessions.find(new.id).await.unwrap().unwrap();
    let opens =
        |row: &rigbox_store::sessions::SessionRow, hash| row.is_opened_by(hash, world.store.now());
    assert!(opens(&row, &won) && opens(&row, &new.hash) && !opens(&row, &lost));
    // Only a use of the new one begins the end of the old one.
    sessions.used(&row, &new.hash).await.unwrap();
    assert_eq!(sessions.find(new.id).await.unwrap().unwrap().former.unwrap().1, None);
    sessions.used(&row, &won).await.unwrap();
    world.clock.turn(59 * SECOND);
    let row = sessions.find(new.id).await.unwrap().unwrap();
    assert!(opens(&row, &new.hash) && !row.is_shown_again(&new.hash, world.store.now()));
    world.clock.turn(2 * SECOND);
    assert!(!opens(&row, &new.hash) && opens(&row, &won));
    assert!(row.is_shown_again(&new.hash, world.store.now()));
    assert!(![won, lost].iter().any(|hash| row.is_shown_again(hash, world.store.now())));
}

pub(crate) async fn sessions_are_bounded_and_whoever_watches_is_told_of_their_end(world: World) {
    addressed(&world, 2, "bob@example.com").await;
    let sessions = world.store.sessions();
    for n in 0..=u8::try_from(SESSIONS_MAX_COUNT).unwrap() {
        world.clock.turn(SECOND);
        sessions.insert(&session(n, Level::Full)).await.unwrap();
    }
    let rows = sessions.list(account(1)).await.unwrap();
    assert_eq!(i64::try_from(rows.len()).unwrap(), SESSIONS_MAX_COUNT);
    assert_eq!(sessions.find(SessionId::from_random([0; 16])).await.unwrap(), None);
    let id = SessionId::from_random([7; 16]);
    let refused = sessions.end(account(2), id).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotFound { .. }), "{refused:?}");
    let mut wakes = world.store.feed().subscribe();
    sessions.end(account(1), id).await.unwrap();
    assert_eq!(wakes.next().await, Some(Wake::Session(id)));
    sessions.end_others(account(1), Some(SessionId::from_random([9; 16]))).await.unwrap();
    assert_eq!(wakes.next().await, Some(Wake::Everything));
    assert_eq!(sessions.list(account(1)).await.unwrap().len(), 1);
}

pub(crate) async fn what_was_shown_before_all_sessions_ended_opens_none(world: World) {
    let (sessions, passwords) = (world.store.sessions(), world.store.passwords());
    addressed(&world, 5, "ann@example.com").await;
    passwords.change(account(5), (None, "first")).await.unwrap();
    let person = passwords.find(&"ann@example.com".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(sessions.epoch(account(5)).await.unwrap(), person.epoch);
    // Of two changes with one old password one is made.
    let changes = ["second", "third"].map(|new| passwords.change(account(5), (Some("first"), new)));
    let made = join_all(changes).await.iter().filter(|changed| changed.is_ok()).count();
    assert_eq!(made, 1);
    // Somebody has shown the first password, and comes to open a session now.
    let late = NewSession { account: account(5), epoch: person.epoch, ..session(7, Level::Full) };
    let refused = sessions.insert(&late).await;
    assert!(matches!(refused, Err(StoreError::NotFound { what: "sign-in", .. })), "{refused:?}");
    let now = sessions.epoch(account(5)).await.unwrap();
    sessions.insert(&NewSession { epoch: now, ..late }).await.unwrap();
    // Those that wait for a second factor are few, and push out no other.
    for n in 10..20 {
        let waits = session(n, Level::Pending);
        sessions.insert(&NewSession { account: account(5), epoch: now, ..waits }).await.unwrap();
    }
    let id = |n| SessionId::from_random([n; 16]);
    assert!(sessions.find(id(7)).await.unwrap().is_some());
    let waiting = join_all((10..20).map(|n| sessions.find(id(n)))).await;
    assert_eq!(waiting.iter().filter(|found| found.as_ref().unwrap().is_some()).count(), 3);
}

pub(crate) async fn of_many_that_redeem_a_link_at_once_one_does(world: World) {
    addressed(&world, 2, "bob@example.com").await;
    let passwords = world.store.passwords();
    let ends = Timestamp::from_micros(world.store.now().as_micros() + HOUR);
    passwords.link(account(1), &hash("old"), ends).await.unwrap();
    passwords.link(account(1), &hash("new"), ends).await.unwrap();
    world.store.sessions().insert(&session(1, Level::Full)).await.unwrap();
    assert!(passwords.find_by_link(&hash("old")).await.unwrap().is_none());
    assert_eq!(passwords.find_by_link(&hash("new")).await.unwrap().unwrap().account, account(1));
    // An address that is taken takes nothing else.
    let taken = "bob@example.com".parse().unwrap();
    let refused = passwords.redeem(&hash("new"), "phc", Some(&taken)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }), "{refused:?}");
    assert_eq!(world.store.sessions().list(account(1)).await.unwrap().len(), 1);

    let email = "ann@example.com".parse().unwrap();
    let other = world.another_store().await;
    let stores = [&world.store, &other];
    let link = hash("new");
    let redeemed = join_all((0..8).map(|n| {
        let (store, email) = (stores[n % 2], &email);
        async move { store.passwords().redeem(&link, &format!("phc {n}"), Some(email)).await }
    }));
    let redeemed = redeemed.await;
    assert_eq!(redeemed.iter().filter(|done| done.is_ok()).count(), 1, "{redeemed:?}");
    let person = passwords.find(&email).await.unwrap().unwrap();
    assert_eq!(person.account, account(1));
    assert!(person.phc.clone().unwrap().starts_with("phc "));
    assert!(world.store.accounts().get(account(1)).await.unwrap().has_password);
    assert_eq!(world.store.sessions().list(account(1)).await.unwrap(), []);
    // A better hash takes the place of the one that was verified, and of no other.
    passwords.rehash(account(1), ("another", "worse")).await.unwrap();
    let old = person.phc.unwrap();
    passwords.rehash(account(1), (&old, "better")).await.unwrap();
    assert_eq!(passwords.get(account(1)).await.unwrap().phc.as_deref(), Some("better"));

    passwords.link(account(1), &hash("late"), ends).await.unwrap();
    world.clock.turn(HOUR);
    assert!(passwords.find_by_link(&hash("late")).await.unwrap().is_none());
    let refused = passwords.redeem(&hash("late"), "phc", None).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotFound { .. }), "{refused:?}");
}

pub(crate) async fn attempts_at_once_are_counted_one_by_one(world: World) {
    let patience = Patience { free: 3, longest: Duration::from_secs(8) };
    let too_soon = |retry_after_s| Attempt::TooSoon { retry_after_s, free: 3 };
    let bucket = |name: &str, cleared| (Bucket { name: name.to_owned(), cleared }, patience);
    let both = vec![bucket("account:1", true), bucket("address:1", false)];
    let crossed = vec![bucket("address:1", false), bucket("account:1", true)];
    let other = world.another_store().await;
    let attempts = join_all((0..12).map(|n| {
        let store = if n % 2 == 0 { &world.store } else { &other };
        let buckets = if n % 3 == 0 { &both } else { &crossed };
        async move { store.throttles().attempt(buckets).await.unwrap() }
    }));
    let attempts = attempts.await;
    let admitted = attempts.iter().filter(|attempt| **attempt == Attempt::Admitted).count();
    assert_eq!(admitted, 4, "{attempts:?}");
    let throttles = world.store.throttles();
    assert_eq!(throttles.attempt(&both).await.unwrap(), too_soon(1));
    world.clock.turn(SECOND);
    assert_eq!(throttles.attempt(&both).await.unwrap(), Attempt::Admitted);
    assert_eq!(throttles.attempt(&both).await.unwrap(), too_soon(2));
    // Another account from another address has no part in it.
    let elsewhere = vec![bucket("account:2", true), bucket("address:2", false)];
    assert_eq!(throttles.attempt(&elsewhere).await.unwrap(), Attempt::Admitted);
    // Success makes the account's bucket new, and takes back one try from the address's.
    throttles.succeeded(&both).await.unwrap();
    for _ in 0..4 {
        let own = vec![bucket("account:1", true)];
        assert_eq!(throttles.attempt(&own).await.unwrap(), Attempt::Admitted);
    }
    let address = vec![bucket("address:1", false)];
    assert_eq!(throttles.attempt(&address).await.unwrap(), Attempt::Admitted);
    assert_eq!(throttles.attempt(&address).await.unwrap(), too_soon(2));
    world.clock.turn(25 * HOUR);
    throttles.forget().await.unwrap();
    for _ in 0..3 {
        assert_eq!(throttles.attempt(&address).await.unwrap(), Attempt::Admitted);
    }
}

fn request(n: u32, address: &str, expires_at: Timestamp) -> NewDeviceCode {
    NewDeviceCode {
        secret: hash(&format!("secret {n}")),
        user_code: hash(&format!("code {n}")),
        address: Some(address.to_owned()),
        network: address.to_owned(),
        user_agent: Some("rig".to_owned()),
        expires_at,
    }
}

pub(crate) async fn a_request_is_decided_once_and_makes_one_key(world: World) {
    let codes = world.store.device_codes();
    let ends = Timestamp::from_micros(world.store.now().as_micros() + 600 * SECOND);
    assert_eq!(codes.insert(&request(1, "192.0.2.1", ends)).await.unwrap(), Asked::Kept);
    let (secret, code) = (hash("secret 1"), hash("code 1"));
    assert_eq!(codes.find(&hash("code 2")).await.unwrap(), None);
    assert_eq!(codes.find(&code).await.unwrap().unwrap().decision, Decision::Pending);
    assert_eq!(codes.poll(&secret).await.unwrap().unwrap().polled_at, None);
    assert!(codes.poll(&secret).await.unwrap().unwrap().polled_at.is_some());
    let key = |n: u8| NewApiKey {
        id: ApiKeyId::from_random([n; 16]),
        account: account(1),
        prefix: format!("rb_{n:08}"),
        hash: hash(&format!("key {n}")),
        name: None,
        expires_at: None,
        scopes: KeyScopes::full(),
    };
    assert!(!codes.deliver(&secret, (&key(1), 10)).await.unwrap(), "nobody has said yes");
    let who = session(1, Level::Full);
    let ended = codes.decide(&code, (account(1), who.id), Decision::Approved).await.unwrap_err();
    assert!(matches!(ended, StoreError::NotFound { .. }), "there is no such session: {ended:?}");
    world.store.sessions().insert(&who).await.unwrap();
    codes.decide(&code, (account(1), who.id), Decision::Approved).await.unwrap();
    let again = codes.decide(&code, (account(1), who.id), Decision::Denied).await.unwrap_err();
    assert!(matches!(again, StoreError::NotFound { .. }), "{again:?}");
    let over = codes.deliver(&secret, (&key(1), 0)).await.unwrap_err();
    assert!(matches!(over, StoreError::Over(_)), "{over:?}");
    let accounts = world.store.accounts();
    let disable = |at: Option<Timestamp>| {
        accounts.change(account(1), move |_, profile| {
            profile.disabled_at = at;
            Ok::<_, std::convert::Infallible>(())
        })
    };
    disable(Some(world.store.now())).await.unwrap();
    assert!(!codes.deliver(&secret, (&key(1), 10)).await.unwrap(), "the account is disabled");
    disable(None).await.unwrap();
    let keys: Vec<_> = (1..6).map(key).collect();
    let delivered = join_all(keys.iter().map(|key| codes.deliver(&secret, (key, 10)))).await;
    assert_eq!(delivered.iter().filter(|done| matches!(done, Ok(true))).count(), 1);
    let page = world.store.api_keys().list(account(1), &Default::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

pub(crate) async fn requests_are_bounded_in_number_and_time(world: World) {
    let codes = world.store.device_codes();
    let ends = Timestamp::from_micros(world.store.now().as_micros() + 600 * SECOND);
    let requests: Vec<_> = (100..210).map(|n| request(n, "192.0.2.1", ends)).collect();
    let asked = join_all(requests.iter().map(|request| codes.insert(request))).await;
    let kept = asked.iter().filter(|asked| matches!(asked, Ok(Asked::Kept))).count();
    assert_eq!(kept, 100, "{asked:?}");
    let elsewhere = request(50, "192.0.2.2", ends);
    assert_eq!(codes.insert(&elsewhere).await.unwrap(), Asked::Kept);
    world.clock.turn(600 * SECOND);
    let who = session(1, Level::Full);
    world.store.sessions().insert(&who).await.unwrap();
    let who = (account(1), who.id);
    let late = codes.decide(&hash("code 50"), who, Decision::Approved).await.unwrap_err();
    assert!(matches!(late, StoreError::NotFound { .. }), "{late:?}");
    assert!(codes.poll(&hash("secret 50")).await.unwrap().is_some(), "it is said to have ended");
    // What has ended counts for its network as long as it is remembered.
    let more = request(51, "192.0.2.1", ends);
    let hour = Asked::TooManyOfNetwork { retry_after_s: 3_600 };
    assert_eq!(codes.insert(&more).await.unwrap(), hour);
    world.clock.turn(HOUR);
    assert_eq!(codes.insert(&more).await.unwrap(), Asked::Kept);
    codes.forget().await.unwrap();
    assert_eq!(codes.poll(&hash("secret 50")).await.unwrap(), None);
}

/// What nobody waits for any more keeps nobody out, however much of it is remembered.
pub(crate) async fn a_request_that_has_ended_takes_no_place_of_those_that_wait(world: World) {
    let codes = world.store.device_codes();
    let ends = |seconds| Timestamp::from_micros(world.store.now().as_micros() + seconds * SECOND);
    let mut connection = world.raw().await;
    let insert = "INSERT INTO device_codes \
         (poll_hash, user_hash, decision, created_at, expires_at) VALUES ($1, $2, 'pending', 0, $3)";
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    for n in 0..10_000_u32 {
        let hash = n.to_be_bytes().to_vec();
        let query = sqlx::query(insert).bind(hash.clone()).bind(hash).bind(ends(600).as_micros());
        query.execute(&mut connection).await.unwrap();
    }
    sqlx::query("COMMIT").execute(&mut connection).await.unwrap();
    let request = request(1, "192.0.2.1", ends(1_200));
    assert_eq!(codes.insert(&request).await.unwrap(), Asked::TooMany);
    world.clock.turn(600 * SECOND);
    assert_eq!(codes.insert(&request).await.unwrap(), Asked::Kept);
}

pub(crate) async fn a_code_works_once_and_recovery_codes_go_with_their_factor(world: World) {
    let factors = world.store.second_factors();
    factors.offer(account(1), b"first").await.unwrap();
    factors.offer(account(1), b"second").await.unwrap();
    let codes = [hash("r1"), hash("r2")];
    assert!(!factors.use_step(account(1), 5).await.unwrap(), "it is not asked for yet");
    assert!(!factors.confirm(account(1), (b"first", 7), &codes).await.unwrap());
    assert!(factors.confirm(account(1), (b"second", 7), &codes).await.unwrap());
    factors.offer(account(1), b"third").await.unwrap();
    let row = factors.get(account(1)).await.unwrap().unwrap();
    assert!(row.confirmed && row.sealed == b"second");
    assert!(!factors.use_step(account(1), 7).await.unwrap());
    let at_once = join_all((0..6).map(|_| factors.use_step(account(1), 8))).await;
    assert_eq!(at_once.iter().filter(|done| matches!(done, Ok(true))).count(), 1);
    assert!(!factors.use_step(account(1), 7).await.unwrap());
    assert_eq!(factors.codes_left(account(1)).await.unwrap(), 2);
    let used = join_all((0..4).map(|_| factors.use_code(account(1), &codes[0]))).await;
    assert_eq!(used.iter().filter(|done| matches!(done, Ok(true))).count(), 1);
    factors.renew_codes(account(1), &[hash("r3")]).await.unwrap();
    assert!(!factors.use_code(account(1), &codes[1]).await.unwrap());
    assert_eq!(factors.codes_left(account(1)).await.unwrap(), 1);
    factors.delete(account(1)).await.unwrap();
    assert!(factors.get(account(1)).await.unwrap().is_none());
    assert_eq!(factors.codes_left(account(1)).await.unwrap(), 0);
}
