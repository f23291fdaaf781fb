//! Letting a command line in by a browser.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    browser::{Browser, SESSION},
    client::Client,
    people::{PASSWORD, person},
    world::World,
};

const ANN: &str = "ann@example.com";
const BEGIN: &str = "/auth/cli/session";

/// A command line that has begun, and asks no sooner than it may.
struct Rig<'w> {
    world: &'w World,
    api: Client,
    code: String,
    user_code: String,
}

impl<'w> Rig<'w> {
    async fn begin(world: &'w World) -> Self {
        let api = world.api.stranger();
        let mut request = api.request("POST", BEGIN, "".into());
        request.headers_mut().insert("user-agent", "rig/<1>".parse().unwrap());
        let begun = api.send(request).await.expect(200);
        let text = |name: &str| begun[name].as_str().unwrap().to_owned();
        let (code, user_code) = (text("code"), text("user_code"));
        assert_eq!(text("url"), format!("{}/device?code={user_code}", world.api.base));
        assert!(!text("url").contains(&code[4..]) && code.len() > 64);
        assert_eq!((&begun["expires_in_s"], &begun["poll_interval_s"]), (&json!(600), &json!(3)));
        Self { world, api, code, user_code }
    }

    async fn poll(&self) -> Value {
        self.world.clock.turn(Duration::from_secs(3));
        self.api.get(&format!("{BEGIN}/{}", self.code)).await.expect(200)
    }

    fn page(&self) -> String {
        format!("/device?code={}", self.user_code)
    }

    async fn answer(&self, browser: &Browser, decision: &str) -> u16 {
        let fields = [("code", self.user_code.as_str()), ("decision", decision)];
        browser.submit("/security", "/device", &fields).await.status
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_is_let_in_by_a_person_and_gets_one_key() {
    let world = World::start().await;
    let id = person(&world, ANN).await;
    let rig = Rig::begin(&world).await;
    assert_eq!(rig.poll().await["status"], "pending");

    let browser = Browser::new(&world);
    let asked = browser.get(&rig.page()).await;
    let path = format!("/sign-in?next=%2Fdevice%3Fcode%3D{}", rig.user_code);
    assert_eq!((asked.status, asked.location()), (303, path.as_str()));
    browser.sign_in(ANN, PASSWORD).await;
    let page = browser.get(&rig.page()).await;
    let text = page.text();
    for part in [&rig.user_code, "rig/&lt;1&gt;", "127.0.0.1", "rig login", "<time datetime"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("another address"), "{text}");
    // Looking is not saying yes.
    assert_eq!(rig.poll().await["status"], "pending");
    assert_eq!(rig.answer(&browser, "approve").await, 200);

    let approved = rig.poll().await;
    assert_eq!((&approved["status"], &approved["user_email"]), (&json!("approved"), &json!(ANN)));
    let key = approved["api_key"].as_str().unwrap();
    let api = world.api.with_key(key);
    let me = api.get("/users/me").await.expect(200);
    assert_eq!((&me["user"]["id"], &me["credential"]["kind"]), (&json!(id), &json!("api_key")));
    assert_eq!(me["credential"]["id"], approved["api_key_id"]);
    // Once, and decided once.
    let again = rig.poll().await;
    assert_eq!((&again["status"], &again["api_key"]), (&json!("approved"), &Value::Null));
    assert_eq!(rig.answer(&browser, "deny").await, 404);
    let keys = api.get("/api-keys").await.expect(200);
    assert_eq!(keys["api_keys"].as_array().unwrap().len(), 1);
    assert_eq!(keys["api_keys"][0]["name"], "rig/<1> from 127.0.0.1");
    // The key outlives the session that said yes.
    browser.submit("/security", "/sign-out", &[]).await;
    api.get("/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_and_no_answer_make_no_key() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let (denied, late, slow) =
        (Rig::begin(&world).await, Rig::begin(&world).await, Rig::begin(&world).await);
    assert_eq!(denied.answer(&browser, "deny").await, 200);
    assert_eq!(denied.poll().await["status"], "denied");
    assert_eq!(denied.answer(&browser, "approve").await, 404);
    assert_eq!(denied.poll().await["api_key"], Value::Null);

    assert_eq!(slow.answer(&browser, "approve").await, 200);
    world.clock.turn(Duration::from_secs(600));
    assert_eq!(late.answer(&browser, "approve").await, 404);
    assert_eq!(browser.get(&late.page()).await.status, 404);
    for over in [&late, &slow] {
        let status = over.poll().await;
        assert_eq!((&status["status"], &status["api_key"]), (&json!("expired"), &Value::Null));
    }
    let keys = browser.get("/api/v1/api-keys").await.expect(200);
    assert_eq!(keys["api_keys"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_ask_at_once_one_gets_the_key() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let rig = Rig::begin(&world).await;
    rig.answer(&browser, "approve").await;
    let path = format!("{BEGIN}/{}", rig.code);
    let answers = futures_util::future::join_all((0..8).map(|_| rig.api.get(&path))).await;
    let given = answers.iter().filter(|a| a.status == 200 && a.json()["api_key"].is_string());
    assert_eq!(given.count(), 1, "{answers:?}");
    assert_eq!(
        browser.get("/api/v1/api-keys").await.expect(200)["api_keys"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_to_slow_down() {
    let world = World::start().await;
    world.clock.stop();
    let rig = Rig::begin(&world).await;
    assert_eq!(rig.poll().await["status"], "pending");
    let path = format!("{BEGIN}/{}", rig.code);
    let refused = rig.api.get(&path).await;
    assert_eq!(refused.headers["retry-after"], "3");
    refused.too_fast("device_poll", 1, 3);
    assert_eq!(rig.poll().await["status"], "pending");
    // Codes that nobody was given, and the short one, open nothing.
    for code in [&rig.user_code, "x", &format!("rbd_{}", "0".repeat(64))] {
        rig.api.get(&format!("{BEGIN}/{code}")).await.refused(404, "not_found");
    }
    // One network opens so many and no more, whatever became of them.
    for _ in 0..50 {
        rig.api.post(BEGIN).await.expect(200);
    }
    world.clock.turn(Duration::from_secs(600));
    for _ in 0..49 {
        rig.api.post(BEGIN).await.expect(200);
    }
    let refused = rig.api.post(BEGIN).await.too_fast("device", 100, 4_200);
    // Since the first of them was made the clock was turned by two polls, too.
    assert_eq!(refused["details"]["retry_after_s"], 3_600 - 2 * 3);
    // Another one has no part in it.
    world.api.stranger().from([127, 0, 0, 2]).post(BEGIN).await.expect(200);
    world.clock.turn(Duration::from_secs(3_600));
    rig.api.post(BEGIN).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_guessed_at_slowly_and_forms_are_of_their_session() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    person(&world, "eve@example.com").await;
    let rig = Rig::begin(&world).await;
    let eve = Browser::signed_in(&world, "eve@example.com").await;
    for _ in 0..6 {
        assert_eq!(eve.get("/device?code=BCDF-GHJK").await.status, 404);
    }
    assert_eq!(eve.get(&rig.page()).await.status, 429);
    let ann = Browser::signed_in(&world, ANN).await;
    assert_eq!(ann.get(&rig.page()).await.status, 200);
    let stolen = eve.form_token("/security").await;
    for token in ["", &stolen] {
        let fields =
            [("code", rig.user_code.as_str()), ("decision", "approve"), ("form_token", token)];
        assert_eq!(ann.post("/device", &fields).await.status, 403);
    }
    // Without a session a form leads to signing in, and nothing is decided.
    let stranger = Browser::new(&world);
    let sent = stranger.post("/device", &[("code", &rig.user_code), ("decision", "approve")]).await;
    assert_eq!((sent.status, sent.location()), (303, "/sign-in?next=%2Fsecurity"));
    assert_eq!(rig.poll().await["status"], "pending");
    let wrong = ann.submit("/security", "/device", &[("code", &rig.user_code)]).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_account_lets_nobody_in_and_the_record_has_no_code() {
    let mut world = World::start().await;
    let id = person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let rig = Rig::begin(&world).await;
    assert_eq!(rig.answer(&browser, "approve").await, 200);
    let path = format!("/users/{id}");
    world.api.json("PATCH", &path, json!({ "disabled": true })).await.expect(200);
    assert_eq!(rig.poll().await["status"], "denied");
    let (code, user_code) = (rig.code.clone(), rig.user_code.clone());
    world.stop_control().await;
    world.start_control().await;
    let record = world.api.get("/audit?max_results=200").await.expect(200);
    let entries = record["entries"].as_array().unwrap();
    let said = entries.iter().find(|entry| entry["action"] == "device_approve").unwrap();
    assert_eq!((&said["account"], &said["status"]), (&json!(id), &json!(200)));
    let text = record.to_string();
    for secret in [&code, &user_code, &browser.cookie(SESSION).unwrap()] {
        assert!(!text.contains(secret.as_str()), "{secret}");
    }
}
