//! Certificates of an authority that asks the edge itself, over every way that it has: the wildcard by
//! DNS, custom domains by a handshake or a page. The authority refuses one nonce in five.

use std::{path::Path, process::Command, time::Duration};

use rigbox_tests::{
    authority::{Authority, Ports, verify},
    platform::{Options, Platform},
    wait,
};
use serde_json::{Value, json};

/// How long orders may take on a busy machine.
const ORDER_LIMIT: Duration = Duration::from_secs(120);

/// What a visitor gets under a name: status, and the certificate's serial number.
fn visit(name: &str, port: u16, root: &Path) -> anyhow::Result<(String, String)> {
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "--max-time", "20", "-w", "%{http_code}\n%{certs}"])
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1"), "--cacert"])
        .arg(root)
        .arg(format!("https://{name}:{port}/"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let serial = said.lines().find(|line| line.starts_with("Serial Number"));
    let status = said.lines().next().unwrap_or_default().to_owned();
    Ok((status, serial.unwrap_or_default().to_owned()))
}

#[test]
fn an_authority_signs_for_the_domain_and_for_custom_ones_and_a_restart_keeps_what_it_signed() {
    let ports = Ports::free().unwrap();
    let (authority, names) = Authority::start(ports).unwrap();
    let platform = Platform::start_with(&Options {
        domain: "box.test".to_owned(),
        edge: format!(
            "listen = \"127.0.0.1:{}\"\nhttp = \"127.0.0.1:{}\"\ndns = \"127.0.0.1:{}\"\n\
             addresses = [\"127.0.0.1\"]\nresolver = \"{names}\"",
            ports.https, ports.http, ports.dns
        ),
        tables: authority.table(),
        ..Options::default()
    })
    .unwrap();
    let root = authority.root().unwrap();
    let workspace = platform.spawn("shop").unwrap();
    platform
        .sh(&workspace, "mkdir -p /tmp/w; echo hi > /tmp/w/index.html; httpd -p 80 -h /tmp/w")
        .unwrap();
    let client = platform.client().unwrap();
    let body = json!({ "name": "web", "workspace_id": workspace, "port": 80 });
    let made: Value = client.post("/apps", &body).unwrap().body;
    let app = made["app"]["id"].as_str().unwrap();
    let path = format!("/apps/{app}/visibility");
    let shared = client.call("PUT", &path, Some(&json!({ "visibility": "public" }))).unwrap();
    assert_eq!(shared.status, 200, "{}", shared.text);

    let wildcard = || visit("web.box.test", ports.https, &root);
    let signed =
        wait::until("the wildcard", ORDER_LIMIT, wildcard, |seen| seen.0 == "200").unwrap();
    verify(&client, app, "shop.example.test").unwrap();
    let custom = || visit("shop.example.test", ports.https, &root);
    wait::until("the custom domain", ORDER_LIMIT, custom, |seen| seen.0 == "200").unwrap();

    let former = platform.role("edge").unwrap();
    platform.kill_role("edge").unwrap();
    platform.kill_role("control").unwrap();
    let another = || platform.role("edge");
    wait::until("another edge", ORDER_LIMIT, another, |now| *now != former).unwrap();
    let again = wait::until("the same", ORDER_LIMIT, wildcard, |seen| seen.0 == "200").unwrap();
    assert_eq!(again, signed);
}
