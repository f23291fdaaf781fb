//! Setup scripts and service specs: kept by the account, told to the hosts of its workspaces.

use rigbox_types::Desired;
use serde_json::json;

use crate::world::{World, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setup_script_is_kept_changed_and_deleted() {
    let world = World::start().await;
    let api = &world.api;
    let body = json!({ "name": "tools", "content": "echo hi" });
    let made = api.json("POST", "/setup-scripts", body).await.expect(201);
    assert_eq!((&made["run_on"], &made["script_order"]), (&json!("first_boot"), &json!(0)));
    assert_eq!(made["source"], "user");
    let path = format!("/setup-scripts/{}", made["id"].as_str().unwrap());
    let body = json!({ "run_on": "every_start", "script_order": -3, "content": null });
    let changed = api.json("PUT", &path, body).await.expect(200);
    assert_eq!(changed["content"], "echo hi");
    assert_eq!(api.get(&path).await.expect(200), changed);
    assert_eq!(api.get("/setup-scripts").await.expect(200)["scripts"], json!([changed]));
    for body in [
        json!({ "name": "", "content": "" }),
        json!({ "name": "a\nb", "content": "" }),
        json!({ "name": "a", "content": "\0" }),
        json!({ "name": "a", "content": "x".repeat(256 * 1024 + 1) }),
        json!({ "name": "a", "content": "", "run_on": "never" }),
        json!({ "name": "a" }),
    ] {
        api.json("POST", "/setup-scripts", body).await.refused(400, "invalid_request");
    }
    api.call("DELETE", &path).await.expect(200);
    api.get(&path).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_spec_shows_the_unit_that_it_becomes() {
    let world = World::start().await;
    let api = &world.api;
    let body = json!({
        "name": "web", "exec_start": "/usr/bin/python3 -m http.server %n",
        "env_vars": { "A": "1 \"2\"" }, "environment_file": "/etc/web.env",
    });
    let made = api.json("POST", "/service-specs", body.clone()).await.expect(201);
    assert_eq!(
        (&made["restart_policy"], &made["auto_enable"]),
        (&json!("on-failure"), &json!(false))
    );
    let unit = made["systemd_unit_preview"].as_str().unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/python3 -m http.server %%n\n"), "{unit}");
    assert!(unit.contains("\nEnvironment=\"A=1 \\\"2\\\"\"\n"), "{unit}");
    api.json("POST", "/service-specs", body).await.refused(409, "conflict");

    let path = format!("/service-specs/{}", made["id"].as_str().unwrap());
    let body = json!({ "environment_file": null, "restart_policy": "always" });
    let changed = api.json("PUT", &path, body).await.expect(200);
    assert_eq!(changed["environment_file"], json!(null));
    assert_eq!(changed["env_vars"], made["env_vars"]);
    let cleared = api.json("PUT", &path, json!({ "env_vars": null })).await.expect(200);
    assert_eq!(cleared["env_vars"], json!({}));
    for body in [
        json!({ "exec_start": "a\nUser=root" }),
        json!({ "exec_start": "" }),
        json!({ "name": "A" }),
        json!({ "environment_file": "x" }),
        json!({ "env_vars": { "a b": "" } }),
    ] {
        api.json("PUT", &path, body).await.refused(400, "invalid_request");
    }
    api.call("DELETE", &path).await.expect(200);
    api.get(&path).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_attached_is_told_to_the_host_in_its_order() {
    let world = World::start().await;
    let api = &world.api;
    let mut scripts = Vec::new();
    for (name, order) in [("late", 5), ("early", 1)] {
        let body =
            json!({ "name": name, "content": format!("echo {name}"), "script_order": order });
        scripts.push(api.json("POST", "/setup-scripts", body).await.expect(201)["id"].clone());
    }
    let body = json!({ "name": "web", "exec_start": "a", "setup_script": "echo web" });
    let spec = api.json("POST", "/service-specs", body).await.expect(201);
    let body = json!({
        "name": "a", "setup_script_ids": scripts, "service_spec_ids": [spec["id"]],
    });
    let made = api.json("POST", "/workspaces", body).await.expect(201);
    assert_eq!(made["vm"]["setup_script_ids"], json!(scripts));
    let assignment = world.host.assigned(&id(&made), Desired::Stopped).await;
    let names: Vec<_> = assignment.guest.setup_scripts.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["early", "late", "setup of service web"]);
    assert_eq!(assignment.guest.services[0].unit, spec["systemd_unit_preview"].as_str().unwrap());

    let twice = json!({ "name": "b", "setup_script_ids": [scripts[0], scripts[0]] });
    api.json("POST", "/workspaces", twice).await.refused(400, "invalid_request");

    let path = format!("/setup-scripts/{}", scripts[0].as_str().unwrap());
    api.json("PUT", &path, json!({ "content": "echo new" })).await.expect(200);
    let has = |text: &'static str| {
        move |known: &crate::host::Known| {
            let mut all = known.assignments.values().flat_map(|a| &a.guest.setup_scripts);
            all.any(|script| script.content == text)
        }
    };
    world.host.knows(has("echo new")).await;
    api.call("DELETE", &path).await.expect(200);
    let shown = api.get(&format!("/workspaces/{}", id(&made))).await.expect(200);
    assert_eq!(shown["vm"]["setup_script_ids"], json!([scripts[1]]));
}
