//! Signing in and out in a browser, and what stands in the way of guessers and other sites.

use std::time::Duration;

use serde_json::json;

use crate::{
    browser::{Browser, DEVICE, SESSION},
    people::{PASSWORD, person},
    world::World,
};

const ANN: &str = "ann@example.com";
const WRONG: &str = "another river stone";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_uses_the_api_by_cookie_and_signs_out() {
    let world = World::start().await;
    let id = person(&world, ANN).await;
    let browser = Browser::new(&world);
    let asked = browser.get("/security").await;
    assert_eq!((asked.status, asked.location()), (303, "/sign-in?next=%2Fsecurity"));
    let page = browser.get("/sign-in?next=%2Fdevice%3Fcode%3Dx").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("name=\"next\" value=\"/device?code=x\""), "{}", page.text());

    let fields = [("email", " Ann@Example.com"), ("password", PASSWORD), ("next", "/device")];
    let answer = browser.post("/sign-in", &fields).await;
    assert_eq!((answer.status, answer.location()), (303, "/device"));
    let me = browser.get("/api/v1/users/me").await.expect(200);
    assert_eq!(me["user"]["id"], id);
    assert_eq!(me["user"]["has_password"], true);
    assert_eq!(me["credential"]["kind"], "session");

    let out = browser.submit("/security", "/sign-out", &[]).await;
    assert_eq!((out.status, out.location()), (303, "/sign-in"));
    assert_eq!(browser.cookie(SESSION), None);
    browser.get("/api/v1/users/me").await.refused(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_is_refused_on_the_next_request() {
    let world = World::start().await;
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let old = browser.cookie(SESSION).unwrap();
    browser.get("/api/v1/users/me").await.expect(200);
    browser.submit("/security", "/sign-out", &[]).await;
    browser.set_cookie(SESSION, &old);
    browser.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    assert_eq!(browser.get("/security").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_was_there_before_is_not_kept_at_sign_in() {
    let world = World::start().await;
    person(&world, ANN).await;
    person(&world, "eve@example.com").await;
    // Whoever planted it knows it: one that never was, and one that is good.
    let eve = Browser::signed_in(&world, "eve@example.com").await;
    let planted = [format!("rbs_{}", "ab".repeat(48)), eve.cookie(SESSION).unwrap()];
    for planted in planted {
        let browser = Browser::new(&world);
        browser.set_cookie(SESSION, &planted);
        assert_eq!(browser.sign_in(ANN, PASSWORD).await.status, 303);
        assert_ne!(browser.cookie(SESSION).unwrap(), planted);
        let me = browser.get("/api/v1/users/me").await.expect(200);
        assert_eq!(me["user"]["email"], ANN);
        browser.set_cookie(SESSION, &planted);
        browser.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_learns_which_accounts_there_are() {
    let world = World::start().await;
    person(&world, ANN).await;
    let body = json!({ "email": "bob@example.com" });
    world.api.json("POST", "/users", body).await.expect(201);
    let api = world.api.stranger();
    let mut pages = Vec::new();
    let mut documents = Vec::new();
    // Wrong password, no password, no such account, no address at all.
    for email in [ANN, "bob@example.com", "eve@example.com", "not an address"] {
        let page = Browser::new(&world).sign_in(email, WRONG).await;
        assert_eq!(page.status, 401);
        pages.push(page.text().replace(email, "-").replace(" autofocus", ""));
        let body = json!({ "email": email, "password": WRONG });
        let answer = api.json("POST", "/auth/session", body).await;
        documents.push(answer.refused(401, "unauthenticated").to_string());
    }
    pages.dedup();
    documents.dedup();
    assert_eq!((pages.len(), documents.len()), (1, 1), "{pages:?} {documents:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_grow_slow_whether_there_is_such_an_account_or_not() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    for email in [ANN, "eve@example.com"] {
        for _ in 0..6 {
            assert_eq!(Browser::new(&world).sign_in(email, WRONG).await.status, 401, "{email}");
        }
        let refused = Browser::new(&world).sign_in(email, PASSWORD).await;
        assert_eq!(refused.status, 429, "{email}");
        assert!(refused.text().contains("Too many wrong tries"), "{}", refused.text());
        let body = json!({ "email": email, "password": WRONG });
        let refused = world.api.stranger().json("POST", "/auth/session", body).await;
        refused.too_fast("sign_in", 5, 86_400);
    }
    world.clock.turn(Duration::from_secs(2));
    // The first wait is over; the next one is longer.
    assert_eq!(Browser::new(&world).sign_in(ANN, WRONG).await.status, 401);
    world.clock.turn(Duration::from_millis(1_500));
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.status, 429);
    world.clock.turn(Duration::from_secs(1));
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.status, 303);
    // From here on it is as new.
    assert_eq!(Browser::new(&world).sign_in(ANN, WRONG).await.status, 401);
    assert_eq!(Browser::new(&world).sign_in(ANN, WRONG).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_once_are_not_more_than_guesses_one_by_one() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let guesses = (0..20).map(|_| async { Browser::new(&world).sign_in(ANN, WRONG).await.status });
    let statuses = futures_util::future::join_all(guesses).await;
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(looked_at, 6, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guesser_does_not_lock_out_who_is_elsewhere() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    for _ in 0..6 {
        assert_eq!(Browser::new(&world).sign_in(ANN, WRONG).await.status, 401);
    }
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.status, 429);
    let elsewhere = Browser::from(&world, [127, 0, 0, 2]);
    assert_eq!(elsewhere.sign_in(ANN, PASSWORD).await.status, 303);
    // A program as well, and it makes nothing easier for the guesser.
    let body = json!({ "email": ANN, "password": PASSWORD });
    let api = world.api.stranger().from([127, 0, 0, 3]);
    api.json("POST", "/auth/session", body.clone()).await.expect(201);
    let guesser = world.api.stranger().json("POST", "/auth/session", body).await;
    guesser.too_fast("sign_in", 5, 86_400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guesser_does_not_lock_out_who_signed_in_before() {
    let world = World::start().await;
    world.clock.stop();
    person(&world, ANN).await;
    let own = Browser::signed_in(&world, ANN).await;
    own.submit("/security", "/sign-out", &[]).await;
    for _ in 0..6 {
        Browser::new(&world).sign_in(ANN, WRONG).await;
    }
    assert_eq!(Browser::new(&world).sign_in(ANN, PASSWORD).await.status, 429);
    assert_eq!(own.sign_in(ANN, PASSWORD).await.status, 303);
    // A cookie that was tampered with, or is somebody else's, is worth nothing.
    person(&world, "eve@example.com").await;
    let eve = Browser::signed_in(&world, "eve@example.com").await;
    let mut cookie = own.cookie(DEVICE).unwrap();
    let last = if cookie.ends_with('0') { "1" } else { "0" };
    cookie.replace_range(cookie.len() - 1.., last);
    for cookie in [cookie, eve.cookie(DEVICE).unwrap()] {
        let guesser = Browser::new(&world);
        guesser.set_cookie(DEVICE, &cookie);
        assert_eq!(guesser.sign_in(ANN, PASSWORD).await.status, 429);
    }
    // And in a browser that is known, guesses grow slow by themselves.
    own.drop_cookie(SESSION);
    let mut last = 401;
    for _ in 0..12 {
        last = own.sign_in(ANN, WRONG).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_changes_nothing_for_another_site() {
    let world = World::start().await;
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let base = world.api.base.clone();
    let send = async |method: &str, path: &str, headers: &[(&'static str, &str)]| {
        let mut request = browser.request(method, path, "{\"name\":\"x\"}".into());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        browser.send(request).await.status
    };
    let keys = "/api/v1/api-keys";
    assert_eq!(send("POST", keys, &[]).await, 403);
    assert_eq!(send("POST", keys, &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(send("POST", keys, &[("origin", "null")]).await, 403);
    assert_eq!(send("POST", keys, &[("sec-fetch-site", "same-site")]).await, 403);
    assert_eq!(send("POST", keys, &[("sec-fetch-site", "none")]).await, 403);
    let both = [("origin", base.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(send("POST", keys, &both).await, 403);
    assert_eq!(send("DELETE", "/api/v1/auth/session", &[]).await, 403);
    assert_eq!(send("GET", keys, &[("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(send("GET", "/api/ws/terminal/ws-00000000", &[]).await, 403);
    assert_eq!(browser.get(keys).await.expect(200)["api_keys"], json!([]));
    assert_eq!(send("POST", keys, &[("origin", &base)]).await, 201);
    assert_eq!(send("POST", keys, &[("sec-fetch-site", "same-origin")]).await, 201);
    assert_eq!(send("GET", keys, &[("sec-fetch-site", "none")]).await, 200);

    // A form of ours needs the session's token as well.
    let other = Browser::signed_in(&world, ANN).await.form_token("/security").await;
    for token in ["", "x", &other] {
        let refused = browser.post("/sign-out", &[("form_token", token)]).await;
        assert_eq!(refused.status, 403, "{token}");
    }
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let token = browser.form_token("/security").await;
        let mut request = browser.form("/sign-out", &[("form_token", &token)]);
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(browser.send(request).await.status, 403);
        // Nobody is signed in by another site, either.
        let fields = [("email", ANN), ("password", PASSWORD)];
        let mut request = Browser::new(&world).form("/sign-in", &fields);
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(browser.send(request).await.status, 403);
    }
    browser.get("/api/v1/users/me").await.expect(200);
    // No header lets another site's scripts read anything.
    let mut request = browser.request("OPTIONS", keys, "".into());
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let answer = browser.send(request).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_needs_no_proof_of_origin() {
    let world = World::start().await;
    person(&world, ANN).await;
    let body = json!({ "email": ANN, "password": PASSWORD });
    let made = world.api.stranger().json("POST", "/auth/session", body).await.expect(201);
    let session = world.api.with_key(made["token"].as_str().unwrap());
    let mut request = session.request("POST", "/api-keys", "{}".into());
    request.headers_mut().insert("origin", "https://elsewhere.example".parse().unwrap());
    session.send(request).await.expect(201);
    // Beside a header, a cookie counts for nothing.
    let browser = Browser::signed_in(&world, ANN).await;
    let mut request = browser.request("GET", "/api/v1/users/me", "".into());
    request.headers_mut().insert("authorization", "Bearer rb_x".parse().unwrap());
    browser.send(request).await.refused(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_only_the_way_it_was_given() {
    let world = World::start().await;
    person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    let cookie = browser.cookie(SESSION).unwrap();
    browser.get("/api/v1/users/me").await.expect(200);
    world.api.with_key(cookie).get("/users/me").await.refused(401, "unauthenticated");

    let body = json!({ "email": ANN, "password": PASSWORD });
    let made = world.api.stranger().json("POST", "/auth/session", body).await.expect(201);
    let token = made["token"].as_str().unwrap();
    world.api.with_key(token).get("/users/me").await.expect(200);
    browser.set_cookie(SESSION, token);
    browser.get("/api/v1/users/me").await.refused(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_account_is_told_so_only_with_its_password() {
    let world = World::start().await;
    let id = person(&world, ANN).await;
    let browser = Browser::signed_in(&world, ANN).await;
    browser.get("/api/v1/users/me").await.expect(200);
    let path = format!("/users/{id}");
    world.api.json("PATCH", &path, json!({ "disabled": true })).await.expect(200);
    browser.get("/api/v1/users/me").await.refused(401, "unauthenticated");
    let wrong = Browser::new(&world).sign_in(ANN, WRONG).await;
    assert!(!wrong.text().contains("disabled"));
    let right = Browser::new(&world).sign_in(ANN, PASSWORD).await;
    assert_eq!(right.status, 401);
    assert!(right.text().contains("This account is disabled"), "{}", right.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wish_leads_to_another_site() {
    let world = World::start().await;
    person(&world, ANN).await;
    for next in
        ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "\r\n/"]
    {
        let query = serde_urlencoded::to_string([("next", next)]).unwrap();
        let page = Browser::new(&world).get(&format!("/sign-in?{query}")).await;
        assert!(page.text().contains("name=\"next\" value=\"/security\""), "{next:?}");
        let fields = [("email", ANN), ("password", PASSWORD), ("next", next)];
        let browser = Browser::new(&world);
        let answer = browser.post("/sign-in", &fields).await;
        assert_eq!((answer.status, answer.location()), (303, "/security"), "{next:?}");
        let page = browser.get(&format!("/sign-in?{query}")).await;
        assert_eq!((page.status, page.location()), (303, "/security"), "{next:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_escaped_kept_by_nobody_and_framed_by_nobody() {
    let world = World::start().await;
    person(&world, ANN).await;
    let browser = Browser::new(&world);
    let evil = "\"><script>alert(1)</script>";
    let page = browser.sign_in(evil, PASSWORD).await;
    assert!(!page.text().contains("<script>"), "{}", page.text());
    assert!(page.text().contains("&lt;script&gt;"), "{}", page.text());
    let signed_in = Browser::signed_in(&world, ANN).await.get("/security").await;
    let lost = browser.get("/password").await;
    assert_eq!(lost.status, 404);
    for answer in [page, signed_in, lost, browser.get("/sign-in").await] {
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
        assert!(answer.headers.contains_key("x-request-id"));
        let text = answer.text();
        assert!(text.contains("<main>") && text.contains("lang=\"en\""), "{text}");
        assert!(!text.contains("<script") && !text.contains("style="), "{text}");
        for label in text.split("<label for=\"").skip(1) {
            let name = label.split('"').next().unwrap();
            assert!(text.contains(&format!("id=\"{name}\"")), "{name}");
        }
    }
    // Also where there is no page, for who wants one.
    for (path, status) in [("/nothing", 404), ("/sign-out", 405)] {
        let mut request = browser.request("GET", path, "".into());
        request.headers_mut().insert("accept", "text/html,*/*;q=0.8".parse().unwrap());
        let lost = browser.send(request).await;
        assert_eq!(lost.status, status);
        assert!(lost.text().contains("<main>"), "{}", lost.text());
        assert!(lost.headers.contains_key("content-security-policy"));
        assert!(browser.get(path).await.json()["error"].is_object());
    }
    let css = browser.get("/assets/pages-1.css").await;
    assert_eq!(css.headers["content-type"], "text/css; charset=utf-8");
    // A form that is no form, too large, or has a field twice is refused as a page.
    let mut request = browser.form("/sign-in", &[]);
    request.headers_mut().remove("content-type");
    assert_eq!(browser.send(request).await.status, 400);
    let twice = [("email", "a"), ("email", "b")];
    assert_eq!(browser.post("/sign-in", &twice).await.status, 400);
    let large = "a".repeat(5_000);
    let large = browser.post("/sign-in", &[("email", &large)]).await;
    assert_eq!(
        (large.status, &large.headers["content-type"]),
        (400, &"text/html; charset=utf-8".parse().unwrap())
    );
}
