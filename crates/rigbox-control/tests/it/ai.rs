//! AI over the API: who decides what, with which keys, what guests are told, and what was used.

use std::{sync::Arc, time::Duration};

use http::Method;
use rigbox_ai::vault::{Vault, rotate};
use rigbox_fabric::FabricError;
use rigbox_store::{
    Store, SystemClock,
    ai_calls::Call,
    ledger::{Change, Posting},
};
use rigbox_types::{
    AccountId, Credits, Observed, WorkspaceId,
    api::{ai::AiProvider, credits::CreditChangeKind},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    client::Client,
    people::{grant, user},
    world::World,
};

const KEY: &str = "sk-proj-0123456789abcdef-wxyz";

async fn store(world: &World) -> Store {
    Store::open(&world.store, Arc::new(SystemClock)).await.unwrap()
}

/// What a workspace asks from inside.
async fn ask(
    world: &World,
    id: &str,
    (method, path): (Method, &str),
    body: Option<Value>,
) -> Result<Value, FabricError> {
    let path = world.host.path(&format!("/guest-api/{id}/rig/v1/{path}"));
    match body {
        Some(body) => world.host.control.json(method, &path, &body).await,
        None => world.host.control.get(&path).await,
    }
}

async fn switch(world: &World, id: &str, enabled: bool) -> Result<Value, FabricError> {
    ask(world, id, (Method::PUT, "ai"), Some(json!({ "enabled": enabled }))).await
}

/// What its host is told to write for AI, once it is `wanted`.
async fn told(world: &World, id: &str, wanted: Option<(&str, &str)>) {
    let id: WorkspaceId = id.parse().unwrap();
    let is = |known: &crate::host::Known| {
        known.assignments.get(&id).is_some_and(|assignment| {
            match (&assignment.guest.proxy_env, wanted) {
                (None, None) => true,
                (Some(env), Some((name, value))) => env.get(name).is_some_and(|is| is == value),
                _ => false,
            }
        })
    };
    world.host.knows(is).await;
}

async fn a_workspace_decides_before_its_account(world: World) {
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}/ai-config");
    let config = world.api.get(&path).await.expect(200);
    assert_eq!((&config["mode"], &config["status"]), (&json!("managed"), &json!("managed_active")));
    assert_eq!((&config["enabled"], &config["enabled_by"]), (&json!(false), &Value::Null));
    assert_eq!((&config["model"], &config["inject"]), (&json!("rigbox/default"), &json!("proxy")));

    let defaults = json!({
        "default_mode": "byok", "default_provider": "openai", "default_model": "openai/gpt-5",
        "enabled": true,
    });
    let kept = world.api.json("PUT", "/users/me/ai-defaults", defaults).await.expect(200);
    assert_eq!((&kept["default_mode"], &kept["enabled"]), (&json!("byok"), &json!(true)));
    assert_eq!(world.api.get("/users/me/ai-defaults").await.expect(200), kept);
    assert_eq!(world.api.get("/users/me/credits").await.expect(200)["mode"], "byok");
    let config = world.api.get(&path).await.expect(200);
    assert_eq!(config["status"], "invalid_missing_key");
    assert_eq!((&config["provider"], &config["model"]), (&json!("openai"), &json!("openai/gpt-5")));
    assert_eq!((&config["enabled"], &config["enabled_by"]), (&json!(true), &json!("user_default")));

    let mode = format!("/workspaces/{id}/mode");
    let expected = json!({ "mode": "byok", "source": "user_default" });
    assert_eq!(world.api.get(&mode).await.expect(200), expected);
    let own = world.api.json("PUT", &mode, json!({ "mode": "managed" })).await.expect(200);
    assert_eq!(own, json!({ "mode": "managed", "source": "workspace" }));
    assert_eq!(world.api.get(&path).await.expect(200)["status"], "managed_active");
    let cleared = world.api.json("PUT", &mode, json!({ "mode": null })).await.expect(200);
    assert_eq!(cleared, expected);
    let credits = world.api.json("PUT", "/users/me/ai-mode", json!({ "mode": "managed" })).await;
    assert_eq!(credits.expect(200)["mode"], "managed");

    for (field, body) in [
        ("model", json!({ "model": "a b" })),
        ("mode", json!({ "mode": "free" })),
        ("provider", json!({ "provider": "acme" })),
        ("api_key", json!({ "api_key": "short" })),
    ] {
        let refused = world.api.json("PUT", &path, body).await.refused(400, "invalid_request");
        assert!(refused.to_string().contains(field), "{refused}");
    }
}

async fn a_key_is_kept_encrypted_and_never_shown(world: World) {
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}/ai-config");
    let body = json!({ "mode": "byok", "provider": "openai", "api_key": KEY });
    let config = world.api.json("PUT", &path, body).await.expect(200);
    assert_eq!(config["status"], "byok_active");
    assert_eq!(config["keys"][0]["preview"], "…wxyz");
    assert_eq!(config["keys"][0]["source"], "workspace");
    assert!(!config.to_string().contains("0123456789"), "{config}");
    let record = world.api.get("/audit").await.expect(200).to_string();
    assert!(record.contains("workspace_ai_config_update") && !record.contains("0123456789"));

    let store = store(&world).await;
    let caller = store.ai().caller(&id.parse().unwrap()).await.unwrap();
    let key = caller.key(AiProvider::Openai).unwrap();
    assert!(!String::from_utf8_lossy(&key.sealed.0).contains("0123456789"));
    let secrets = world.path().join("secrets");
    let vault = Vault::open(&secrets).unwrap();
    let row = store.ai().keys_after(None, 1).await.unwrap().remove(0);
    let opened = vault.unseal(&row.place, row.provider, &row.sealed).unwrap();
    assert_eq!(opened.expose_secret(), KEY);
    // Control goes on with what another process has rotated.
    rotate(&store, &secrets).await.unwrap();
    let body = json!({ "api_keys": { "google": KEY } });
    let config = world.api.json("PUT", &path, body).await.expect(200);
    assert_eq!(config["keys"].as_array().unwrap().len(), 2);
    let forget = json!({ "api_key": null });
    let config = world.api.json("PUT", &path, forget).await.expect(200);
    assert_eq!(
        (config["keys"].as_array().unwrap().len(), &config["status"]),
        (1, &json!("invalid_missing_key"))
    );
    let of_account = json!({ "api_keys": { "openai": KEY } });
    let kept = world.api.json("PUT", "/users/me/ai-defaults", of_account).await.expect(200);
    assert_eq!(kept["keys"][0]["preview"], "…wxyz");
    assert_eq!(world.api.get(&path).await.expect(200)["status"], "byok_active");
}

async fn a_member_changes_settings_and_never_keys(world: World) {
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let body = json!({ "name": "a", "template_id": "tiny" });
    let id = crate::world::id(&ann.json("POST", "/workspaces", body).await.expect(201));
    let path = format!("/workspaces/{id}/ai-config");
    ann.json("PUT", &path, json!({ "api_keys": { "openai": KEY } })).await.expect(200);
    grant(&ann, 2, &format!("workspace:{id}"), "admin").await;
    let changed = bob.json("PUT", &path, json!({ "mode": "byok", "enabled": true })).await;
    let changed = changed.expect(200);
    assert_eq!((&changed["mode"], &changed["keys"]), (&json!("byok"), &json!([])));
    for body in [
        json!({ "api_key": KEY }),
        json!({ "api_key": null }),
        json!({ "api_keys": { "openai": null } }),
        // It would put the owner's key where the member reads it.
        json!({ "inject": "env" }),
    ] {
        bob.json("PUT", &path, body).await.refused(403, "forbidden");
    }
    assert_eq!(ann.get(&path).await.expect(200)["inject"], "proxy");
}

async fn a_switch_reaches_the_guest_while_it_runs(world: World) {
    let id = world.running("a").await;
    world.host.obey(&id, &world.end);
    let path = format!("/workspaces/{id}/ai-config");
    told(&world, &id, None).await;
    world.api.json("PUT", &path, json!({ "enabled": true })).await.expect(200);
    told(&world, &id, Some(("OPENAI_BASE_URL", "http://172.16.0.1:9090/v1"))).await;
    told(&world, &id, Some(("OPENROUTER_API_KEY", "managed-by-rigbox"))).await;
    // The owner's keys are in there only where the owner pays and wants that.
    let body = json!({ "inject": "env", "api_keys": { "openai": KEY } });
    world.api.json("PUT", &path, body).await.expect(200);
    let inside = ask(&world, &id, (Method::GET, "ai"), None).await.unwrap();
    assert!(!inside.to_string().contains(KEY), "{inside}");
    world.api.json("PUT", &path, json!({ "mode": "byok" })).await.expect(200);
    told(&world, &id, Some(("OPENAI_API_KEY", KEY))).await;
    let inside = ask(&world, &id, (Method::GET, "ai"), None).await.unwrap();
    assert_eq!(inside["env"], json!({ "OPENAI_API_KEY": KEY }));
    world.api.json("PUT", &path, json!({ "enabled": false })).await.expect(200);
    told(&world, &id, None).await;
    let inside = ask(&world, &id, (Method::GET, "ai"), None).await.unwrap();
    assert!(!inside.to_string().contains(KEY), "{inside}");
}

async fn a_switch_is_answered_when_the_guest_knows_it(world: World) {
    let (world, id) = (&world, world.running("a").await);
    let put =
        |path: String, body| async move { world.api.json("PUT", &path, body).await.expect(200) };
    let inside = async { switch(world, &id, true).await.unwrap() };
    answered_late(world, &id, inside).await;
    let own = format!("/workspaces/{id}/ai-config");
    answered_late(world, &id, put(own.clone(), json!({ "enabled": false }))).await;
    answered_late(world, &id, put(own.clone(), json!({ "enabled": null }))).await;
    let defaults = "/users/me/ai-defaults".to_owned();
    answered_late(world, &id, put(defaults, json!({ "enabled": false }))).await;
    let mode = format!("/workspaces/{id}/mode");
    answered_late(world, &id, put(mode, json!({ "mode": "byok" }))).await;
    // One that does not run is not waited for.
    world.api.post(&format!("/workspaces/{id}/stop")).await.expect(200);
    world.host.stop(&id).await;
    put(own, json!({ "enabled": false })).await;
}

async fn a_guest_that_is_never_told_keeps_nobody_waiting_for_long(world: World) {
    let id = world.running("a").await;
    let path = format!("/workspaces/{id}/ai-config");
    world.api.json("PUT", &path, json!({ "enabled": true })).await.expect(200);
}

/// Checks that `change` has no answer before the guest was told of it, and one then.
async fn answered_late(world: &World, id: &str, change: impl Future<Output = Value>) {
    let mut change = std::pin::pin!(change);
    let workspace: WorkspaceId = id.parse().unwrap();
    let before = world.host.known.borrow().assignments[&workspace].generation;
    let is_new = |known: &crate::host::Known| known.assignments[&workspace].generation > before;
    tokio::select! {
        biased;
        _ = change.as_mut() => panic!("the guest does not know it yet"),
        _ = world.host.knows(is_new) => {}
    }
    let early = timeout(Duration::from_millis(300), change.as_mut()).await;
    assert!(early.is_err(), "the guest does not know it yet");
    let sees = async { world.host.see(id, Observed::Running).await };
    // Control would wait for longer than a client does.
    tokio::join!(change, sees);
}

async fn code_in_a_workspace_switches_what_its_owner_has_left_open(world: World) {
    let id = world.running("a").await;
    world.host.obey(&id, &world.end);
    let path = format!("/workspaces/{id}/ai-config");
    let on = switch(&world, &id, true).await.unwrap();
    assert_eq!((&on["enabled"], &on["enabled_by"]), (&json!(true), &json!("guest")));
    assert_eq!(world.api.get(&path).await.expect(200)["enabled"], true);
    told(&world, &id, Some(("GEMINI_API_KEY", "managed-by-rigbox"))).await;
    assert_eq!(switch(&world, &id, false).await.unwrap()["enabled"], false);

    world.api.json("PUT", &path, json!({ "enabled": false })).await.expect(200);
    let refused = switch(&world, &id, true).await.unwrap_err();
    let refused = refused.refusal().unwrap();
    assert_eq!(refused.status, 403);
    assert!(refused.message.contains("rig proxy on --workspace a"), "{}", refused.message);
    // What is so already is not refused.
    assert_eq!(switch(&world, &id, false).await.unwrap()["enabled"], false);
    world.api.json("PUT", &path, json!({ "enabled": null })).await.expect(200);
    let body = json!({ "enabled": false });
    world.api.json("PUT", "/users/me/ai-defaults", body).await.expect(200);
    assert_eq!(switch(&world, &id, true).await.unwrap_err().refusal().unwrap().status, 403);
    let record = world.api.get("/audit").await.expect(200);
    let entries = record["entries"].as_array().unwrap();
    let own = |entry: &&Value| entry["action"] == "inside_ai_update";
    let entry = entries.iter().find(own).unwrap();
    assert_eq!(entry["actor"], format!("workspace:{id}"));

    for body in [json!({}), json!({ "enabled": 1 }), json!({ "enabled": true, "mode": "byok" })] {
        let refused = ask(&world, &id, (Method::PUT, "ai"), Some(body)).await.unwrap_err();
        assert_eq!(refused.refusal().unwrap().status, 400);
    }
    let refused = ask(&world, &id, (Method::POST, "ai"), Some(json!({}))).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().status, 405);
}

async fn a_workspace_that_switches_all_the_time_is_refused(world: World) {
    let id = world.running("a").await;
    world.host.obey(&id, &world.end);
    let mut switched = 0;
    let refused = loop {
        match switch(&world, &id, switched % 2 == 0).await {
            Ok(_) => switched += 1,
            Err(refused) => break refused,
        }
        assert!(switched < 100, "nothing refuses");
    };
    assert_eq!(refused.refusal().unwrap().status, 429);
    assert!(switched >= 20, "{switched}");
    // What is so already costs nothing.
    switch(&world, &id, switched % 2 == 1).await.unwrap();
}

async fn called(world: &World, account: AccountId, id: &str) {
    let store = store(world).await;
    let call = |request_id: &str, subject: Option<&str>, charge| Call {
        request_id: request_id.to_owned(),
        account,
        workspace: id.parse().unwrap(),
        provider: "openai".to_owned(),
        model: "gpt-5".to_owned(),
        operation: "chat_completion".to_owned(),
        mode: "managed".to_owned(),
        subject: subject.map(str::to_owned),
        charge: Credits::from_micro(charge).unwrap(),
        input_tokens: 10,
        cached_tokens: 0,
        output_tokens: 3,
        reasoning_tokens: 0,
        basis: "reported".to_owned(),
        status: 200,
        began_at: store.now(),
        ended_at: store.now(),
    };
    let calls = [call("r1", Some("alice"), 1_500_000), call("r2", None, 500_000)];
    let posting = Posting {
        account,
        holder: "ai-1",
        calls: &calls,
        keep: Credits::ZERO,
        fill: Credits::ZERO,
    };
    store.ledger().post(&posting).await.unwrap();
}

async fn what_was_used_is_shown_to_the_account_and_inside(world: World) {
    let id = world.running("a").await;
    let me = world.api.get("/users/me").await.expect(200);
    called(&world, me["user"]["id"].as_str().unwrap().parse().unwrap(), &id).await;
    let usage = world.api.get("/users/me/ai-usage").await.expect(200);
    let totals = json!({
        "credits": 2.0, "credits_micro": 2_000_000, "input_tokens": 20, "output_tokens": 6,
        "requests": 2,
    });
    let has =
        |value: &Value| totals.as_object().unwrap().iter().all(|(name, is)| value[name] == *is);
    assert_eq!(usage["window_days"], 30);
    assert!(has(&usage["daily"][0]) && has(&usage["by_workspace"][0]), "{usage}");
    assert_eq!(usage["by_workspace"][0]["workspace_name"], "a");
    assert!(has(&usage["by_model"][0]) && usage["by_model"][0]["model"] == "gpt-5", "{usage}");
    let detail = &usage["details"][0];
    assert!(
        has(detail) && detail["model"] == "gpt-5" && detail["workspace_name"] == "a",
        "{usage}"
    );
    assert_eq!(detail["day"], usage["daily"][0]["day"]);
    for path in ["/users/me".to_owned(), format!("/workspaces/{id}")] {
        let summary = world.api.get(&format!("{path}/ai-usage/metrics/summary?range=24h")).await;
        let summary = summary.expect(200);
        assert_eq!(summary["total_credits_micro"], 2_000_000);
        assert_eq!((&summary["range"], &summary["total_requests"]), (&json!("24h"), &json!(2)));
        let metrics = world.api.get(&format!("{path}/ai-usage/metrics")).await.expect(200);
        assert_eq!(metrics["step_seconds"], 60);
        let points = metrics["series"]["credits"].as_array().unwrap();
        let sum: f64 = points.iter().map(|point| point["v"].as_f64().unwrap()).sum();
        assert!((sum - 2.0).abs() < 1e-9, "{metrics}");
        world
            .api
            .get(&format!("{path}/ai-usage/metrics?range=1y"))
            .await
            .refused(400, "invalid_request");
    }
    let of =
        async |query: &str| ask(&world, &id, (Method::GET, &format!("usage{query}")), None).await;
    let all = of("?subject=*&window=86400").await.unwrap();
    assert_eq!((&all["subject"], &all["window_seconds"]), (&json!("*"), &json!(86_400)));
    assert!(has(&all), "{all}");
    let alice = of("?subject=alice&window=60").await.unwrap();
    assert_eq!((&alice["credits"], &alice["requests"]), (&json!(1.5), &json!(1)));
    for query in ["?window=0", "?window=x", "?subject=", "?window=99999999", "?who=me"] {
        let refused = of(query).await.unwrap_err();
        assert_eq!(refused.refusal().unwrap().status, 400, "{query}");
    }
}

/// The statement as a table, for other programs.
async fn a_statement_is_a_table_where_that_is_asked(world: World) {
    let body = json!({ "email": "ann@example.com", "plan": "free", "api_key": true });
    let made = world.api.json("POST", "/users", body).await.expect(201);
    let id = made["user"]["id"].as_str().unwrap();
    let ann: Client = world.api.with_key(made["api_key"].as_str().unwrap());
    let gift = json!({ "kind": "top_up", "amount": "1", "reason": "=HYPERLINK(\"x\"), \"a\"" });
    world.api.json("POST", &format!("/users/{id}/credits"), gift).await.expect(200);
    let answer = ann.get("/users/me/credits/statement?format=csv").await;
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let text = answer.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "seq,at,kind,credits,balance,reason,actor,key");
    assert!(lines[1].contains(",top_up,1,251,\"'=HYPERLINK(\"\"x\"\"), \"\"a\"\"\","), "{text}");
    assert_eq!(lines.len(), 3);

    // More than a page of it, newest first, each once.
    let (account, store) = (id.parse().unwrap(), store(&world).await);
    for number in 0..450 {
        let change = Change {
            account,
            kind: CreditChangeKind::TopUp,
            amount: Credits::from_micro(1).unwrap(),
            reason: "a drop",
            actor: "test",
            key: &format!("drop-{number}"),
        };
        store.ledger().change(&change).await.unwrap();
    }
    let answer = ann.get("/users/me/credits/statement?format=csv").await;
    let text = answer.text();
    let seqs = text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap());
    let seqs: Vec<i64> = seqs.collect();
    assert_eq!(seqs.len(), 452, "{text}");
    assert!(seqs.is_sorted_by(|a, b| a > b), "{seqs:?}");
}

macro_rules! on_both {
    ($on_sqlite:ident $on_postgres:ident $($case:ident: $sqlite:ident $postgres:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sqlite() {
                $case(World::$on_sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $postgres() {
                $case(World::$on_postgres().await).await;
            }
        )*
    };
}

on_both! {
    patient patient_on_postgres
    a_switch_is_answered_when_the_guest_knows_it:
        a_switch_is_answered_late_on_sqlite
        a_switch_is_answered_late_on_postgres,
}

on_both! {
    impatient impatient_on_postgres
    a_guest_that_is_never_told_keeps_nobody_waiting_for_long:
        a_guest_that_is_never_told_on_sqlite
        a_guest_that_is_never_told_on_postgres,
}

on_both! {
    start on_postgres
    a_workspace_decides_before_its_account:
        a_workspace_decides_on_sqlite
        a_workspace_decides_on_postgres,
    a_key_is_kept_encrypted_and_never_shown:
        a_key_is_never_shown_on_sqlite
        a_key_is_never_shown_on_postgres,
    a_member_changes_settings_and_never_keys:
        a_member_changes_no_keys_on_sqlite
        a_member_changes_no_keys_on_postgres,
    a_switch_reaches_the_guest_while_it_runs:
        a_switch_reaches_the_guest_on_sqlite
        a_switch_reaches_the_guest_on_postgres,
    code_in_a_workspace_switches_what_its_owner_has_left_open:
        code_in_a_workspace_switches_on_sqlite
        code_in_a_workspace_switches_on_postgres,
    a_workspace_that_switches_all_the_time_is_refused:
        a_workspace_that_switches_is_refused_on_sqlite
        a_workspace_that_switches_is_refused_on_postgres,
    what_was_used_is_shown_to_the_account_and_inside:
        what_was_used_is_shown_on_sqlite
        what_was_used_is_shown_on_postgres,
    a_statement_is_a_table_where_that_is_asked:
        a_statement_is_a_table_on_sqlite
        a_statement_is_a_table_on_postgres,
}
