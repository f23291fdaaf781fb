//! Credits as people and programs read them.

use serde_json::{Value, json};

use crate::{server::Reply, world::World};

fn credits(unlimited: bool) -> Value {
    json!({
        "mode": "managed", "remaining": 199.75, "remaining_micro": 199_750_001, "total": 250.0,
        "total_micro": 250_000_000, "unlimited": unlimited, "granted_micro": 199_750_001,
        "expires_at": "2026-12-01T00:00:00Z", "held_micro": 1_000_000, "used_micro": 50_249_999,
    })
}

#[test]
fn what_is_left_is_shown_to_the_millionth() {
    let world = World::new();
    world.server.on("GET /api/v1/users/me/credits", Reply::Json(200, credits(false)));
    world.rig("credits").is(
        0,
        "mode             managed\n\
         left             199.750001 of 250\n\
         used this month  50.249999\n\
         held by calls    1\n\
         expiring         199.750001 at 2026-12-01T00:00:00Z\n",
        "",
    );
    let ended = world.rig("credits --output json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), credits(false));
    let world = World::new();
    world.server.on("GET /api/v1/users/me/credits", Reply::Json(200, credits(true)));
    let shown = world.rig("credits").stdout;
    assert!(shown.contains("no limit") && !shown.contains("expiring"), "{shown}");
}

#[test]
fn a_statement_is_a_table_of_entries() {
    let world = World::new();
    let entry = json!({
        "seq": 2, "at": "2020-01-01T00:00:00Z", "kind": "charge", "amount": -0.000_001,
        "amount_micro": -1, "balance": 9.999_999, "balance_micro": 9_999_999,
        "reason": "a \u{1b}[31mmodel", "actor": "workspace:ws-aaaaaaaa", "key": "charge:r1",
    });
    let answer = json!({ "entries": [entry], "next_cursor": null });
    let path = "GET /api/v1/users/me/credits/statement?max_results=7";
    world.server.on(path, Reply::Json(200, answer));
    let ended = world.rig("credits --statement --limit 7");
    let row = ended.stdout.lines().nth(1).unwrap_or_default();
    assert!(row.contains("charge  -0.000001  9.999999"), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
    assert_eq!(world.rig("credits --limit 7").code, 2);
}
