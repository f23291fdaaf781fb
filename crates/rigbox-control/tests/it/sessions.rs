//! Sessions: how long they last, who sees and ends them, and what the record says of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    browser::{Browser, SESSION},
    client::Client,
    people::{PASSWORD, person},
    world::World,
};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const HOUR: Duration = Duration::from_secs(3_600);

async fn program(world: &World, email: &str) -> Client {
    let body = json!({ "email": email, "password": PASSWORD });
    let made = world.api.stranger().json("POST", "/auth/session", body).await.expect(201);
    world.api.with_key(made["token"].as_str().unwrap())
}

async fn listed(api: &Client) -> Vec<Value> {
    api.get("/auth/sessions").await.expect(200)["sessions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
    let world = World::start().await;
    person(&world, ANN).await;
    let (idle, used) = (program(&world, ANN).await, program(&world, ANN).await);
    for hours in 1..=13 {
        world.clock.turn(HOUR);
        assert_eq!(used.get("/users/me").await.status, 200, "{hours}");
    }
    idle.get("/users/me").await.refused(401, "unauthenticated");
    for _ in 0..59 {
        world.clock.turn(HOUR * 12 - Duration::from_secs(60));
        used.get("/users/me").await;
    }
    used.get("/users/me").await.refused(401, "unauthenticated");
    assert_eq!(listed(&program(&world, ANN).await).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_gets_another_secret_each_hour_and_the_old_one_is_good_for_a_moment() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let first = browser.cookie(SESSION).unwrap();
    browser.get("/api/v1/users/me").await.expect(200);
    assert_eq!(browser.cookie(SESSION).unwrap(), first);
    world.clock.turn(HOUR);
    // Two requests at once: one gets the new secret, and both are answered.
    let old = Browser::new(&world);
    old.set_cookie(SESSION, &first);
    let (a, b) = tokio::join!(browser.get("/security"), old.get("/api/v1/users/me"));
    assert_eq!((a.status, b.status), (200, 200));
    let both = [browser.cookie(SESSION).unwrap(), old.cookie(SESSION).unwrap()];
    let second = both.iter().find(|token| **token != first).unwrap().clone();
    assert!(both.contains(&first), "one was renewed");
    browser.set_cookie(SESSION, &second);
    // An answer that got lost locks nobody out.
    old.set_cookie(SESSION, &first);
    world.clock.turn(Duration::from_secs(600));
    old.get("/api/v1/users/me").await.expect(200);
    // Once the new one was seen, the old one is good for a minute.
    browser.get("/api/v1/users/me").await.expect(200);
    old.get("/api/v1/users/me").await.expect(200);
    world.clock.turn(Duration::from_secs(61));
    browser.get("/api/v1/users/me").await.expect(200);
    // Whoever shows it after that has a copy, or the other one has: both are out.
    let elsewhere = world.another_control().await;
    for secret in [&first, &second] {
        let mut request = elsewhere.stranger().request("GET", "/users/me", "".into());
        request.headers_mut().insert("cookie", format!("{SESSION}={secret}").parse().unwrap());
        elsewhere.send(request).await.refused(401, "unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_neither_see_nor_end_each_others_sessions() {
    let world = World::start().await;
    person(&world, ANN).await;
    person(&world, BOB).await;
    let (ann, second, bob) =
        (program(&world, ANN).await, program(&world, ANN).await, program(&world, BOB).await);
    // With those of the browsers in which they set their passwords.
    let (of_ann, of_bob) = (listed(&ann).await, listed(&bob).await);
    assert_eq!((of_ann.len(), of_bob.len()), (3, 2), "{of_ann:?} {of_bob:?}");
    let current: Vec<_> = of_ann.iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["browser"], false);
    assert_eq!(current[0]["address"], "127.0.0.1");
    assert!(!json!(of_ann).to_string().contains("rbs_"));
    for session in &of_ann {
        let path = format!("/auth/sessions/{}", session["id"].as_str().unwrap());
        bob.call("DELETE", &path).await.refused(404, "not_found");
        world.api.call("DELETE", &path).await.refused(404, "not_found");
    }
    second.get("/users/me").await.expect(200);
    let own = listed(&second).await.into_iter().find(|s| s["current"] == true).unwrap();
    let path = format!("/auth/sessions/{}", own["id"].as_str().unwrap());
    ann.call("DELETE", &path).await.expect(200);
    second.get("/users/me").await.refused(401, "unauthenticated");
    ann.call("DELETE", &path).await.refused(404, "not_found");
    ann.call("DELETE", "/auth/session").await.expect(200);
    ann.get("/users/me").await.refused(401, "unauthenticated");
    world.api.call("DELETE", "/auth/session").await.refused(400, "invalid_state");
    assert_eq!(listed(&bob).await.len(), 2);
}

async fn a_session_ends_everywhere_at_once(world: World) {
    person(&world, ANN).await;
    let here = program(&world, ANN).await;
    let other = world.another_control().await;
    let there = here.with_base(other.base.clone());
    there.get("/users/me").await.expect(200);
    here.call("DELETE", "/auth/session").await.expect(200);
    // The other control is told by the database, or looks for itself within seconds.
    let begun = std::time::Instant::now();
    while there.get("/users/me").await.status != 401 {
        assert!(begun.elapsed() < crate::client::PATIENCE, "still believed");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_everywhere_at_once_on_sqlite() {
    a_session_ends_everywhere_at_once(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_everywhere_at_once_on_postgres() {
    a_session_ends_everywhere_at_once(World::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_says_who_signed_in_and_who_tried_and_no_secret() {
    let mut world = World::start().await;
    let id = person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let token = browser.cookie(SESSION).unwrap();
    browser.submit("/security", "/sign-out", &[]).await;
    Browser::new(&world).sign_in(ANN, "another river stone").await;
    Browser::new(&world).sign_in("eve@example.com", "another river stone").await;
    world.stop_control().await;
    world.start_control().await;
    let record = world.api.get("/audit?max_results=200").await.expect(200);
    let of = |action: &str| -> Vec<(Value, Value, Value)> {
        let entries = record["entries"].as_array().unwrap().iter();
        let entries = entries.filter(|entry| entry["action"] == action);
        let facts = |entry: &Value| {
            assert_eq!(entry["address"], "127.0.0.1");
            (entry["account"].clone(), entry["status"].clone(), entry["code"].clone())
        };
        entries.map(facts).collect()
    };
    let good = (json!(id), json!(200), Value::Null);
    let bad = |account| (account, json!(401), json!("unauthenticated"));
    // The first one was by the link.
    let expected = [bad(Value::Null), bad(json!(id)), good.clone(), good.clone()];
    assert_eq!(of("sign_in"), expected);
    for action in ["sign_out", "password_set"] {
        assert_eq!(of(action), std::slice::from_ref(&good), "{action}");
    }
    let text = record.to_string();
    for secret in [&token[40..], PASSWORD, "another river", "rbl_"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(text.contains("session:"), "{text}");
}
