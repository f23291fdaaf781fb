//! Two users on one platform: nothing of the one is in any answer to the other, whatever the other
//! knows already. Walks every endpoint that reads, with everything that the one has.

use rigbox_types::endpoint::{ENDPOINTS, Endpoint, Method, Operation};
use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    people::{account, user},
    ssh_keys,
    world::{World, id},
};

/// What the one has: what can be asked for, and what must not be said.
struct Belongings {
    ids: Vec<String>,
    references: Vec<String>,
    words: Vec<String>,
}

async fn belongings(world: &World) -> (Belongings, Client) {
    let body = json!({
        "email": "quxley@secret.example", "display_name": "Quxley Zyzzyva", "plan": "pro",
        "api_key": true,
    });
    let made = world.api.json("POST", "/users", body).await.expect(201);
    let owner = made["user"]["id"].as_str().unwrap().to_owned();
    let ann = world.api.with_key(made["api_key"].as_str().unwrap());
    let made = |path: &'static str, body: Value| {
        let ann = ann.clone();
        async move { ann.json("POST", path, body).await.expect(201) }
    };
    let own = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
    let script = own(&made("/setup-scripts", json!({ "name": "xyloscript", "content": "" })).await);
    let spec = json!({ "name": "xylospec", "exec_start": "/bin/true" });
    let spec = own(&made("/service-specs", spec).await);
    let ssh = json!({ "name": "xylossh", "public_key": ssh_keys::key(7) });
    let ssh = own(&made("/ssh-keys", ssh).await);
    let api_key = made("/api-keys", json!({ "name": "xylokey" })).await;
    let workspace = json!({
        "name": "xylospace", "template_id": "tiny", "env_vars": { "XYLO": "xylosecret" },
        "setup_script_ids": [script], "service_spec_ids": [spec],
    });
    let workspace = id(&made("/workspaces", workspace).await);
    let credits = json!({ "kind": "top_up", "amount": "77.123", "reason": "xylocredits" });
    let path = format!("/users/{owner}/credits");
    world.api.json("POST", &path, credits).await.expect(200);
    let ai = json!({ "model": "xylomodel", "api_keys": { "openai": "sk-secret-0123456789-xylo" } });
    ann.json("PUT", &format!("/workspaces/{workspace}/ai-config"), ai.clone()).await.expect(200);
    let ai = json!({ "default_model": "xylomodel", "api_keys": ai["api_keys"] });
    ann.json("PUT", "/users/me/ai-defaults", ai).await.expect(200);
    let app = json!({
        "name": "xyloapp", "workspace_id": workspace, "description": "xylodescription",
        "metadata": { "xylo": 1 },
    });
    let app = own(&made("/apps", app).await["app"]);
    let link = format!("/apps/{app}/share-links");
    let link = ann.json("POST", &link, json!({ "name": "xylolink" })).await.expect(201);
    let link = own(&link["link"]);
    user(world, 3).await;
    let resource = format!("workspace:{workspace}");
    let friend = format!("user:{}", account(3));
    let body = json!({ "principal": friend, "resource": resource, "role": "viewer" });
    ann.json("POST", "/access-control/bindings", body).await.expect(200);
    let tags = json!({ "resource": resource, "tags": { "xylotag": "xylovalue" } });
    ann.json("PUT", "/access-control/tags", tags).await.expect(200);
    let key = own(&api_key);
    let references = vec![resource, format!("account:{owner}"), format!("app:{app}")];
    let ids =
        vec![workspace, script, spec, ssh, key, owner.clone(), "xylospec".to_owned(), app, link];
    let words = [
        "xylo",
        "quxley",
        "Zyzzyva",
        "secret.example",
        "77.123",
        "77123000",
        &account(3).to_string(),
    ];
    let words = words.into_iter().map(str::to_owned);
    let preview = api_key["key"].as_str().unwrap()[..11].to_owned();
    let words = words.chain(ids.clone()).chain([preview]).collect();
    (Belongings { ids, references, words }, ann)
}

/// Every way to ask an endpoint for something of the one.
fn paths(row: &Endpoint, of: &Belongings) -> Vec<String> {
    let mut paths = Vec::new();
    for id in &of.ids {
        let path = ["{id}", "{name}", "{job_id}", "{code}", "{link_id}", "{source_id}"]
            .iter()
            .fold(row.path.to_owned(), |path, segment| path.replace(segment, id));
        assert!(!path.contains('{'), "nothing says what {path} is asked with");
        let required = |name: &str| row.query.iter().any(|p| p.required && p.name == name);
        let known = ["resource", "query", "path"];
        let others = row.query.iter().filter(|p| p.required && !known.contains(&p.name));
        assert_eq!(others.count(), 0, "nothing says what {} is asked with", row.operation);
        let path_of = if required("path") { "&path=/" } else { "" };
        let optional = |name: &str| row.query.iter().any(|p| p.name == name);
        if required("resource") {
            for reference in &of.references {
                paths.push(format!("{path}?resource={reference}&query=qux{path_of}"));
                paths.push(format!("{path}?resource={reference}"));
            }
        } else {
            paths.push(format!("{path}?{path_of}"));
        }
        if optional("owner") {
            paths.push(format!("{path}?owner={id}"));
        }
        if optional("shared") {
            paths.push(format!("{path}?shared=true"));
        }
    }
    paths.dedup();
    paths
}

fn check(answer: &Answer, path: &str, of: &Belongings) {
    let mut text = String::from_utf8_lossy(&answer.bytes).into_owned();
    for (name, value) in &answer.headers {
        text.push_str(&format!("\n{name}: {value:?}"));
    }
    for word in &of.words {
        assert!(!text.contains(word.as_str()), "{path} tells of {word}: {text}");
    }
}

async fn nothing_of_a_neighbour_is_in_any_answer(world: World) {
    let (of, ann) = belongings(&world).await;
    let bob = user(&world, 2).await;
    let mut seen = 0;
    let mut rows: Vec<_> = ENDPOINTS.iter().filter(|row| row.method == Method::Get).collect();
    // First, because the others are noted there with what the other has typed.
    rows.sort_by_key(|row| row.operation != Operation::AuditList);
    for row in rows {
        for path in paths(row, &of) {
            let answer = bob.get(&path).await;
            assert_ne!(answer.status, 500, "{path}");
            check(&answer, &path, &of);
            // The same words are in answers to whom they belong.
            if row.operation == Operation::WorkspaceShow {
                let own = ann.get(&path).await;
                seen += usize::from(String::from_utf8_lossy(&own.bytes).contains("xylospace"));
            }
        }
    }
    assert_eq!(seen, 1);
    // Somebody else's mailbox is known only to who knows all of it.
    let own = format!("/access-control/principals?resource=account:{}", account(2));
    for query in ["qux", "Quxley", "user:"] {
        let path = format!("{own}&query={query}");
        let answer = bob.get(&path).await;
        assert_eq!(answer.status, 200);
        check(&answer, &path, &of);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_neighbour_is_in_any_answer_on_sqlite() {
    nothing_of_a_neighbour_is_in_any_answer(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_neighbour_is_in_any_answer_on_postgres() {
    nothing_of_a_neighbour_is_in_any_answer(World::on_postgres().await).await;
}
