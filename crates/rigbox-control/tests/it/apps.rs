//! Apps as their owners see them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    people::{grant, key, user},
    world::World,
};

pub(crate) async fn create(api: &Client, name: &str, workspace: &str) -> Value {
    let body = json!({ "name": name, "workspace_id": workspace });
    api.json("POST", "/apps", body).await.expect(201)["app"].clone()
}

pub(crate) fn id(app: &Value) -> String {
    app["id"].as_str().unwrap().to_owned()
}

async fn patch(api: &Client, id: &str, body: Value) -> Answer {
    api.json("PATCH", &format!("/apps/{id}"), body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_made_shown_changed_and_deleted() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    let made = create(&world.api, "My-Api", &workspace).await;
    assert_eq!(
        (&made["name"], &made["url"], &made["port"], &made["visibility"], &made["status"]),
        (
            &json!("my-api"),
            &json!("https://my-api.rigbox.localhost:8443/"),
            &json!(3000),
            &json!("private"),
            &json!("active")
        )
    );
    let id = id(&made);
    let changed = json!({
        "name": "other", "port": 8080, "description": "d", "visibility": "privileged",
        "allowed_emails": ["B@example.com", "b@example.com", "a@example.com"],
    });
    let changed = patch(&world.api, &id, changed).await.expect(200)["app"].clone();
    assert_eq!(changed["url"], "https://other.rigbox.localhost:8443/");
    assert_eq!(changed["allowed_emails"], json!(["a@example.com", "b@example.com"]));
    // What is missing stays, null clears.
    let cleared = json!({ "description": null, "allowed_emails": null });
    let cleared = patch(&world.api, &id, cleared).await.expect(200)["app"].clone();
    assert_eq!(
        (&cleared["description"], &cleared["allowed_emails"], &cleared["port"]),
        (&Value::Null, &json!([]), &json!(8080))
    );
    let path = format!("/apps/{id}/visibility");
    let public = world.api.json("PUT", &path, json!({ "visibility": "public" })).await;
    assert_eq!(public.expect(200)["app"]["visibility"], "public");
    let list = world.api.get("/apps").await.expect(200);
    assert_eq!(list["apps"].as_array().unwrap().len(), 1);
    assert_eq!(world.api.get("/dashboard").await.expect(200)["apps"][0]["id"], id.as_str());
    let limits = world.api.get("/users/me/limits").await.expect(200);
    assert_eq!(limits["usage"]["app_count"], 1);
    world.api.bytes("DELETE", &format!("/apps/{id}"), "").await.expect(200);
    world.api.get(&format!("/apps/{id}")).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_to_be_had_is_refused_with_the_reason() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    create(&world.api, "taken", &workspace).await;
    let refuse = async |name: &str, status, code: &str| {
        let body = json!({ "name": name, "workspace_id": workspace });
        let error = world.api.json("POST", "/apps", body).await.refused(status, code);
        error["message"].as_str().unwrap().to_owned()
    };
    assert!(refuse("taken", 409, "conflict").await.contains("taken"));
    assert!(refuse("www", 409, "conflict").await.contains("kept for the platform"));
    assert!(refuse("mail", 409, "conflict").await.contains("mail"));
    assert!(refuse("here", 409, "conflict").await.contains("region"));
    assert!(refuse("xn--a", 409, "conflict").await.contains("other letters"));
    refuse("_acme-challenge", 400, "invalid_request").await;
    let bad = json!({ "name": "cli", "workspace_id": workspace, "app_kind": "cli", "port": 1 });
    world.api.json("POST", "/apps", bad).await.refused(400, "invalid_request");
    let cli = json!({ "name": "cli", "workspace_id": workspace, "app_kind": "cli" });
    let cli = world.api.json("POST", "/apps", cli).await.expect(201);
    assert_eq!((&cli["app"]["url"], &cli["app"]["port"]), (&Value::Null, &json!(0)));
    let own = json!({ "custom_domain": "x.rigbox.localhost" });
    patch(&world.api, &id(&cli["app"]), own).await.refused(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_on_an_app_and_a_key_of_it_give_that_app_and_nothing_else() {
    let world = World::start().await;
    let (owner, friend) = (user(&world, 1).await, user(&world, 2).await);
    let body = json!({ "name": "w", "template_id": "tiny" });
    let workspace = owner.json("POST", "/workspaces", body).await.expect(201);
    let workspace = workspace["vm"]["id"].as_str().unwrap().to_owned();
    let (app, other) = (
        id(&create(&owner, "one", &workspace).await),
        id(&create(&owner, "two", &workspace).await),
    );
    friend.get(&format!("/apps/{app}")).await.refused(404, "not_found");
    grant(&owner, 2, &format!("app:{app}"), "developer").await;
    friend.get(&format!("/apps/{app}")).await.expect(200);
    friend.post(&format!("/apps/{app}/stop")).await.expect(200);
    patch(&friend, &app, json!({ "port": 1 })).await.refused(403, "forbidden");
    friend.get(&format!("/apps/{other}")).await.refused(404, "not_found");
    friend.get(&format!("/workspaces/{workspace}")).await.refused(404, "not_found");
    let shared = friend.get("/apps?shared=true").await.expect(200);
    assert_eq!(shared["apps"].as_array().unwrap().len(), 1);
    let (_, narrow) = key(&owner, &[&format!("app:{app}")]).await;
    patch(&narrow, &app, json!({ "port": 2 })).await.expect(200);
    narrow.get(&format!("/apps/{other}")).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_and_stopping_act_on_the_unit_of_the_app() {
    let world = World::start().await;
    let workspace = world.running("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let stopped = world.api.post(&format!("/apps/{app}/stop")).await.expect(200);
    assert_eq!(stopped["app"]["status"], "inactive");
    let health = world.api.get(&format!("/apps/{app}/health")).await.expect(200);
    assert_eq!((&health["live"], &health["port_open"]), (&json!(false), &json!(false)));
    let started = world.api.post(&format!("/apps/{app}/start")).await.expect(200);
    assert_eq!(started["app"]["status"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_started_by_hand_becomes_a_unit_and_an_app() {
    let world = World::start().await;
    let workspace = world.running("w").await;
    let path = format!("/workspaces/{workspace}/expose-port");
    let expose = async |body: Value| world.api.json("POST", &path, body).await;
    let found = expose(json!({ "port": 3000, "step": "detect" })).await.expect(200);
    assert_eq!(
        (&found["is_systemd"], &found["systemd_unit"], &found["command"], &found["cwd"]),
        (&json!(false), &Value::Null, &json!("node server.js"), &json!("/srv")),
        "the agent's own unit starts nothing again"
    );
    // What the agent refuses leaves no app behind, and is said.
    let files = world.host.agent.files.clone();
    files.lock().unwrap().insert("/units/web".to_owned(), "it did not listen".into());
    let wrap = json!({ "port": 3000, "step": "wrap", "name": "web" });
    let refused = expose(wrap.clone()).await.refused(409, "conflict");
    assert!(refused.to_string().contains("it did not listen"), "{refused}");
    assert_eq!(world.api.get("/apps").await.expect(200)["apps"], json!([]));
    files.lock().unwrap().clear();
    let made = expose(wrap).await.expect(200);
    assert_eq!(
        (&made["step"], &made["service_name"], &made["needs_restart"], &made["app"]["port"]),
        (&json!("wrap"), &json!("rigbox-app-web.service"), &json!(false), &json!(3000))
    );
    let sources = format!("/apps/{}/log-sources", id(&made["app"]));
    let sources = world.api.get(&sources).await.expect(200);
    assert_eq!(sources["sources"][0]["source_ref"], "rigbox-app-web.service");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn share_links_are_shown_once_and_taken_back() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let path = format!("/apps/{app}/share-links");
    let made = world.api.json("POST", &path, json!({ "name": "for ann" })).await.expect(201);
    let url = made["url"].as_str().unwrap();
    assert!(url.starts_with("https://web.rigbox.localhost:8443/.rigbox/link?token="), "{url}");
    let list = world.api.get(&path).await.expect(200);
    assert_eq!(list["share_links"][0]["id"], made["link"]["id"]);
    assert!(!list.to_string().contains("token"));
    let past = json!({ "expires_at": "2001-01-01T00:00:00Z" });
    world.api.json("POST", &path, past).await.refused(400, "invalid_request");
    let one = format!("{path}/{}", made["link"]["id"].as_str().unwrap());
    world.api.bytes("DELETE", &one, "").await.expect(200);
    world.api.bytes("DELETE", &one, "").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_sources_are_kept_and_checked() {
    let world = World::start().await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let path = format!("/apps/{app}/log-sources");
    let bad = json!({ "source_type": "file_path", "source_ref": "not/absolute" });
    world.api.json("POST", &path, bad).await.refused(400, "invalid_request");
    let unit = json!({ "source_type": "systemd_unit", "source_ref": "web.service" });
    let made = world.api.json("POST", &path, unit).await.expect(200);
    assert_eq!(made["source"]["is_primary"], true);
    let one = format!("{path}/{}", made["source"]["id"].as_str().unwrap());
    let named = world.api.json("PATCH", &one, json!({ "display_name": "Web" })).await.expect(200);
    assert_eq!(named["source"]["display_name"], "Web");
    world.api.get(&format!("/apps/{app}/logs")).await.refused(400, "invalid_state");
    world.api.bytes("DELETE", &one, "").await.expect(200);
}

/// A resolver that knows where some names lead: to an address of version 4, or to another name.
async fn resolver(known: &'static [(&'static str, &'static str)]) -> SocketAddr {
    use hickory_proto::{
        op::{Message, OpCode},
        rr::{Name, RData, Record, RecordType, rdata::CNAME},
    };
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(asked.metadata.id, OpCode::Query);
            answer.queries = asked.queries.clone();
            let name = asked.queries[0].name.clone();
            for (_, to) in known.iter().filter(|(own, _)| name.to_ascii() == format!("{own}.")) {
                let data = match to.parse::<std::net::Ipv4Addr>() {
                    Ok(to) if asked.queries[0].query_type == RecordType::A => RData::A(to.into()),
                    Ok(_) => continue,
                    Err(_) => RData::CNAME(CNAME(Name::from_ascii(format!("{to}.")).unwrap())),
                };
                answer.add_answer(Record::from_rdata(name.clone(), 1, data));
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_domain_counts_once_its_name_leads_here() {
    let resolver = resolver(&[("app.example.com", "web.rigbox.localhost")]).await;
    let world = World::with_resolver(resolver).await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    let verify = format!("/apps/{app}/verify-domain");
    world.api.post(&verify).await.refused(409, "conflict");
    let set = patch(&world.api, &app, json!({ "custom_domain": "App.Example.com" })).await;
    let set = set.expect(200)["app"].clone();
    assert_eq!(set["custom_domain"], "app.example.com");
    assert_eq!(set["custom_domain_verified"], false);
    let found = world.api.post(&verify).await.expect(200);
    assert_eq!(found["verified"], true, "{found}");
    assert_eq!(found["found"], json!(["web.rigbox.localhost"]));
    // Another app may ask for it and does not get it.
    let other = id(&create(&world.api, "other", &workspace).await);
    patch(&world.api, &other, json!({ "custom_domain": "app.example.com" })).await.expect(200);
    let refused = world.api.post(&format!("/apps/{other}/verify-domain")).await.expect(200);
    assert_eq!(refused["verified"], false, "{refused}");
    // One that leads elsewhere.
    patch(&world.api, &app, json!({ "custom_domain": "b.example.com" })).await.expect(200);
    let found = world.api.post(&verify).await.expect(200);
    assert_eq!(
        (&found["verified"], &found["expected"]),
        (&json!(false), &json!("web.rigbox.localhost"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_domain_that_is_meant_for_another_app_does_not_count() {
    let resolver = resolver(&[
        ("app.example.com", "other.rigbox.localhost"),
        ("by-address.example.com", "192.0.2.9"),
        ("other.rigbox.localhost", "192.0.2.9"),
        ("web.rigbox.localhost", "192.0.2.9"),
    ]);
    let world = World::with_resolver(resolver.await).await;
    let workspace = world.create("w").await;
    let app = id(&create(&world.api, "web", &workspace).await);
    for (domain, counts) in [("by-address.example.com", true), ("app.example.com", false)] {
        patch(&world.api, &app, json!({ "custom_domain": domain })).await.expect(200);
        let found = world.api.post(&format!("/apps/{app}/verify-domain")).await.expect(200);
        assert_eq!(found["verified"], counts, "{domain}: {found}");
    }
}
