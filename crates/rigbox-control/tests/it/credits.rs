//! Credits over the API: what an account is shown, and what the operator does.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    world::World,
};

/// A user of the plan `free`, and its id.
async fn ann(world: &World) -> (String, Client) {
    let body = json!({ "email": "ann@example.com", "plan": "free", "api_key": true });
    let made = world.api.json("POST", "/users", body).await.expect(201);
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    (id, world.api.with_key(made["api_key"].as_str().unwrap()))
}

async fn change(world: &World, id: &str, (kind, amount): (&str, &str), reason: &str) -> Answer {
    let body = json!({ "kind": kind, "amount": amount, "reason": reason });
    world.api.json("POST", &format!("/users/{id}/credits"), body).await
}

fn kinds(statement: &Value) -> Vec<(&str, i64)> {
    let entries = statement["entries"].as_array().unwrap();
    let kind = |entry: &'_ Value| entry["amount_micro"].as_i64().unwrap();
    entries.iter().map(|entry| (entry["kind"].as_str().unwrap(), kind(entry))).collect()
}

async fn an_account_sees_what_it_has_and_what_became_of_it(world: World) {
    let (id, ann) = ann(&world).await;
    let credits = ann.get("/users/me/credits").await.expect(200);
    assert_eq!(credits["mode"], "managed");
    assert_eq!((&credits["remaining"], &credits["total"]), (&json!(250.0), &json!(250.0)));
    assert_eq!(credits["remaining_micro"], 250_000_000);
    assert_eq!((&credits["unlimited"], &credits["held_micro"]), (&json!(false), &json!(0)));
    assert!(credits["expires_at"].as_str().unwrap().ends_with("-01T00:00:00Z"), "{credits}");

    let made = change(&world, &id, ("top_up", "12.5"), "a gift").await.expect(200);
    assert_eq!(made["entry"]["balance_micro"], 262_500_000);
    assert!(made["entry"]["actor"].as_str().unwrap().starts_with("key:"), "{made}");
    let taken = change(&world, &id, ("adjustment", "-2.000001"), "too many").await.expect(200);
    assert_eq!(taken["credits"]["remaining_micro"], 260_499_999);
    assert_eq!(taken["credits"]["granted_micro"], 250_000_000);
    let seen = ann.get("/users/me/credits").await.expect(200);
    assert_eq!(seen, taken["credits"]);
    assert_eq!(world.api.get(&format!("/users/{id}/credits")).await.expect(200), seen);
    let dashboard = ann.get("/dashboard").await.expect(200);
    assert_eq!(dashboard["ai_credits"], seen);

    let statement = ann.get("/users/me/credits/statement").await.expect(200);
    let expected = [("adjustment", -2_000_001), ("top_up", 12_500_000), ("grant", 250_000_000)];
    assert_eq!(kinds(&statement), expected);
    assert_eq!(statement["entries"][0]["reason"], "too many");
    let theirs = format!("/users/{id}/credits/statement");
    assert_eq!(world.api.get(&theirs).await.expect(200), statement);
    let first = ann.get("/users/me/credits/statement?max_results=2").await.expect(200);
    assert_eq!(kinds(&first), expected[..2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = format!("/users/me/credits/statement?max_results=2&cursor={cursor}");
    let rest = ann.get(&rest).await.expect(200);
    assert_eq!((kinds(&rest).as_slice(), &rest["next_cursor"]), (&expected[2..], &Value::Null));

    // An account without a limit has as many as there may be.
    let own = world.api.get("/users/me/credits").await.expect(200);
    assert_eq!((&own["unlimited"], &own["remaining"]), (&json!(true), &json!(1e9)));
}

async fn what_is_charged_is_in_the_limits_and_the_dashboard(world: World) {
    use rigbox_store::{Store, SystemClock, ledger::NewHold};
    let (id, ann) = ann(&world).await;
    let store = Store::open(&world.store, std::sync::Arc::new(SystemClock)).await.unwrap();
    let new = NewHold {
        account: id.parse().unwrap(),
        amount: "3".parse().unwrap(),
        request_id: "r1",
        actor: "workspace:ws-aaaaaaaa",
        holder: "ai-1",
    };
    store.ledger().hold(&new).await.unwrap();
    store.ledger().hold(&NewHold { request_id: "r2", ..new }).await.unwrap();
    store.ledger().settle("r1", "1.000001".parse().unwrap(), "a model").await.unwrap();
    store.close().await;
    let limits = ann.get("/users/me/limits").await.expect(200);
    // One that was begun counts.
    assert_eq!(limits["usage"]["ai_credits_used"], 2);
    let dashboard = ann.get("/dashboard").await.expect(200);
    assert_eq!(dashboard["limits"], limits);
    let credits = &dashboard["ai_credits"];
    assert_eq!(
        (&credits["remaining_micro"], &credits["held_micro"], &credits["used_micro"]),
        (&json!(248_999_999), &json!(3_000_000), &json!(1_000_001))
    );
    assert_eq!(credits["total"], 250.0);
}

async fn a_change_of_credits_is_checked_and_done_once(world: World) {
    let (id, ann) = ann(&world).await;
    for ((kind, amount), reason, field) in [
        (("top_up", "0"), "so", "amount"),
        (("top_up", "-1"), "so", "amount"),
        (("adjustment", "0.0"), "so", "amount"),
        (("top_up", "1000000000"), "so", "amount"),
        (("top_up", "1.0000001"), "so", "amount"),
        (("top_up", "1e3"), "so", "amount"),
        (("top_up", "1"), " ", "reason"),
        (("top_up", "1"), "two\nlines", "reason"),
        (("grant", "1"), "so", "kind"),
    ] {
        let refused = change(&world, &id, (kind, amount), reason).await;
        let refused = refused.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], field, "{kind} {amount} {reason:?}: {refused}");
    }
    let refused = change(&world, &id, ("adjustment", "-250.5"), "so").await;
    let refused = refused.refused(402, "credits_exhausted");
    let details =
        json!({ "balance_micro": 250_000_000, "held_micro": 0, "needed_micro": 250_500_000 });
    assert_eq!(refused["details"], details);
    assert!(refused["message"].as_str().unwrap().contains("at most 250"), "{refused}");
    let nobody = "00000000-0000-4000-8000-00000000000e";
    change(&world, nobody, ("top_up", "1"), "so").await.refused(404, "not_found");

    let path = format!("/users/{id}/credits");
    let once = async |amount: &str| {
        let body = json!({ "kind": "top_up", "amount": amount, "reason": "so" }).to_string();
        let mut request = world.api.request("POST", &path, body.into());
        request.headers_mut().insert("idempotency-key", "invoice-1".parse().unwrap());
        world.api.send(request).await
    };
    let first = once("5").await.expect(200);
    assert_eq!(once("5").await.expect(200), first);
    once("6").await.refused(409, "conflict");
    let credits = ann.get("/users/me/credits").await.expect(200);
    assert_eq!(credits["remaining_micro"], 255_000_000);
    // Who did it is in the record, and not what a user may do.
    let audit = world.api.get("/audit").await.expect(200);
    let entries = audit["entries"].as_array().unwrap();
    let noted = entries.iter().find(|entry| entry["action"] == "user_credits_change").unwrap();
    assert!(noted["target"].as_str().unwrap().contains(&id), "{noted}");
    let body = json!({ "kind": "top_up", "amount": "5", "reason": "so" });
    ann.json("POST", &path, body).await.refused(403, "forbidden");
}

async fn the_operator_sets_a_password_by_the_rules_of_the_page(world: World) {
    let (id, ann) = ann(&world).await;
    let path = format!("/users/{id}/password");
    let set =
        async |password: &str| world.api.json("PUT", &path, json!({ "password": password })).await;
    for weak in ["short", "ann@example.com", "passwordpassword", &"x".repeat(257)] {
        let refused = set(weak).await.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], "password", "{weak}");
        assert!(!refused.to_string().contains(weak), "{refused}");
    }
    set("seven lamps on the water").await.expect(200);
    let sign_in = async |password: &str| {
        let body = json!({ "email": "ann@example.com", "password": password });
        world.api.stranger().json("POST", "/auth/session", body).await
    };
    let session = sign_in("seven lamps on the water").await.expect(201);
    let session = world.api.with_key(session["token"].as_str().unwrap());
    session.get("/users/me").await.expect(200);
    // Another one ends what was opened with the first; a key stays.
    set("nine lamps on the water").await.expect(200);
    session.get("/users/me").await.refused(401, "unauthenticated");
    ann.get("/users/me").await.expect(200);
    sign_in("seven lamps on the water").await.refused(401, "unauthenticated");
    sign_in("nine lamps on the water").await.expect(201);
    // Whoever has no address could not sign in with it.
    let own = world.api.get("/users/me").await.expect(200);
    let own = format!("/users/{}/password", own["user"]["id"].as_str().unwrap());
    let body = json!({ "password": "seven lamps on the water" });
    world.api.json("PUT", &own, body).await.refused(400, "invalid_state");
}

macro_rules! on_both {
    ($($case:ident: $sqlite:ident $postgres:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sqlite() {
                $case(World::start().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $postgres() {
                $case(World::on_postgres().await).await;
            }
        )*
    };
}

on_both! {
    an_account_sees_what_it_has_and_what_became_of_it:
        an_account_sees_its_credits_on_sqlite
        an_account_sees_its_credits_on_postgres,
    what_is_charged_is_in_the_limits_and_the_dashboard:
        what_is_charged_is_shown_on_sqlite
        what_is_charged_is_shown_on_postgres,
    a_change_of_credits_is_checked_and_done_once:
        a_change_of_credits_is_done_once_on_sqlite
        a_change_of_credits_is_done_once_on_postgres,
    the_operator_sets_a_password_by_the_rules_of_the_page:
        the_operator_sets_a_password_on_sqlite
        the_operator_sets_a_password_on_postgres,
}
