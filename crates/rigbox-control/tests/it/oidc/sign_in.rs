//! Signing in by a real provider, with all redirects.

use std::time::Duration;

use rigbox_control::OidcProvider;
use serde_json::{Value, json};

use super::provider::{Provider, says};
use crate::{
    browser::{Browser, SESSION},
    client::Answer,
    people::{PASSWORD, person},
    second_factor::set_up,
    world::World,
};

const FLOW: &str = "rigbox-oidc";

fn ann() -> Value {
    json!({ "sub": "ann-1", "email": "ann@example.com", "email_verified": true, "name": "Ann" })
}

/// The settings of a client that makes accounts for everybody.
fn open(provider: &Provider, name: &str) -> OidcProvider {
    let mut given = provider.settings(name);
    given.settings.create_accounts = true;
    given.settings.allowed_domains = vec!["*".to_owned()];
    given
}

/// Begins a sign-in; where the browser is sent to.
async fn begin(browser: &Browser, name: &str) -> String {
    let answer = browser.get(&format!("/auth/oidc/{name}?next=%2Fdevice")).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.location().to_owned()
}

/// Comes back from the provider.
async fn come_back(world: &World, browser: &Browser, location: &str) -> Answer {
    // As a native client of the provider ours is reached at any port of this address.
    let (_, path) = location.split_once("/auth/oidc/").unwrap();
    assert!(location.starts_with(&world.api.base), "{location}");
    browser.get(&format!("/auth/oidc/{path}")).await
}

/// All of it.
async fn sign_in(
    (world, provider): (&World, &Provider),
    (browser, name): (&Browser, &str),
    subject: &str,
) -> Answer {
    let there = begin(browser, name).await;
    let back = provider.visit(&there, subject).await;
    come_back(world, browser, &back).await
}

async fn me(browser: &Browser) -> Value {
    browser.get("/api/v1/users/me").await.expect(200)["user"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_new_gets_an_account_and_the_same_one_the_next_time() {
    let provider = Provider::start();
    let given = ["rs", "es", "ed"].map(|name| open(&provider, name));
    let world = World::with_providers(given.into()).await;
    provider.knows(ann()).await;
    let page = Browser::new(&world).get("/sign-in?next=%2Fdevice").await;
    says(&page, 200, "href=\"/auth/oidc/rs?next=%2Fdevice\"");
    says(&page, 200, "Acme");
    let mut ids = Vec::new();
    // Each client has its tokens signed by another algorithm.
    for name in ["rs", "es", "ed", "rs"] {
        let browser = Browser::new(&world);
        let answer = sign_in((&world, &provider), (&browser, name), "ann-1").await;
        assert_eq!((answer.status, answer.location()), (303, "/device"), "{}", answer.text());
        assert_eq!(browser.cookie(FLOW), None);
        let me = me(&browser).await;
        assert_eq!((&me["email"], &me["display_name"]), (&json!("ann@example.com"), &json!("Ann")));
        assert_eq!((&me["plan"], &me["has_password"]), (&json!("free"), &json!(false)));
        ids.push(me["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let entries = world.api.get("/audit").await.expect(200)["entries"].clone();
    let text = entries.to_string();
    assert!(text.contains("oidc_sign_up") && text.contains("oidc:rs"), "{text}");
    assert!(!text.contains("ann-1") && !text.contains("eyJ"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_id_token_does_not_say_is_asked_for() {
    let provider = Provider::thin();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(me(&browser).await["email"], "ann@example.com");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_account_or_no_right_address_is_refused() {
    let provider = Provider::start();
    let mut domain = open(&provider, "rs");
    domain.settings.allowed_domains = vec!["example.com".to_owned()];
    let world = World::with_providers(vec![domain, provider.settings("es")]).await;
    provider.knows(ann()).await;
    for (sub, email, verified, name, expected) in [
        ("a", "ann@example.com", false, "rs", "does not say that your e-mail address is verified"),
        ("b", "eve@other.example", true, "rs", "is not one of those that may sign in here"),
        ("c", "eve@sub.example.com", true, "rs", "is not one of those that may sign in here"),
        ("d", "bob@example.com", true, "es", "You have no account on this installation"),
        ("e", "bob@example.com", false, "es", "does not say that your e-mail address is verified"),
    ] {
        provider.knows(json!({ "sub": sub, "email": email, "email_verified": verified })).await;
        let browser = Browser::new(&world);
        let answer = sign_in((&world, &provider), (&browser, name), sub).await;
        says(&answer, 403, expected);
        assert_eq!(browser.cookie(SESSION), None);
    }
    // Who is known but has left the domain is out as well.
    let browser = Browser::new(&world);
    assert_eq!(sign_in((&world, &provider), (&browser, "rs"), "ann-1").await.status, 303);
    provider
        .knows(json!({ "sub": "ann-1", "email": "ann@new.example", "email_verified": true }))
        .await;
    let answer = sign_in((&world, &provider), (&Browser::new(&world), "rs"), "ann-1").await;
    says(&answer, 403, "is not one of those that may sign in here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_there_is_connected_by_its_password_and_a_click() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    let id = person(&world, "ann@example.com").await;
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    says(&answer, 200, "There is an account with the address");
    says(&answer, 200, "href=\"/sign-in?next=%2Fauth%2Fconnect\"");
    assert_eq!(browser.cookie(SESSION), None);
    // Nothing is connected by looking at the page, nor by a form from elsewhere.
    let fields = [("email", "ann@example.com"), ("password", PASSWORD), ("next", "/auth/connect")];
    let signed_in = browser.post("/sign-in", &fields).await;
    assert_eq!(signed_in.location(), "/auth/connect");
    says(&browser.get("/auth/connect").await, 200, "ann@example.com");
    assert_eq!(browser.post("/auth/connect", &[("form_token", "x")]).await.status, 403);
    let done = browser.submit("/auth/connect", "/auth/connect", &[]).await;
    assert_eq!((done.status, done.location()), (303, "/security"));
    let other = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&other, "rs"), "ann-1").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(me(&other).await["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_provider_opens_the_account_with_the_address_but_never_the_operators() {
    let provider = Provider::start();
    let mut given = open(&provider, "rs");
    given.settings.link_by_email = true;
    let world = World::with_providers(vec![given]).await;
    provider.knows(ann()).await;
    let id = person(&world, "ann@example.com").await;
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(me(&browser).await["id"], json!(id));
    // The address was given to somebody else meanwhile: another subject.
    provider
        .knows(json!({ "sub": "eve", "email": "ann@example.com", "email_verified": true }))
        .await;
    let answer = sign_in((&world, &provider), (&Browser::new(&world), "rs"), "eve").await;
    says(&answer, 403, "is connected with somebody else");
    // And Ann's own new one moves nothing.
    provider
        .knows(json!({ "sub": "ann-1", "email": "new@example.com", "email_verified": true }))
        .await;
    let browser = Browser::new(&world);
    assert_eq!(sign_in((&world, &provider), (&browser, "rs"), "ann-1").await.status, 303);
    assert_eq!(me(&browser).await["email"], "ann@example.com");

    let operator = world.api.get("/users/me").await.expect(200)["user"]["id"].clone();
    let browser = Browser::new(&world);
    browser.take_link(&crate::people::link(&world, operator.as_str().unwrap()).await).await;
    let fields = [("email", "root@example.com"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.post("/setup", &fields).await.status, 303);
    provider
        .knows(json!({ "sub": "r", "email": "root@example.com", "email_verified": true }))
        .await;
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "r").await;
    says(&answer, 200, "There is an account with the address");
    assert_eq!(browser.cookie(SESSION), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_once_and_only_in_its_own_browser() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs"), open(&provider, "es")]).await;
    provider.knows(ann()).await;
    let browser = Browser::new(&world);
    let back = provider.visit(&begin(&browser, "rs").await, "ann-1").await;
    // In another browser, which was made to open the link: it would sign in there as somebody else.
    let victim = Browser::new(&world);
    says(&come_back(&world, &victim, &back).await, 400, "was not begun in this browser");
    begin(&victim, "rs").await;
    says(&come_back(&world, &victim, &back).await, 400, "was not begun in this browser");
    assert_eq!(victim.cookie(SESSION), None);
    // With another state, none, two of them, or as if from another provider.
    let (path, query) = back.split_once('?').unwrap();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let (state, code, issuer) = (value("state"), value("code"), value("iss"));
    for query in [
        format!("code={code}&iss={issuer}"),
        format!("code={code}&iss={issuer}&state={}", state.replace(&state[..4], "AAAA")),
        format!("code={code}&iss={issuer}&state={state}&state={state}"),
        "%ff=%".to_owned(),
        String::new(),
    ] {
        let answer = come_back(&world, &browser, &format!("{path}?{query}")).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(browser.cookie(FLOW).is_some());
    }
    let other = back.replace("/rs/", "/es/");
    says(&come_back(&world, &browser, &other).await, 400, "was not begun in this browser");
    // None of these has ended it.
    let flow = browser.cookie(FLOW).unwrap();
    let answer = come_back(&world, &browser, &back).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    // Again, with the cookie as well.
    browser.set_cookie(FLOW, &flow);
    says(&come_back(&world, &browser, &back).await, 400, "was used already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_must_name_the_provider_that_was_asked() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    for change in ["", "&iss=https%3A%2F%2Fevil.example"] {
        let browser = Browser::new(&world);
        let back = provider.visit(&begin(&browser, "rs").await, "ann-1").await;
        let (before, _) = back.split_once("&iss=").expect("the provider names itself");
        let answer = come_back(&world, &browser, &format!("{before}{change}")).await;
        says(&answer, 400, "cannot be trusted");
        assert_eq!(browser.cookie(SESSION), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_takes_too_long_or_is_declined_ends() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    let browser = Browser::new(&world);
    let back = provider.decline(&begin(&browser, "rs").await, "ann-1").await;
    let answer = come_back(&world, &browser, &back).await;
    says(&answer, 403, "The sign-in was cancelled at the provider");
    let back = provider.visit(&begin(&browser, "rs").await, "ann-1").await;
    world.clock.turn(Duration::from_secs(601));
    says(&come_back(&world, &browser, &back).await, 400, "took longer than ten minutes");
    // By our clock the provider's tokens are from long ago now.
    world.clock.turn(Duration::from_secs(7_200));
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    says(&answer, 400, "cannot be trusted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_of_the_provider_are_found() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    let browser = Browser::new(&world);
    assert_eq!(sign_in((&world, &provider), (&browser, "rs"), "ann-1").await.status, 303);
    provider.rotate().await;
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_is_said_to_be() {
    let provider = Provider::start();
    let given = open(&provider, "rs");
    drop(provider);
    let world = World::with_providers(vec![given]).await;
    let browser = Browser::new(&world);
    says(&browser.get("/auth/oidc/rs").await, 502, "does not answer as it should");
    says(&browser.get("/auth/oidc/other").await, 404, "There is no such sign-in");
    // Everybody else signs in as before.
    person(&world, "ann@example.com").await;
    assert_eq!(browser.sign_in("ann@example.com", PASSWORD).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_account_stays_shut() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    let browser = Browser::new(&world);
    assert_eq!(sign_in((&world, &provider), (&browser, "rs"), "ann-1").await.status, 303);
    let id = me(&browser).await["id"].as_str().unwrap().to_owned();
    let path = format!("/users/{id}");
    world.api.json("PATCH", &path, json!({ "disabled": true })).await.expect(200);
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    says(&answer, 403, "This account is disabled");
    assert_eq!(browser.cookie(SESSION), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_begins_nothing() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    let browser = Browser::new(&world);
    for site in ["cross-site", "same-site"] {
        let mut request = browser.request("GET", "/auth/oidc/rs?next=%2Fdevice", "".into());
        request.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        let answer = browser.send(request).await;
        assert_eq!((answer.status, answer.location()), (303, "/sign-in?next=%2Fdevice"));
    }
    let answer = browser.get("/auth/oidc/rs?next=%2F%2Fevil.example").await;
    assert_eq!(answer.status, 303);
    assert_eq!(browser.post("/auth/oidc/rs", &[]).await.status, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_stands_for_the_password_and_not_for_the_second_factor() {
    let provider = Provider::start();
    let mut given = open(&provider, "rs");
    given.settings.link_by_email = true;
    let world = World::with_providers(vec![given]).await;
    provider.knows(ann()).await;
    person(&world, "ann@example.com").await;
    let own = Browser::signed_in(&world, "ann@example.com").await;
    set_up(&world, &own).await;
    let browser = Browser::new(&world);
    let answer = sign_in((&world, &provider), (&browser, "rs"), "ann-1").await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in/code?next=%2Fdevice"));
    assert_eq!(browser.cookie(SESSION), None);
    assert!(browser.cookie("rigbox-pending").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_way_to_sign_in_is_kept() {
    let provider = Provider::start();
    let world = World::with_providers(vec![open(&provider, "rs")]).await;
    provider.knows(ann()).await;
    let browser = Browser::new(&world);
    assert_eq!(sign_in((&world, &provider), (&browser, "rs"), "ann-1").await.status, 303);
    let id = me(&browser).await["id"].as_str().unwrap().to_owned();
    let shown = world.api.get(&format!("/users/{id}")).await.expect(200);
    assert_eq!(shown["identities"][0]["issuer"], json!(provider.issuer));
    assert_eq!(shown["identities"][0]["email"], "ann@example.com");
    says(&browser.get("/security").await, 200, "Acme");
    let fields = [("issuer", provider.issuer.as_str())];
    let answer = browser.submit("/security", "/auth/disconnect", &fields).await;
    says(&answer, 409, "the only way left to sign in");
    let link = crate::people::link(&world, &id).await;
    browser.take_link(&link).await;
    let set = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.post("/password", &set).await.status, 303);
    let browser = Browser::signed_in(&world, "ann@example.com").await;
    let answer = browser.submit("/security", "/auth/disconnect", &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(world.api.get(&format!("/users/{id}")).await.expect(200)["identities"], json!([]));
}
