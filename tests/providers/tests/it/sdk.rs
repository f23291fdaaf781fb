use std::path::Path;

use rigbox_test_providers::{Ended, Options, Provider, Providers, sdk::tools};
use tokio::process::Command;

/// Runs a program with the providers' SDKs, which knows of the simulator what its environment says.
async fn run(program: &str, script: &str) {
    let options = Options { key: Some("sk-sim".to_owned()), ..Options::default() };
    let providers = Providers::start(options).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(script);
    let mut command = Command::new(tools().join(program));
    command.arg(script).env_clear().env("NODE_SDKS", tools());
    for (name, value) in [
        ("OPENAI_BASE_URL", format!("{}/v1", providers.base(Provider::OpenAi))),
        ("ANTHROPIC_BASE_URL", providers.base(Provider::Anthropic)),
        ("GOOGLE_GEMINI_BASE_URL", providers.base(Provider::Google)),
    ] {
        command.env(name, value);
    }
    for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"] {
        command.env(name, "sk-sim");
    }
    let output = command.output().await.expect("scripts/setup --dev installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    // Each of the three was cancelled once, and that was noticed.
    let left = |ended: Ended| ended == Ended::Left;
    let expected = |all: &[rigbox_test_providers::Request]| {
        all.iter().filter(|request| left(request.ended)).count() == 3
            && all.iter().all(|request| request.ended != Ended::Open)
    };
    let requests = providers.requests_when(expected).await;
    assert!(expected(&requests), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_for_python_understand_it() {
    run("venv/bin/python", "with_python.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_for_node_understand_it() {
    run("node", "with_node.mjs").await;
}
