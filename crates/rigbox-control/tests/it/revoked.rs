//! What is open on the strength of a role or a key ends with it, also at another control.

use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    client::{Client, Event, PATIENCE},
    people::{account, grant, key, revoke, user},
    world::{World, id},
};

/// A workspace of the user of number 1 that runs.
async fn running(world: &World, owner: &Client) -> String {
    let body = json!({ "name": "a", "template_id": "tiny" });
    let id = id(&owner.json("POST", "/workspaces", body).await.expect(201));
    owner.post(&format!("/workspaces/{id}/start")).await.expect(200);
    world.host.run(&id).await;
    id
}

/// What a member has open: events, a followed journal, a terminal.
struct Open {
    events: crate::client::Events,
    body: tokio::task::JoinHandle<bool>,
    terminal: tokio::task::JoinHandle<Value>,
}

impl Open {
    async fn new(api: &Client, workspace: &str) -> Self {
        let mut events = api.events(&format!("/workspaces/{workspace}/events"), None).await;
        assert_eq!(events.next().await.unwrap().kind, "status");
        let follow = format!("/workspaces/{workspace}/logs/stream");
        let response = api.open(api.request("GET", &follow, "".into())).await;
        assert_eq!(response.status(), 200);
        // Whether it was whole.
        let body = tokio::spawn(async { response.into_body().collect().await.is_ok() });
        let base = api.base.replace("http://", "ws://");
        let url = format!("{base}/api/ws/terminal/{workspace}");
        let mut request = url.into_client_request().unwrap();
        let value = format!("Bearer {}", api.key.as_ref().unwrap());
        request.headers_mut().insert("authorization", value.parse().unwrap());
        let (mut socket, _) = timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap();
        let (told, began) = tokio::sync::oneshot::channel();
        let terminal = tokio::spawn(async move {
            let (mut last, mut told) = (Value::Null, Some(told));
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = message {
                    last = serde_json::from_str(&text).unwrap();
                    told.take().map(|told| told.send(()));
                }
            }
            last
        });
        timeout(PATIENCE, began).await.unwrap().unwrap();
        Self { events, body, terminal }
    }

    async fn ends(mut self) {
        while let Some(Event { kind, .. }) = self.events.next().await {
            assert_eq!(kind, "status");
        }
        timeout(PATIENCE, self.body).await.expect("the journal ends").unwrap();
        let last = timeout(PATIENCE, self.terminal).await.expect("the terminal ends").unwrap();
        let message = last["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("access"), "{last}");
    }
}

async fn what_is_open_ends_with_what_it_stands_on(world: World, beside: Option<String>) {
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let workspace = running(&world, &ann).await;
    let resource = format!("workspace:{workspace}");
    let there = |api: &Client| match &beside {
        Some(base) => api.with_base(base.clone()),
        None => api.clone(),
    };
    // A role that is taken away, on the workspace and on the account.
    for resource in [resource.clone(), format!("account:{}", account(1))] {
        grant(&ann, 2, &resource, "developer").await;
        let open = Open::new(&there(&bob), &workspace).await;
        let kept = Open::new(&there(&ann), &workspace).await;
        revoke(&ann, 2, &resource, "developer").await;
        open.ends().await;
        assert!(!kept.terminal.is_finished() && !kept.body.is_finished());
    }
    // A role that gives too little from now on ends what it does not give, and nothing else.
    grant(&ann, 2, &resource, "developer").await;
    let mut open = Open::new(&there(&bob), &workspace).await;
    let principal = format!("user:{}", account(2));
    let lower = json!({
        "principal": principal, "resource": resource,
        "current_role": "developer", "new_role": "viewer",
    });
    ann.json("PATCH", "/access-control/bindings", lower).await.expect(200);
    timeout(PATIENCE, &mut open.terminal).await.expect("the terminal ends").unwrap();
    assert!(!open.body.is_finished());
    // A key that is deleted, and one that gets another secret.
    for rotate in [false, true] {
        let (id, held) = key(&ann, &["full"]).await;
        let open = Open::new(&there(&held), &workspace).await;
        if rotate {
            ann.post(&format!("/api-keys/{id}/rotate")).await.expect(200);
        } else {
            ann.call("DELETE", &format!("/api-keys/{id}")).await.expect(200);
        }
        open.ends().await;
    }
    // An account that is disabled.
    let open = Open::new(&there(&ann), &workspace).await;
    let path = format!("/users/{}", account(1));
    world.api.json("PATCH", &path, json!({ "disabled": true })).await.expect(200);
    open.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_ends_with_what_it_stands_on_here() {
    what_is_open_ends_with_what_it_stands_on(World::start().await, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_ends_with_what_it_stands_on_at_another_control() {
    let world = World::on_postgres().await;
    let beside = world.another_control().await.base;
    what_is_open_ends_with_what_it_stands_on(world, Some(beside)).await;
}
