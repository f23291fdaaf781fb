//! One-time links, and the passwords that are set by them.

use std::time::Duration;

use serde_json::json;

use crate::{
    browser::{Browser, SESSION},
    people::{PASSWORD, link, person},
    world::World,
};

const ANN: &str = "ann@example.com";
const OTHER: &str = "a heap of odd socks";

async fn set(browser: &Browser, password: &str) -> u16 {
    let fields = [("password", password), ("again", password)];
    browser.post("/password", &fields).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_sets_up_an_address_and_a_password() {
    let world = World::start().await;
    let me = world.api.get("/users/me").await.expect(200);
    assert_eq!(
        (&me["user"]["has_password"], &me["user"]["standing"]),
        (&json!(false), &json!("operator"))
    );
    assert_eq!(me["credential"]["kind"], "api_key");
    let id = me["user"]["id"].as_str().unwrap();
    let url = link(&world, id).await;
    assert!(url.starts_with(&format!("{}/setup?token=", world.api.base)), "{url}");

    let browser = Browser::new(&world);
    browser.take_link(&url).await;
    let page = browser.get("/setup").await;
    assert!(page.text().contains("Set up this installation"), "{}", page.text());
    let send = async |email: &str, password: &str, again: &str| {
        let fields = [("email", email), ("password", password), ("again", again)];
        browser.post("/setup", &fields).await
    };
    let refused = send("nobody", "short", "other").await;
    assert_eq!(refused.status, 400);
    for part in [
        "aria-describedby=\"email-error\"",
        "aria-describedby=\"password-error password-hint\"",
        "aria-describedby=\"again-error\"",
        "value=\"nobody\"",
    ] {
        assert!(refused.text().contains(part), "{part}: {}", refused.text());
    }
    assert!(!refused.text().contains("short"));
    let own = send("op@example.com", "op@example.com", "op@example.com").await;
    assert!(own.text().contains("something else than your address"), "{}", own.text());
    person(&world, ANN).await;
    let taken = send(ANN, PASSWORD, PASSWORD).await;
    assert_eq!(taken.status, 409);
    assert!(taken.text().contains("Another account has this address"));
    // Nothing of all that has used the link up.
    let done = send("Op@Example.com", PASSWORD, PASSWORD).await;
    assert_eq!((done.status, done.location()), (303, "/security"));
    let me = browser.get("/api/v1/users/me").await.expect(200);
    assert_eq!(
        (&me["user"]["email"], &me["user"]["standing"]),
        (&json!("op@example.com"), &json!("operator"))
    );
    let again = Browser::signed_in(&world, "op@example.com").await;
    again.get("/api/v1/users").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_works_once_for_a_day_and_only_the_newest() {
    let world = World::start().await;
    let id = person(&world, ANN).await;
    let gone = async |url: &str| {
        let path = url.strip_prefix(&world.api.base).unwrap();
        Browser::new(&world).get(path).await.status == 404
    };
    let (first, second) = (link(&world, &id).await, link(&world, &id).await);
    assert!(gone(&first).await);
    // Whoever merely looks does not use it up.
    for _ in 0..2 {
        Browser::new(&world).take_link(&second).await;
    }
    let (one, other) = (Browser::new(&world), Browser::new(&world));
    one.take_link(&second).await;
    other.take_link(&second).await;
    assert_eq!(set(&one, OTHER).await, 303);
    assert_eq!(set(&other, PASSWORD).await, 404);
    assert!(gone(&second).await);
    assert_eq!(Browser::new(&world).sign_in(ANN, OTHER).await.status, 303);

    let third = link(&world, &id).await;
    let late = Browser::new(&world);
    late.take_link(&third).await;
    world.clock.turn(Duration::from_secs(24 * 3600));
    assert!(gone(&third).await);
    assert_eq!(set(&late, PASSWORD).await, 404);
    for token in ["x", "", &format!("rbl_{}", "0".repeat(64))] {
        let page = Browser::new(&world).get(&format!("/password?token={token}")).await;
        assert_eq!(page.status, 404, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_set_by_a_link_ends_every_session() {
    let world = World::start().await;
    let id = person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let body = json!({ "email": ANN, "password": PASSWORD });
    let made = world.api.stranger().json("POST", "/auth/session", body).await.expect(201);
    let program = world.api.with_key(made["token"].as_str().unwrap());
    program.get("/users/me").await.expect(200);
    browser.get("/api/v1/users/me").await.expect(200);

    let lost = Browser::new(&world);
    lost.take_link(&link(&world, &id).await).await;
    assert_eq!(set(&lost, OTHER).await, 303);
    program.get("/users/me").await.refused(401, "unauthenticated");
    browser.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    assert!(lost.cookie(SESSION).is_some() && lost.cookie("rigbox-link").is_none());
    lost.get("/api/v1/users/me").await.expect(200);
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_sets_the_password_of_whom_it_names() {
    let world = World::start().await;
    let ann = person(&world, ANN).await;
    let eve = person(&world, "eve@example.com").await;
    let browser = Browser::new(&world);
    browser.take_link(&link(&world, &ann).await).await;
    // Somebody's page opens another link in another tab.
    browser.take_link(&link(&world, &eve).await).await;
    let fields =
        [("whose", &*ann), ("password", "a river of stones"), ("again", "a river of stones")];
    let refused = browser.post("/password", &fields).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let own = [("whose", &*eve), fields[1], fields[2]];
    assert_eq!(browser.post("/password", &own).await.status, 303);
}
