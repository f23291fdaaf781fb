//! `rig access`, and workspaces that are shared.

use serde_json::{Value, json};

use crate::{
    server::Reply,
    world::{LIST, World, about, id_of, one, vm},
};

const OWNER: &str = "00000000-0000-4000-8000-000000000001";
const BOB: &str = "00000000-0000-4000-8000-000000000002";

fn bound(who: &str, role: &str, by: Option<&str>) -> Value {
    json!({
        "principal_ref": format!("user:{who}"), "resource_ref": format!("workspace:{}", id_of("demo")),
        "role": role, "created_by_ref": by.map(|by| format!("user:{by}")),
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z",
    })
}

/// A world with a workspace that Bob has this role on, or none.
fn world(role: Option<&str>) -> World {
    let demo = vm("demo", "running", 1);
    let world = World::with_workspaces(std::slice::from_ref(&demo));
    world.server.on(&about("GET", "demo", ""), one(&demo));
    let resource = format!("workspace%3A{}", id_of("demo"));
    let mut bindings = vec![bound(OWNER, "owner", None)];
    bindings.extend(role.map(|role| bound(BOB, role, Some(OWNER))));
    let list = format!("GET /api/v1/access-control/bindings?resource={resource}");
    world.server.on(&list, Reply::Json(200, json!({ "bindings": bindings })));
    let person = |id: &str, name: &str| {
        json!({
            "principal": format!("user:{id}"), "user_id": id, "display_name": null,
            "email": format!("{name}@example.com"),
        })
    };
    let find = format!("GET /api/v1/access-control/principals?resource={resource}");
    let bob = json!({ "principals": [person(BOB, "bob")] });
    world.server.on(&format!("{find}&query=bob%40example.com&limit=100"), Reply::Json(200, bob));
    let all = json!({ "principals": [person(OWNER, "ann"), person(BOB, "bob")] });
    world.server.on(&format!("{find}&query=user%3A&limit=100"), Reply::Json(200, all));
    let nobody = json!({ "principals": [] });
    world.server.on(&format!("{find}&query=zoe%40example.com&limit=100"), Reply::Json(200, nobody));
    world
}

#[test]
fn people_are_listed_by_their_addresses() {
    let world = world(Some("viewer"));
    let ended = world.rig("access ls demo");
    let lines: Vec<Vec<&str>> =
        ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["WHO", "ROLE", "SINCE", "GIVEN", "BY"]);
    assert_eq!((lines[1][0], lines[1][1]), ("ann@example.com", "owner"));
    assert_eq!((lines[2][0], lines[2][1]), ("bob@example.com", "viewer"));
    assert_eq!(lines[2].last(), Some(&"ann@example.com"));
    let ended = world.rig("access ls demo --output json");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["bindings"][1]["role"], "viewer");
}

#[test]
fn a_role_is_given_or_changed() {
    let given = bound(BOB, "developer", Some(OWNER));
    let line = "access grant bob@example.com demo --role developer";
    let said = "bob@example.com is developer of demo now\n";
    let mine = world(None);
    mine.server.on("POST /api/v1/access-control/bindings", Reply::Json(200, given.clone()));
    mine.rig(line).is(0, said, "");
    let resource = format!("workspace:{}", id_of("demo"));
    assert_eq!(
        mine.server.first("POST").json(),
        json!({ "principal": format!("user:{BOB}"), "resource": resource, "role": "developer" })
    );
    let mine = world(Some("viewer"));
    mine.server.on("PATCH /api/v1/access-control/bindings", Reply::Json(200, given));
    mine.rig(line).is(0, said, "");
    let asked = mine.server.first("PATCH").json();
    assert_eq!(
        (&asked["current_role"], &asked["new_role"]),
        (&json!("viewer"), &json!("developer"))
    );
    let nobody = "error: nobody here has the e-mail address zoe@example.com\n";
    mine.rig("access grant zoe@example.com demo --role viewer").is(1, "", nobody);
    let ended = mine.rig("access grant zoe demo --role viewer");
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn a_role_is_taken_away() {
    let mine = world(Some("viewer"));
    let gone = Reply::Json(200, json!({ "deleted": true }));
    mine.server.on("DELETE /api/v1/access-control/bindings", gone);
    mine.rig("access revoke bob@example.com demo").is(
        0,
        "bob@example.com is no viewer of demo any more\n",
        "",
    );
    assert_eq!(mine.server.first("DELETE").json()["role"], "viewer");
    let none = "error: bob@example.com has no role on demo\nhint: rig access ls demo\n";
    world(None).rig("access revoke bob@example.com demo").is(1, "", none);
}

#[test]
fn a_question_is_answered_with_a_code_for_scripts() {
    for (allowed, code, word) in [(true, 0, "yes"), (false, 1, "no")] {
        let world = world(None);
        let answer = json!({
            "principal": format!("user:{BOB}"), "action": "workspace_exec", "allowed": allowed,
            "resource": format!("workspace:{}", id_of("demo")), "reason": "because",
        });
        world.server.on("POST /api/v1/access-control/simulate", Reply::Json(200, answer));
        let line = "access check workspace_exec demo --as bob@example.com";
        world.rig(line).is(code, &format!("{word}: because\n"), "");
        let asked = world.server.first("POST").json();
        assert_eq!(asked["principal"], format!("user:{BOB}"));
    }
}

#[test]
fn what_is_shared_is_listed_and_found_by_its_name() {
    let world = World::with_workspaces(&[]);
    let theirs = vm("theirs", "running", 1);
    let page = json!({ "vms": [theirs], "next_cursor": null });
    let shared = LIST.replace('?', "?shared=true&");
    world.server.on(&shared, Reply::Json(200, page));
    world.server.on(&about("GET", "theirs", ""), one(&theirs));
    let ended = world.rig("workspace ls --shared");
    assert!(ended.stdout.contains("theirs"), "{ended:?}");
    let ended = world.rig("workspace show theirs");
    assert!(ended.stdout.contains(&id_of("theirs")), "{ended:?}");
}
