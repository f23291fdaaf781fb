//! What a provider or whoever is between might try.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    hostile::{Hostile, Key, Reply, message},
    provider::says,
};
use crate::{
    browser::{Browser, SESSION},
    client::Answer,
    people::{PASSWORD, person},
    world::World,
};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const UNTRUSTED: &str = "cannot be trusted";
const DOWN: &str = "does not answer as it should";

/// Makes a token for a nonce.
type Forge<'f> = Box<dyn Fn(&str) -> String + 'f>;

async fn world() -> (Hostile, World) {
    let hostile = Hostile::start().await;
    let world = World::with_providers(vec![hostile.settings()]).await;
    (hostile, world)
}

/// Begins; state and nonce of the address that the browser is sent to.
async fn begin(browser: &Browser) -> (String, String) {
    let answer = browser.get("/auth/oidc/evil").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let (_, query) = answer.location().split_once('?').unwrap();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!(value("code_challenge_method"), "S256");
    (value("state"), value("nonce"))
}

async fn come_back(browser: &Browser, state: &str) -> Answer {
    browser.get(&format!("/auth/oidc/evil/callback?code=c&state={state}")).await
}

fn header(key: &Key) -> Value {
    json!({ "alg": "ES256", "kid": key.kid })
}

/// A sign-in with the ID token that `forge` makes for its nonce.
async fn with(hostile: &Hostile, world: &World, forge: impl FnOnce(&str) -> String) -> Answer {
    let browser = Browser::new(world);
    let (state, nonce) = begin(&browser).await;
    hostile.gives(&forge(&nonce));
    let answer = come_back(&browser, &state).await;
    assert_eq!(browser.cookie(SESSION).is_some(), answer.status == 303);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_signed_by_the_provider_is_refused() {
    let (hostile, world) = world().await;
    let key = &hostile.key;
    let (other, same_kid) = (Key::new("2"), Key::new("1"));
    let none = json!({});
    let good = |nonce: &str| hostile.claims(nonce, &none);
    let forged: Vec<Forge<'_>> = vec![
        Box::new(|nonce| format!("{}.", message(&json!({ "alg": "none" }), &good(nonce)))),
        Box::new(|nonce| key.sign(&json!({ "alg": "none" }), &good(nonce))),
        Box::new(|nonce| key.confuse(&good(nonce))),
        Box::new(|nonce| same_kid.sign(&header(key), &good(nonce))),
        Box::new(|nonce| other.sign(&header(&other), &good(nonce))),
        Box::new(|nonce| key.sign(&json!({ "alg": "RS256", "kid": "1" }), &good(nonce))),
        Box::new(|nonce| {
            key.sign(&json!({ "alg": "ES256", "kid": "1", "crit": ["b64"] }), &good(nonce))
        }),
        Box::new(|nonce| {
            // A key of the forger's own in the header, and a place to fetch one from.
            let jku = format!("{}/stolen", hostile.issuer);
            let header =
                json!({ "alg": "ES256", "kid": "2", "jwk": other.jwk(), "jku": jku, "x5u": jku });
            other.sign(&header, &good(nonce))
        }),
        Box::new(|_| "a.b.c".to_owned()),
        Box::new(|_| "a".repeat(100_000)),
    ];
    for forge in &forged {
        says(&with(&hostile, &world, forge).await, 400, UNTRUSTED);
    }
    assert_eq!(hostile.asked("/stolen"), 0);
    // Tokens with keys that are not known make us ask again once, not each time.
    assert_eq!(hostile.asked("/jwks"), 2);
    let answer = with(&hostile, &world, |nonce| key.sign(&header(key), &good(nonce))).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_something_else_is_refused() {
    let (hostile, world) = world().await;
    let key = &hostile.key;
    for changes in [
        json!({ "aud": "other" }),
        json!({ "aud": ["rigbox", "other"] }),
        json!({ "azp": "other" }),
        json!({ "iss": "https://evil.example" }),
        json!({ "nonce": "other" }),
        json!({ "nonce": null }),
        json!({ "exp": 1_000_000_000 }),
        json!({ "iat": 1_000_000_000 }),
        json!({ "exp": null }),
        json!({ "at_hash": "AAAA" }),
        json!({ "sub": null }),
    ] {
        let sign = |nonce: &str| key.sign(&header(key), &hostile.claims(nonce, &changes));
        says(&with(&hostile, &world, sign).await, 400, UNTRUSTED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_another_issuer_or_unencrypted_are_not_believed() {
    let (hostile, world) = world().await;
    let other = |name: &str, value: &str| {
        let mut metadata = hostile.metadata();
        metadata[name] = json!(value);
        Reply::Json(metadata)
    };
    let elsewhere = Reply::Redirect(format!("{}/elsewhere", hostile.issuer));
    hostile.says("/elsewhere", Reply::Json(hostile.metadata()));
    for reply in [
        other("issuer", "https://id.example"),
        other("issuer", &format!("{}/", hostile.issuer)),
        other("token_endpoint", "http://10.0.0.1/token"),
        other("jwks_uri", "file:///etc/passwd"),
        other("authorization_endpoint", "javascript:alert(1)"),
        elsewhere,
        Reply::Status(500),
        Reply::Json(json!([])),
        Reply::Huge,
    ] {
        hostile.says(DISCOVERY, reply);
        // Each in a world of its own: a provider that failed is left alone for a while.
        let world = World::with_providers(vec![hostile.settings()]).await;
        says(&Browser::new(&world).get("/auth/oidc/evil").await, 502, DOWN);
    }
    assert_eq!(hostile.asked("/elsewhere"), 0);
    assert!(hostile.sent() < 64 << 20, "{} bytes were taken", hostile.sent());
    hostile.says(DISCOVERY, Reply::Json(hostile.metadata()));
    begin(&Browser::new(&world)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_slow_or_too_much_costs_a_bounded_wait() {
    let (hostile, world) = world().await;
    let browser = Browser::new(&world);
    for (reply, status) in [
        (Reply::Huge, 502),
        (Reply::Status(503), 502),
        (Reply::Redirect(format!("{}/elsewhere", hostile.issuer)), 502),
        (Reply::Json(json!({ "access_token": "a", "token_type": "Bearer" })), 502),
    ] {
        hostile.says("/token", reply);
        let (state, _) = begin(&browser).await;
        says(&come_back(&browser, &state).await, status, DOWN);
    }
    assert_eq!(hostile.asked("/elsewhere"), 0);
    hostile.says("/token", Reply::Slow);
    // At the same time: one after the other would be longer than the client's patience.
    let visits = (0..3).map(|_| async {
        let browser = Browser::new(&world);
        let (state, _) = begin(&browser).await;
        says(&come_back(&browser, &state).await, 502, DOWN);
    });
    futures_util::future::join_all(visits).await;
    assert!(hostile.sent() < 64 << 20, "{} bytes were taken", hostile.sent());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_answer_sent_many_times_at_once_one_counts() {
    let hostile = Hostile::start().await;
    let world = World::with_providers_on_postgres(vec![hostile.settings()]).await;
    let browser = Browser::new(&world);
    let (state, nonce) = begin(&browser).await;
    let claims = hostile.claims(&nonce, &json!({}));
    hostile.gives(&hostile.key.sign(&header(&hostile.key), &claims));
    let path = format!("/auth/oidc/evil/callback?code=c&state={state}");
    let requests: Vec<_> = (0..8).map(|_| browser.request("GET", &path, "".into())).collect();
    let answers = requests.into_iter().map(|request| browser.send(request));
    let answers = futures_util::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(hostile.asked("/token"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_long_ago_connects_nothing_without_the_password() {
    let (hostile, world) = world().await;
    person(&world, "ann@example.com").await;
    let browser = Browser::signed_in(&world, "ann@example.com").await;
    world.clock.turn(Duration::from_secs(1_200));
    let (state, nonce) = begin(&browser).await;
    let now = hostile.claims(&nonce, &json!({}))["iat"].as_i64().unwrap() + 1_200;
    let claims = hostile.claims(&nonce, &json!({ "iat": now, "exp": now + 300 }));
    hostile.gives(&hostile.key.sign(&header(&hostile.key), &claims));
    let answer = come_back(&browser, &state).await;
    assert_eq!((answer.status, answer.location()), (303, "/auth/connect"), "{}", answer.text());
    says(&browser.get("/auth/connect").await, 200, "Your password here");
    for password in ["", "wrong wrong wrong"] {
        let fields = [("password", password)];
        let answer = browser.submit("/auth/connect", "/auth/connect", &fields).await;
        says(&answer, 403, "That is not your password");
    }
    let fields = [("password", PASSWORD)];
    let answer = browser.submit("/auth/connect", "/auth/connect", &fields).await;
    assert_eq!((answer.status, answer.location()), (303, "/security"), "{}", answer.text());
    says(&browser.get("/security").await, 200, "eve@example.com");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_a_provider_are_not_shown() {
    let (_hostile, world) = world().await;
    let browser = Browser::new(&world);
    let (state, _) = begin(&browser).await;
    let words = "error=%3Cscript%3E&error_description=call+555-1234";
    let answer = browser.get(&format!("/auth/oidc/evil/callback?{words}&state={state}")).await;
    says(&answer, 400, "The sign-in provider has refused");
    assert!(!answer.text().contains("555") && !answer.text().contains("script"));
}
