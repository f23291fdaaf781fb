//! Second factors, in a browser and for programs.

use std::time::Duration;

use rigbox_store::Clock as _;
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, SESSION},
    client::{Answer, Client},
    people::{PASSWORD, link, person},
    world::World,
};

const ANN: &str = "ann@example.com";
const STEP: Duration = Duration::from_secs(30);
const FACTOR: &str = "/security/second-factor";

/// The code of now for a secret as people type it.
fn code(world: &World, secret: &str) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for letter in secret.bytes() {
        let at = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter);
        bits = (bits << 5 | u32::try_from(at.unwrap()).unwrap()) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    let step = u64::try_from(world.clock.now().as_micros() / 30_000_000).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 15);
    let four: [u8; 4] = tag.as_ref()[offset..offset + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

/// What stands between two texts of a page.
fn between<'a>(answer: &'a Answer, before: &str, after: &str) -> &'a str {
    let (_, rest) = answer.text().split_once(before).unwrap_or_else(|| panic!("{}", answer.text()));
    rest.split(after).next().unwrap()
}

/// Sets one up: its secret and recovery codes.
pub(crate) async fn set_up(world: &World, browser: &Browser) -> (String, Vec<String>) {
    let start = format!("{FACTOR}/start");
    let begun = browser.submit("/security", &start, &[("password", PASSWORD)]).await;
    assert_eq!((begun.status, begun.location()), (303, FACTOR), "{}", begun.text());
    let page = browser.get(FACTOR).await;
    let secret = between(&page, "Text: <code>", "<").to_owned();
    assert!(page.text().contains("<svg role=\"img\""), "{}", page.text());
    let now = code(world, &secret);
    let done = browser.submit(FACTOR, &format!("{FACTOR}/confirm"), &[("code", &now)]).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let codes = between(&done, "<ul class=\"codes\">", "</ul>");
    let codes = codes.split("<li>").skip(1).map(|code| code.replace("</li>", "")).collect();
    (secret, codes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_full_only_after_the_second_factor() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let other = Browser::signed_in(&world, ANN).await;
    let before = browser.cookie(SESSION).unwrap();
    let (secret, codes) = set_up(&world, &browser).await;
    assert_eq!(codes.len(), 10);
    // Whoever had shown only the password is out; whoever set it up has another secret.
    other.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    assert_ne!(browser.cookie(SESSION).unwrap(), before);
    browser.get("/api/v1/users/me").await.expect(200);
    browser.submit("/security", "/sign-out", &[]).await;

    let fields = [("email", ANN), ("password", PASSWORD), ("next", "/device")];
    let half = browser.post("/sign-in", &fields).await;
    assert_eq!((half.status, half.location()), (303, "/sign-in/code?next=%2Fdevice"));
    assert_eq!(browser.cookie(SESSION), None);
    let pending = browser.cookie("rigbox-pending").unwrap();
    // It opens nothing, however it is shown.
    let thief = Browser::new(&world);
    thief.set_cookie(SESSION, &pending);
    thief.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    world.api.with_key(&pending).get("/users/me").await.refused(401, "unauthenticated");
    assert_eq!(browser.get("/security").await.status, 303);

    // The code with which it was confirmed does not work again.
    let used = browser.post("/sign-in/code", &[("code", &code(&world, &secret))]).await;
    assert_eq!(used.status, 401, "{}", used.text());
    assert!(used.text().contains("aria-describedby=\"code-error code-hint\""), "{}", used.text());
    world.clock.turn(STEP);
    let now = code(&world, &secret);
    let full = browser.post("/sign-in/code", &[("code", &now), ("next", "/device")]).await;
    assert_eq!((full.status, full.location()), (303, "/device"));
    browser.get("/api/v1/users/me").await.expect(200);
    assert_eq!(browser.cookie("rigbox-pending"), None);
    // And the half session is over.
    let again = Browser::new(&world);
    again.set_cookie("rigbox-pending", &pending);
    world.clock.turn(STEP);
    let again = again.post("/sign-in/code", &[("code", &code(&world, &secret))]).await;
    assert_eq!(again.location(), "/sign-in?next=%2Fsecurity");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_shows_the_code_with_the_password() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let (secret, codes) = set_up(&world, &browser).await;
    world.clock.turn(STEP);
    let api = world.api.stranger();
    let send = async |code: Option<&str>| {
        let body = json!({ "email": ANN, "password": PASSWORD, "code": code });
        api.json("POST", "/auth/session", body).await
    };
    let refused = send(None).await.refused(401, "unauthenticated");
    assert_eq!(refused["details"]["field"], "code");
    let now = code(&world, &secret);
    let made = send(Some(&now)).await.expect(201);
    let session = world.api.with_key(made["token"].as_str().unwrap());
    session.get("/users/me").await.expect(200);
    send(Some(&now)).await.refused(401, "unauthenticated");
    // A recovery code works once, however it is spelled.
    send(Some(&codes[3].to_uppercase().replace('-', " "))).await.expect(201);
    send(Some(&codes[3])).await.refused(401, "unauthenticated");
    // Guesses grow slow, the right code as well, and not for ever.
    world.clock.turn(STEP);
    let right = code(&world, &secret);
    for _ in 0..5 {
        send(Some("000000")).await.refused(401, "unauthenticated");
    }
    send(Some(&right)).await.refused(429, "rate_limited");
    // Whoever guesses does not keep the owner from a recovery code.
    send(Some(&codes[4])).await.expect(201);
    world.clock.turn(Duration::from_secs(300));
    send(Some(&code(&world, &secret))).await.expect(201);
    // Nobody learns of a second factor without the password.
    let body = json!({ "email": ANN, "password": "another river stone" });
    let wrong: Value =
        api.json("POST", "/auth/session", body).await.refused(401, "unauthenticated");
    assert_eq!(wrong["details"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_keep_nobody_out_who_is_elsewhere_and_count_however_they_are_spelled() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let (secret, codes) = set_up(&world, &browser).await;
    world.clock.turn(STEP);
    let (near, far) = (world.api.stranger(), world.api.stranger().from([127, 0, 0, 2]));
    let send = async |api: &Client, code: &str| {
        let body = json!({ "email": ANN, "password": PASSWORD, "code": code });
        api.json("POST", "/auth/session", body).await
    };
    // Of one kind, with spaces and without.
    for guess in ["000000", "0 0 0 0 0 0"].iter().cycle().take(6) {
        send(&near, guess).await.refused(401, "unauthenticated");
    }
    let right = code(&world, &secret);
    send(&near, &right).await.too_fast("sign_in", 5, 86_400);
    send(&near, "0 0 0 0 0 0").await.too_fast("sign_in", 5, 86_400);
    for _ in 0..6 {
        send(&near, "00000-00000").await.refused(401, "unauthenticated");
    }
    send(&near, &codes[0]).await.too_fast("sign_in", 5, 86_400);
    send(&far, &codes[0]).await.expect(201);
    send(&far, &right).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_changed_only_with_the_password_and_a_link_does_not_get_past_it() {
    let mut world = World::start().await;
    let id = person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    for path in ["start", "remove"] {
        let path = format!("{FACTOR}/{path}");
        let refused = browser.submit("/security", &path, &[("password", "wrong")]).await;
        assert_eq!(refused.status, 400);
    }
    assert_eq!(browser.get(FACTOR).await.location(), "/security");
    let (secret, codes) = set_up(&world, &browser).await;
    // One that is in use is not replaced by another offer.
    let start = format!("{FACTOR}/start");
    browser.submit("/security", &start, &[("password", PASSWORD)]).await;
    assert_eq!(browser.get(FACTOR).await.location(), "/security");

    let page = browser.submit("/security", "/security/recovery-codes", &[("password", PASSWORD)]);
    let page = page.await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains(&codes[0]));
    let fresh = between(&page, "<ul class=\"codes\"><li>", "</li>").to_owned();

    let lost = Browser::new(&world);
    lost.take_link(&link(&world, &id).await).await;
    let set = lost.post("/password", &[("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!((set.status, set.location()), (303, "/sign-in"));
    assert_eq!(lost.cookie(SESSION), None);
    assert_eq!(lost.sign_in(ANN, PASSWORD).await.location(), "/sign-in/code?next=%2Fsecurity");
    assert_eq!(lost.post("/sign-in/code", &[("code", &codes[0])]).await.status, 401);
    assert_eq!(lost.post("/sign-in/code", &[("code", &fresh)]).await.status, 303);

    let remove = format!("{FACTOR}/remove");
    let gone = lost.submit("/security", &remove, &[("password", PASSWORD)]).await;
    assert_eq!((gone.status, gone.location()), (303, "/security"));
    Browser::signed_in(&world, ANN).await.get("/api/v1/users/me").await.expect(200);

    // Whoever has lost everything asks the operator.
    let (_, codes) = set_up(&world, &lost).await;
    world.api.call("DELETE", &format!("/users/{id}/second-factor")).await.expect(200);
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.location(), "/security");
    let body = json!({ "email": ANN, "password": PASSWORD, "code": codes[0] });
    world.api.stranger().json("POST", "/auth/session", body).await.expect(201);

    world.stop_control().await;
    world.start_control().await;
    let record = world.api.get("/audit?max_results=200").await.expect(200).to_string();
    for action in ["second_factor_create", "second_factor_delete", "recovery_codes_create"] {
        assert!(record.contains(action), "{action}");
    }
    assert!(!record.contains(&secret) && !record.contains(&fresh));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_changed_with_the_old_one_and_ends_every_other_session() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let other = Browser::signed_in(&world, ANN).await;
    other.get("/api/v1/users/me").await.expect(200);
    let send = async |old: &str, new: &str| {
        let fields = [("old", old), ("new", new), ("again", new)];
        browser.submit("/security", "/security/password", &fields).await
    };
    let wrong = send("another river stone", "a heap of odd socks").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("This is not your password"), "{}", wrong.text());
    assert_eq!(send(PASSWORD, "password1234").await.status, 400);
    other.get("/api/v1/users/me").await.expect(200);
    let before = browser.cookie(SESSION).unwrap();
    assert_eq!(send(PASSWORD, "a heap of odd socks").await.status, 303);
    assert_ne!(browser.cookie(SESSION).unwrap(), before);
    browser.get("/api/v1/users/me").await.expect(200);
    other.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.status, 401);
    assert_eq!(Browser::new(&world).sign_in(ANN, "a heap of odd socks").await.status, 303);
    // Somebody at an open session guesses as slowly as anybody.
    let mut last = 400;
    for _ in 0..7 {
        let text = send("another river stone", "a heap of new socks").await;
        last = if text.text().contains("Too many wrong tries") { 429 } else { 400 };
    }
    assert_eq!(last, 429);
}
