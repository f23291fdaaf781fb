//! What edges ask.

use std::time::Duration;

use http::Method;
use rigbox_fabric::watch::Watch;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    apps::{create, id},
    browser::Browser,
    client::PATIENCE,
    people::{PASSWORD, account, grant, key, person, revoke, user},
    world::World,
};

async fn watch(world: &World, query: &str) -> Watch<Value> {
    world.host.control.watch(&format!("/internal/v1/edge/events?{query}")).await.unwrap()
}

/// What is told of certificates, at any time.
const OF_CERTIFICATES: [&str; 5] =
    ["certificate", "certificate_gone", "challenges", "ticket_keys", "mark"];

/// The next event that says something of apps.
async fn next(watch: &mut Watch<Value>) -> Value {
    loop {
        let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        let kind = event["event"].as_str().unwrap();
        if kind != "heartbeat" && !OF_CERTIFICATES.contains(&kind) {
            return event;
        }
    }
}

/// Reads until an event of this kind.
async fn until(watch: &mut Watch<Value>, kind: &str) -> Value {
    loop {
        let event = next(watch).await;
        if event["event"] == kind {
            return event;
        }
    }
}

async fn ack(world: &World, edge: &str, revision: &Value) {
    let ack = json!({ "edge": edge, "revision": revision });
    let path = "/internal/v1/edge/acks";
    world.host.control.json::<_, ()>(Method::POST, path, &ack).await.unwrap();
}

async fn ask(world: &World, path: &str, body: Value) -> Value {
    let path = format!("/internal/v1/edge/{path}");
    world.host.control.json(Method::POST, &path, &body).await.unwrap()
}

async fn admission(world: &World, app: &str, (kind, secret): (&str, &str)) -> Value {
    let shown = json!({ "kind": kind, "secret": secret });
    ask(world, "admissions", json!({ "app": app, "shown": shown, "from": "192.0.2.1" })).await
}

/// The path of a new key.
async fn made_key(world: &World) -> String {
    let made = world.api.json("POST", "/api-keys", json!({ "name": "k" })).await;
    format!("/api-keys/{}", made.expect(201)["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_ended_at_the_edges_when_the_answer_says_so() {
    let world = World::patient().await;
    let mut events = watch(&world, "edge=e1").await;
    let synced = until(&mut events, "synced").await;
    ack(&world, "e1", &synced["revision"]).await;
    let one = made_key(&world).await;
    let forgets = async {
        loop {
            let forget = until(&mut events, "forget").await;
            if forget["mark"] != 0 {
                break forget["mark"].clone();
            }
        }
    };
    let confirmed = async {
        let mark = forgets.await;
        let ack = json!({ "edge": "e1", "revision": synced["revision"], "forgotten": mark });
        let path = "/internal/v1/edge/acks";
        world.host.control.json::<_, ()>(Method::POST, path, &ack).await.unwrap();
    };
    let (gone, ()) = tokio::join!(world.api.bytes("DELETE", &one, ""), confirmed);
    assert_eq!(gone.expect(200)["message"], "API key deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_edge_confirms_is_answered_and_says_so() {
    let world = World::impatient().await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let mut events = watch(&world, "edge=e1").await;
    let synced = until(&mut events, "synced").await;
    ack(&world, "e1", &synced["revision"]).await;
    let one = made_key(&world).await;
    let gone = world.api.bytes("DELETE", &one, "").await.expect(200);
    let message = gone["message"].as_str().unwrap();
    assert!(message.contains("1 of the edges") && message.contains("within"), "{message}");
    let stopped = world.api.post(&format!("/apps/{app}/stop")).await;
    assert!(stopped.headers.contains_key("x-rigbox-warning"));
    assert!(stopped.expect(200)["warning"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_is_told_everything_and_then_what_changes() {
    let world = World::patient().await;
    let workspace = world.running("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let mut events = watch(&world, "edge=e1").await;
    assert_eq!(next(&mut events).await["event"], "reset");
    let settings = next(&mut events).await;
    assert_eq!(
        (&settings["domain"], &settings["https_port"]),
        (&json!("rigbox.localhost"), &json!(8443))
    );
    let route = next(&mut events).await;
    assert_eq!(route["route"]["app"], app.as_str());
    assert_eq!(route["route"]["names"], json!(["web.rigbox.localhost"]));
    assert_eq!(route["route"]["state"], "serving");
    assert!(route["route"]["host"].as_str().unwrap().ends_with("/dial.sock"), "{route}");
    let synced = next(&mut events).await;
    assert_eq!(synced["event"], "synced");
    ack(&world, "e1", &synced["revision"]).await;
    // A change waits until it is in effect.
    let path = format!("/apps/{app}/visibility");
    let change = world.api.json("PUT", &path, json!({ "visibility": "public" }));
    let effect = async {
        let route = until(&mut events, "route").await;
        assert_eq!(route["route"]["visibility"], "public");
        ack(&world, "e1", &route["revision"]).await;
        route["revision"].clone()
    };
    let (changed, at) = tokio::join!(change, effect);
    assert!(!changed.headers.contains_key("x-rigbox-warning"));
    assert_eq!(changed.expect(200).get("warning"), None);
    let path = format!("/apps/{app}/stop");
    let (stopped, ()) = tokio::join!(world.api.post(&path), async {
        let route = until(&mut events, "route").await;
        assert_eq!(route["route"]["state"], "app_stopped");
        ack(&world, "e1", &route["revision"]).await;
    });
    stopped.expect(200);
    // Whoever goes on from there gets the rest.
    drop(events);
    let mut again = watch(&world, &format!("edge=e1&after={at}")).await;
    assert_eq!(next(&mut again).await["event"], "settings");
    assert_eq!(next(&mut again).await["route"]["state"], "app_stopped");
    assert_eq!(next(&mut again).await["event"], "synced");
    world.api.post(&format!("/workspaces/{workspace}/stop")).await.expect(200);
    until(&mut again, "route").await;
    let one = format!("/apps/{app}");
    let gone = world.api.bytes("DELETE", &one, "");
    let (gone, told) = tokio::join!(gone, async {
        let gone = until(&mut again, "gone").await;
        ack(&world, "e1", &gone["revision"]).await;
        gone
    });
    gone.expect(200);
    assert_eq!(told["app"], app.as_str());
    let mut anew = watch(&world, "edge=e2&after=999999").await;
    assert_eq!(until(&mut anew, "reset").await["event"], "reset");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_is_who_shows_a_key_and_nobody_once_it_has_ended() {
    let world = World::start().await;
    let (owner, friend) = (user(&world, 1).await, user(&world, 2).await);
    let body = json!({ "name": "w", "template_id": "tiny" });
    let workspace = owner.json("POST", "/workspaces", body).await.expect(201);
    let app = id(&create(&owner, "web", workspace["vm"]["id"].as_str().unwrap()).await);
    let show = async |secret: &str| admission(&world, &app, ("key", secret)).await;
    let own = show(owner.key.as_ref().unwrap()).await;
    assert_eq!((&own["answer"], &own["account"]), (&json!("account"), &json!(account(1))));
    assert_eq!(own["granted"], Value::Null);
    assert_eq!(show("rb_nonsense").await["answer"], "unknown");
    // A key is no cookie and no link.
    for kind in ["cookie", "link"] {
        let shown = admission(&world, &app, (kind, owner.key.as_ref().unwrap())).await;
        assert_eq!(shown["answer"], "unknown", "{kind}");
    }
    let mut events = watch(&world, "edge=e1").await;
    until(&mut events, "forget").await;
    grant(&owner, 2, &format!("app:{app}"), "viewer").await;
    assert_eq!(until(&mut events, "forget").await["account"], json!(account(2)));
    assert_eq!(show(friend.key.as_ref().unwrap()).await["granted"], "viewer");
    revoke(&owner, 2, &format!("app:{app}"), "viewer").await;
    until(&mut events, "forget").await;
    assert_eq!(show(friend.key.as_ref().unwrap()).await["granted"], Value::Null);
    let (number, narrow) = key(&owner, &[&format!("app:{app}")]).await;
    let shown = show(narrow.key.as_ref().unwrap()).await;
    assert_eq!(shown["scopes"], json!([format!("app:{app}")]));
    owner.bytes("DELETE", &format!("/api-keys/{number}"), "").await.expect(200);
    until(&mut events, "forget").await;
    assert_eq!(show(narrow.key.as_ref().unwrap()).await["answer"], "unknown");
    let record = world.api.get("/audit").await.expect(200).to_string();
    assert!(record.contains("app_visit"), "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_gives_a_cookie_until_it_is_taken_back() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    let (app, other) = (
        id(&create(&world.api, "web", &workspace).await),
        id(&create(&world.api, "other", &workspace).await),
    );
    let path = format!("/apps/{app}/share-links");
    let made = world.api.json("POST", &path, json!({})).await.expect(201);
    let url = made["url"].as_str().unwrap();
    let secret = url.split("token=").nth(1).unwrap().split('&').next().unwrap();
    let exchange = async |app: &str, name: &str| {
        let body = json!({ "app": app, "name": name, "token": secret, "state": null });
        ask(&world, "exchanges", body).await
    };
    let name = "web.rigbox.localhost";
    assert_eq!(admission(&world, &app, ("link", secret)).await["answer"], "link");
    assert_eq!(admission(&world, &other, ("link", secret)).await["answer"], "unknown");
    assert_eq!(exchange(&app, "other.rigbox.localhost").await["answer"], "refused");
    assert_eq!(exchange(&other, name).await["answer"], "refused");
    let cookie = exchange(&app, name).await;
    let value = cookie["value"].as_str().unwrap();
    assert_eq!(admission(&world, &app, ("cookie", value)).await["answer"], "link");
    assert_eq!(admission(&world, &other, ("cookie", value)).await["answer"], "unknown");
    let one = format!("{path}/{}", made["link"]["id"].as_str().unwrap());
    world.api.bytes("DELETE", &one, "").await.expect(200);
    for (kind, secret) in [("link", secret), ("cookie", value)] {
        assert_eq!(admission(&world, &app, (kind, secret)).await["answer"], "unknown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_goes_from_the_sign_in_page_to_an_app_and_its_cookie_ends_with_the_session() {
    let world = World::start().await;
    let who = person(&world, "ann@example.com").await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let name = "web.rigbox.localhost";
    let (state, wrong) = ("s".repeat(43), "t".repeat(43));
    let visit = |name: &str, path: &str| {
        let digest: String = <sha2::Sha256 as sha2::Digest>::digest(state.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("/visit?name={name}&path={path}&state={digest}")
    };
    // Whoever is not signed in signs in first, and then goes on without a form.
    let browser = Browser::new(&world);
    let asked = browser.get(&visit(name, "%2Fa%3Fb%3D1")).await;
    assert_eq!(asked.status, 303);
    let next = asked.location().split_once("next=").unwrap().1.to_owned();
    let next: Vec<(String, String)> = serde_urlencoded::from_str(&format!("next={next}")).unwrap();
    let next = next[0].1.as_str();
    let fields = [("email", "ann@example.com"), ("password", PASSWORD), ("next", next)];
    let signed_in = browser.post("/sign-in", &fields).await;
    assert_eq!(signed_in.status, 200);
    assert!(signed_in.headers["refresh"].to_str().unwrap().ends_with(next));
    // To an app that is not theirs nobody is led, nor to what is no app.
    assert_eq!(browser.get(&visit(name, "%2F")).await.status, 403);
    assert_eq!(browser.get(&visit("evil.example", "%2F")).await.status, 404);
    assert_eq!(browser.get(&visit("web.rigbox.localhost.evil.example", "%2F")).await.status, 404);
    let role = json!({ "principal": format!("user:{who}"), "resource": format!("app:{app}"), "role": "viewer" });
    world.api.json("POST", "/access-control/bindings", role).await.expect(200);
    let token = async |path: &str| {
        let led = browser.get(&visit(name, path)).await;
        assert_eq!(led.status, 303, "{}", led.text());
        let to = led.location().to_owned();
        let rest = to.strip_prefix("https://web.rigbox.localhost:8443/.rigbox/enter?token=");
        let (token, path) = rest.expect(&to).split_once("&path=").unwrap();
        (token.to_owned(), path.to_owned())
    };
    let exchange = async |token: &str, name: &str, state: &str| {
        let body = json!({ "app": app, "name": name, "token": token, "state": state });
        ask(&world, "exchanges", body).await
    };
    assert_eq!(token("%2F%2Fevil.example").await.1, "%2F");
    let (first, path) = token("%2Fa%3Fb%3D1").await;
    assert_eq!(path, "%2Fa%3Fb%3D1");
    // With somebody else's state it is spent in vain.
    assert_eq!(exchange(&first, name, &wrong).await["answer"], "refused");
    assert_eq!(exchange(&first, name, &state).await["answer"], "refused");
    let (other, _) = token("%2F").await;
    assert_eq!(exchange(&other, "other.rigbox.localhost", &state).await["answer"], "refused");
    let (good, _) = token("%2F").await;
    let cookie = exchange(&good, name, &state).await;
    let cookie = cookie["value"].as_str().unwrap();
    assert_eq!(exchange(&good, name, &state).await["answer"], "refused", "it serves once");
    let shown = admission(&world, &app, ("cookie", cookie)).await;
    assert_eq!(
        (&shown["answer"], &shown["email"], &shown["granted"]),
        (&json!("account"), &json!("ann@example.com"), &json!("viewer"))
    );
    let mut events = watch(&world, "edge=e1").await;
    until(&mut events, "forget").await;
    let out = browser.submit("/security", "/sign-out", &[]).await;
    assert_eq!(out.status, 303);
    until(&mut events, "forget").await;
    assert_eq!(admission(&world, &app, ("cookie", cookie)).await["answer"], "unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_edges_count_is_shown_as_metrics() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let mut latency = [0; 20];
    latency[2] = 100;
    let traffic = json!({ "answers": [0, 90, 0, 0, 10], "bytes_out": 6_000, "latency": latency });
    let report = json!({ "apps": { app.clone(): traffic } });
    let path = "/internal/v1/edge/traffic";
    world.host.control.json::<_, ()>(Method::POST, path, &report).await.unwrap();
    let summary = world.api.get(&format!("/apps/{app}/metrics/summary")).await.expect(200);
    assert_eq!(
        (&summary["total_requests"], &summary["error_rate_5xx"], &summary["latency_p50_ms"]),
        (&json!(100.0), &json!(0.1), &json!(1.0))
    );
    let series = world.api.get(&format!("/apps/{app}/metrics?range=24h")).await.expect(200);
    assert_eq!(series["series"]["request_rate"].as_array().unwrap().len(), 1);
    assert_eq!(series["status_codes"][4], json!({ "class": "5xx", "count": 10.0, "ratio": 0.1 }));
    assert_eq!(Duration::from_secs(900).as_secs(), series["step_seconds"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_requests_that_edges_saw_are_listed_for_whoever_may_read_the_app() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let request = |path: &str| {
        json!({ "app": app, "request": {
            "at": "2026-01-01T00:00:00Z", "request_id": "id-1", "method": "GET", "path": path,
            "status": 200, "began_us": 10, "duration_us": 20, "bytes_out": 30,
            "client": "192.0.2.1", "visitor": "session", "left_out": 0,
        } })
    };
    let tell = async |report: Value| {
        let path = "/internal/v1/edge/requests";
        world.host.control.json::<_, ()>(Method::POST, path, &report).await
    };
    tell(json!({ "requests": [request("/1"), request("/2")] })).await.unwrap();
    let listed = format!("/apps/{app}/requests");
    let last = world.api.get(&format!("{listed}?limit=1")).await.expect(200);
    assert_eq!(last["requests"].as_array().unwrap().len(), 1);
    assert_eq!(last["requests"][0], request("/2")["request"]);
    tell(json!({ "requests": [request("/3")] })).await.unwrap();
    let after = world.api.get(&format!("{listed}?after={}", last["cursor"])).await.expect(200);
    assert_eq!(after["requests"][0]["path"], "/3");
    assert_eq!(after["requests"].as_array().unwrap().len(), 1);
    world.api.get(&format!("{listed}?limit=501")).await.refused(400, "invalid_request");
    let stranger = user(&world, 9).await;
    stranger.get(&listed).await.refused(404, "not_found");
}
