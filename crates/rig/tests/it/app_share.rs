//! `rig app share`, `unshare` and `domain`: who may visit an app, and by which name.

use serde_json::{Value, json};

use crate::{
    server::{Reply, refusal},
    world::{World, about_app, app, app_id_of},
};

const ID: &str = "00000000-0000-4000-8000-00000000000a";
const SECRET: &str = "https://my-api.rigbox.example/.rigbox/link?token=secret&path=%2F";

fn link() -> Value {
    json!({
        "id": ID, "app_id": app_id_of("my-api"), "name": "for bob",
        "created_by": "00000000-0000-4000-8000-000000000001",
        "created_at": "2020-01-01T00:00:00Z", "expires_at": "2020-01-08T00:00:00Z"
    })
}

fn lists(world: &World, links: &[Value]) {
    let list = json!({ "share_links": links });
    world.server.on(&about_app("GET", "my-api", "/share-links"), Reply::Json(200, list));
}

/// A world in which `my-api` becomes `after` when its visibility is put.
fn becoming(after: &Value, links: &[Value]) -> World {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    world.server.on(PUT, Reply::Json(200, json!({ "app": after })));
    lists(&world, links);
    world
}

const PUT: &str = "PUT /api/v1/apps/app-myapi000/visibility";

#[test]
fn visibility_is_said_in_one_word() {
    let mut listed = app("my-api", 3000, "privileged");
    listed["allowed_emails"] = json!(["bob@example.com", "eve@example.com"]);
    for (options, after, sent, said) in [
        (
            "--public",
            app("my-api", 3000, "public"),
            json!({ "visibility": "public" }),
            "my-api is public: anyone may visit it\n",
        ),
        (
            "--private",
            app("my-api", 3000, "private"),
            json!({ "visibility": "private" }),
            "my-api is private: you may visit it, and whoever has a role on it\n",
        ),
        (
            "--emails Bob@example.com,eve@example.com",
            listed,
            json!({ "visibility": "privileged",
                    "allowed_emails": ["bob@example.com", "eve@example.com"] }),
            "my-api is privileged: you may visit it, and bob@example.com eve@example.com\n",
        ),
    ] {
        let world = becoming(&after, &[]);
        world.rig(&format!("app share my-api {options}")).is(0, said, "");
        assert_eq!(world.server.first(PUT).json(), sent);
        let ended = world.rig(&format!("app share my-api {options} -o json"));
        assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), json!({ "app": after }));
    }
}

#[test]
fn links_that_still_let_in_are_warned_of() {
    let world = becoming(&app("my-api", 3000, "private"), &[link()]);
    world.rig("app share my-api --private").is(
        0,
        "my-api is private: you may visit it, and whoever has a role on it\n",
        "warning: 1 share link still lets in whoever has it\nhint: rig app share my-api --links\n",
    );
}

#[test]
fn without_options_it_is_shown_who_may_visit() {
    let mut listed = app("my-api", 3000, "privileged");
    listed["allowed_emails"] = json!(["bob@example.com"]);
    let world = World::with_apps(&[listed]);
    lists(&world, &[link()]);
    world.rig("app share my-api").is(
        0,
        "visibility  privileged\n\
         visitors    you, whoever has a role on it, and the listed addresses\n\
         emails      bob@example.com\n\
         links       1\n",
        "",
    );
}

#[test]
fn a_link_is_printed_alone_and_once() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let mut made = link();
    made["expires_at"] = json!("2999-01-01T00:00:00Z");
    let made = json!({ "link": made, "url": SECRET });
    let line = about_app("POST", "my-api", "/share-links");
    world.server.on(&line, Reply::Json(201, made.clone()));
    let ended = world.rig("app share my-api --link --name bob --expires 2999-01-01T00:00:00Z");
    assert_eq!((ended.code, ended.stdout), (0, format!("{SECRET}\n")));
    let said = ended.stderr;
    assert!(said.starts_with("whoever has this link may visit my-api; it ends in 9"), "{said}");
    assert!(said.ends_with("y and cannot be shown again\n"), "{said}");
    let asked = world.server.first(&line);
    assert!(!asked.headers.contains_key("idempotency-key"), "an answer with a secret is not kept");
    assert_eq!(asked.json(), json!({ "name": "bob", "expires_at": "2999-01-01T00:00:00Z" }));
    let ended = world.rig("app share my-api --link -o json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), made);
    let asked = world.server.asked().pop().unwrap();
    assert_eq!(asked.json(), json!({ "name": null, "expires_at": null }), "the server's default");
}

#[test]
fn links_are_listed_and_ended() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    lists(&world, &[link()]);
    let ended = world.rig("app share my-api --links");
    let (head, rest) = ended.stdout.split_once('\n').unwrap();
    assert!(head.starts_with("ID ") && head.ends_with(" NAME     CREATED  ENDS"), "{head}");
    assert!(rest.starts_with(&format!("{ID}  for bob  ")), "{rest}");
    assert!(rest.ends_with(" now\n"), "{rest}");
    let delete = about_app("DELETE", "my-api", &format!("/share-links/{ID}"));
    world.server.on(&delete, Reply::Json(200, json!({ "message": "ended" })));
    let line = format!("app share my-api --revoke {ID}");
    world.rig(&line).is(0, &format!("the share link {ID} lets nobody in any more\n"), "");
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    world.rig(&line).is(
        1,
        "",
        "error: there is no such thing\nhint: rig app share my-api --links\n",
    );
    lists(&world, &[]);
    world.rig("app share my-api --links").is(0, "", "my-api has no share links\n");
}

#[test]
fn unshare_takes_everything_back() {
    let world = becoming(
        &app("my-api", 3000, "private"),
        &[link(), {
            let mut other = link();
            other["id"] = json!("00000000-0000-4000-8000-00000000000b");
            other
        }],
    );
    let delete = about_app("DELETE", "my-api", &format!("/share-links/{ID}"));
    world.server.on(&delete, Reply::Json(200, json!({ "message": "ended" })));
    // The other one has ended meanwhile, which is as well.
    world.rig("app unshare my-api").is(0, "my-api is private; 2 share links ended\n", "");
    let sent = world.server.first(PUT).json();
    assert_eq!(sent, json!({ "visibility": "private", "allowed_emails": [] }));
    let deleted = world.server.lines().iter().filter(|it| it.starts_with("DELETE")).count();
    assert_eq!(deleted, 2);
}

#[test]
fn options_that_exclude_each_other_are_wrong_use() {
    let world = World::new();
    for options in
        ["--public --private", "--public --link", "--emails nobody", "--expires 1d", "--revoke x"]
    {
        let ended = world.rig(&format!("app share my-api {options}"));
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{options}");
    }
    assert!(world.server.asked().is_empty());
}

#[test]
fn a_domain_is_set_with_the_record_that_it_needs() {
    let mut named = app("my-api", 3000, "public");
    named["custom_domain"] = json!("api.example.com");
    let world = World::with_apps(&[app("my-api", 3000, "public")]);
    world.rig("app domain my-api").is(
        0,
        "",
        "my-api has no domain of its own\nhint: rig app domain my-api app.example.com\n",
    );
    let patch = about_app("PATCH", "my-api", "");
    world.server.on(&patch, Reply::Json(200, json!({ "app": named })));
    let verify = about_app("POST", "my-api", "/verify-domain");
    let found = |verified: bool, found: &[&str]| {
        Reply::Json(
            200,
            json!({ "verified": verified, "expected": "my-api.rigbox.example", "found": found,
                    "checked_at": "2026-12-01T09:30:00Z" }),
        )
    };
    world.server.on(&verify, found(false, &[]));
    world.rig("app domain my-api api.example.com").is(
        0,
        "my-api has the domain api.example.com\n",
        "api.example.com does not lead here yet: it leads to nothing\n\
         make this DNS record: api.example.com. CNAME my-api.rigbox.example.\n\
         hint: rig app domain my-api --verify\n",
    );
    assert_eq!(world.server.first(&patch).json(), json!({ "custom_domain": "api.example.com" }));

    let world = World::with_apps(&[named]);
    world.rig("app domain my-api").is(0, "api.example.com (not verified)\n", "");
    world.server.on(&verify, found(false, &["old.example.com", "192.0.2.1"]));
    world.server.on(&verify, found(true, &["my-api.rigbox.example"]));
    let ended = world.rig("app domain my-api --verify");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("it leads to old.example.com 192.0.2.1\n"), "{ended:?}");
    let here = "api.example.com leads here: https://api.example.com/\n";
    world.rig("app domain my-api --verify").is(0, here, "");
    world.server.on(&patch, Reply::Json(200, json!({ "app": app("my-api", 3000, "public") })));
    world.rig("app domain my-api --remove").is(0, "my-api has no domain of its own now\n", "");
    assert_eq!(world.server.first(&patch).json(), json!({ "custom_domain": null }));
}

#[test]
fn a_refused_domain_says_why() {
    let world = World::with_apps(&[app("my-api", 3000, "public")]);
    let refused = refusal(
        409,
        "conflict",
        "another app has this domain",
        json!({ "field": "custom_domain" }),
    );
    world.server.on(&about_app("PATCH", "my-api", ""), refused);
    let ended = world.rig("app domain my-api api.example.com");
    ended.is(1, "", "error: another app has this domain\n");
    world.rig("app domain my-api --verify").is(
        1,
        "",
        "error: my-api has no domain of its own\nhint: rig app domain my-api app.example.com\n",
    );
}
