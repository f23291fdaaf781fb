//! The way in: credentials, request ids, and the table.

use rigbox_types::{
    Right,
    endpoint::{ENDPOINTS, Operation, Payload},
    openapi,
};

use crate::world::World;

fn concrete(path: &str) -> String {
    path.replace("{id}", "ws-00000000").replace("{name}", "x").replace("{code}", "x")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_table_is_served_and_nothing_is_open_that_is_not_public() {
    let world = World::start().await;
    let stranger = world.api.stranger();
    for row in ENDPOINTS {
        let answer = stranger.call(row.method.as_str(), &concrete(row.path)).await;
        assert!(answer.headers.contains_key("x-request-id"), "{}", row.operation);
        if row.right == Right::Public && matches!(row.request, Payload::Json(_)) {
            answer.refused(400, "invalid_request");
        } else if row.path.contains("{code}") {
            answer.refused(404, "not_found");
        } else if row.operation == Operation::CaShow {
            // No document; and a moment after the first start there is none yet.
            assert!([200, 404].contains(&answer.status), "{answer:?}");
        } else if row.right == Right::Public {
            answer.expect(200);
        } else {
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{}", row.operation);
            answer.refused(401, "unauthenticated");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_answers_the_operator_with_something_else_than_a_missing_route() {
    let world = World::start().await;
    for row in ENDPOINTS {
        let path = concrete(row.path);
        let path =
            if row.query.iter().any(|p| p.required) { format!("{path}?path=/x") } else { path };
        let body = if matches!(row.request, Payload::Json(_)) { "{}" } else { "" };
        let answer = world.api.bytes(row.method.as_str(), &path, body).await;
        assert_ne!(answer.status, 405, "{}", row.operation);
        assert_ne!(answer.status, 401, "{}", row.operation);
        if answer.status == 404 {
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(!message.contains("path"), "{}: {message}", row.operation);
        }
        assert!(answer.status < 500, "{}: {answer:?}", row.operation);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_refused() {
    let world = World::start().await;
    let key = world.api.key.clone().unwrap();
    let other = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    for value in [
        format!("Bearer {other}"),
        "Bearer x".to_owned(),
        format!("Basic {key}"),
        key.clone(),
        String::new(),
    ] {
        let mut request = world.api.stranger().request("GET", "/workspaces", "".into());
        request.headers_mut().insert("authorization", value.parse().unwrap());
        world.api.send(request).await.refused(401, "unauthenticated");
    }
    let path = world.path().join("admin.key");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_taken_over_if_it_is_plain() {
    let world = World::start().await;
    for (given, kept) in [("abc-1.2_3", true), ("a b", false), ("", false)] {
        let mut request = world.api.request("GET", "/workspaces", "".into());
        request.headers_mut().insert("x-request-id", given.parse().unwrap());
        let answer = world.api.send(request).await;
        assert_eq!(answer.headers["x-request-id"] == given, kept, "{given}");
    }
    for path in ["/nothing", "/workspaces/x", "/capacity"] {
        assert!(world.api.get(path).await.headers.contains_key("x-request-id"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_served_document_is_the_generated_one() {
    let world = World::start().await;
    let served = world.api.stranger().get("/openapi.json").await;
    assert_eq!(served.status, 200);
    assert_eq!(served.bytes, openapi::text().into_bytes());
}
