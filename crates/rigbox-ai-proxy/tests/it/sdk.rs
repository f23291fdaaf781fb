//! OpenAI's own SDKs, which ask for models of other providers.

use std::{path::Path, sync::Arc};

use axum::{Router, body::Body, extract::Request, response::Response};
use http_body_util::BodyExt as _;
use rigbox_test_providers::sdk::tools;
use tokio::{net::TcpListener, process::Command};

use crate::kit::World;

/// Passes what comes at an address on as the relay of a host does, and says where that is.
async fn relay(world: Arc<World>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request| {
        let world = world.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = std::str::from_utf8(&body).unwrap();
            let passed = world.request(head.method, head.uri.path(), body);
            let (head, body) = world.client.request(passed).await.unwrap().into_parts();
            Response::from_parts(head, Body::new(body))
        }
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

async fn run(program: &str, script: &str) {
    let world = Arc::new(World::new(Some(1_000)).await);
    let address = relay(world.clone()).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/providers/sdk");
    let mut command = Command::new(tools().join(program));
    command.arg(folder.join(script)).env_clear().env("NODE_SDKS", tools());
    command.env("OPENAI_BASE_URL", address).env("OPENAI_API_KEY", "managed-by-rigbox");
    let output = command.output().await.expect("scripts/setup --dev installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    // They were answered by whom they asked for.
    let asked = world.providers.requests();
    assert!(asked.iter().any(|it| it.path == "/v1/messages"), "{said}");
    assert!(asked.iter().any(|it| it.path.ends_with(":streamGenerateContent")), "{said}");
    assert!(asked.iter().all(|it| !it.path.ends_with("/responses")), "{said}");
    assert!(world.charged().await > 0);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_sdk_for_python_has_responses_of_other_providers() {
    run("venv/bin/python", "gateway.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_sdk_for_node_has_responses_of_other_providers() {
    run("node", "gateway.mjs").await;
}
