//! Who may see an app, and how a browser comes to be known there.

use rigbox_types::{
    Timestamp,
    api::app_requests::VisitorKind,
    edge::{Admission, EdgeEvent, Exchanged, Route, RouteState, Visibility},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    client::up_to,
    world::{World, account, app, echo, head, raw_app, until, visitor},
};

const NAME: &str = "a.apps.example";

/// A private app of account 1.
async fn private() -> World {
    let world = World::new().await;
    world.host.port(3_000, raw_app(echo).await);
    show(&world, Visibility::Private, &[]).await;
    world.control.admit("owner", visitor(1, "owner@example.com"));
    world.control.admit("other", visitor(2, "other@example.com"));
    world
}

async fn show(world: &World, visibility: Visibility, listed: &[&str]) {
    let mut route = app(1, "a", 3_000);
    route.visibility = visibility;
    route.allowed_emails = listed.iter().map(|email| email.parse().unwrap()).collect();
    world.routes([route]).await;
}

async fn status(world: &World, lines: &[&str]) -> String {
    let answer = world.ask(NAME, "/", lines).await;
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_app_is_seen_by_its_owner_and_by_nobody_else() {
    let world = private().await;
    assert_eq!(status(&world, &[]).await, "401");
    assert_eq!(status(&world, &["X-Rigbox-Key: nobody"]).await, "403");
    assert_eq!(status(&world, &["X-Rigbox-Key: other"]).await, "403");
    assert_eq!(status(&world, &["X_Rigbox_Key: owner"]).await, "401", "an alias is none");
    assert_eq!(world.host.dials(), 0, "nothing has reached the workspace");
    let answer = world.ask(NAME, "/", &["X-Rigbox-Key: owner"]).await;
    assert!(answer.contains(&format!("x-rigbox-user-id: {}\r\n", account(1))), "{answer}");
    assert!(answer.contains("x-rigbox-user-email: owner@example.com\r\n"), "{answer}");
    assert!(!answer.contains("x-rigbox-key"), "{answer}");
    // Its owner can see who was turned away.
    until("all told", async || world.control.requests().len() == 5).await;
    let told = world.control.requests();
    let told = told.iter().map(|of| (of.request.status, of.request.visitor));
    let mut told = told.collect::<Vec<_>>();
    told.sort_by_key(|(status, _)| *status);
    let refused = |status| (status, VisitorKind::Refused);
    let others = [refused(401), refused(401), refused(403), refused(403)];
    assert_eq!(told, [&[(200, VisitorKind::Key)][..], &others].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_who_may_come_is_seen_by_the_next_request() {
    let world = private().await;
    for round in 0..20 {
        show(&world, Visibility::Public, &[]).await;
        assert_eq!(status(&world, &[]).await, "200", "{round}");
        show(&world, Visibility::Privileged, &["other@example.com"]).await;
        assert_eq!(status(&world, &[]).await, "401", "{round}");
        assert_eq!(status(&world, &["X-Rigbox-Key: other"]).await, "200", "{round}");
        show(&world, Visibility::Private, &["other@example.com"]).await;
        assert_eq!(status(&world, &["X-Rigbox-Key: other"]).await, "403", "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_is_asked_once_and_again_when_a_credential_ended() {
    let world = private().await;
    for _ in 0..5 {
        assert_eq!(status(&world, &["X-Rigbox-Key: owner"]).await, "200");
    }
    assert_eq!(world.control.asked(), ["owner"]);
    world.control.admit("owner", Admission::Unknown);
    world.control.tell([EdgeEvent::Forget { account: Some(account(1)), mark: 0 }]).await;
    assert_eq!(status(&world, &["X-Rigbox-Key: owner"]).await, "403");
    assert_eq!(world.control.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_control_is_away_only_who_was_known_is_let_in() {
    let mut world = private().await;
    assert_eq!(status(&world, &["X-Rigbox-Key: owner"]).await, "200");
    let (spare, _) = (world.folder.join("spare"), ());
    std::fs::create_dir(&spare).unwrap();
    let other = crate::control::Control::start(&spare).await;
    let gone = std::mem::replace(&mut world.control, other);
    gone.stop().await;
    assert_eq!(status(&world, &["X-Rigbox-Key: owner"]).await, "200");
    assert_eq!(status(&world, &["X-Rigbox-Key: other"]).await, "503");
    assert_eq!(status(&world, &[]).await, "401");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_to_sign_in_and_comes_back_with_a_cookie() {
    let world = private().await;
    let html = "Accept: text/html";
    let answer = world.ask(NAME, "/x?y=1", &[html]).await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    let line = |name: &str, answer: &str| {
        let start = format!("{name}: ");
        answer.lines().find_map(|l| l.strip_prefix(&start)).unwrap_or_default().to_owned()
    };
    let location = line("location", &answer);
    let port = world.https.port();
    let start = format!("https://apps.example:{port}/visit?name={NAME}&path=%2Fx%3Fy%3D1&state=");
    assert!(location.starts_with(&start), "{location}");
    let cookie = line("set-cookie", &answer);
    for part in ["__Host-rigbox-state=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let state = cookie.split(';').next().unwrap().to_owned();
    // Without the cookie of the same browser a token is not even tried.
    let enter = "/.rigbox/enter?token=transfer&path=%2Fx%3Fy%3D1";
    assert!(world.ask(NAME, enter, &[]).await.starts_with("HTTP/1.1 403"));
    assert!(world.control.exchanges().is_empty());
    let expires_at = Timestamp::from_micros(i64::MAX / 4);
    world.control.exchange(Exchanged::Cookie { value: "value".to_owned(), expires_at });
    let answer = world.ask(NAME, enter, &[&format!("Cookie: {state}")]).await;
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert_eq!(line("location", &answer), "/x?y=1");
    assert!(answer.contains("set-cookie: __Host-rigbox-app=value; "), "{answer}");
    let exchange = world.control.exchanges().remove(0);
    assert_eq!(exchange.name, NAME);
    assert_eq!(exchange.state.as_deref(), state.split('=').nth(1));
    world.control.admit("value", visitor(1, "owner@example.com"));
    let cookie = "Cookie: __Host-rigbox-app=value; own=1";
    let answer = world.ask(NAME, "/", &[cookie]).await;
    assert!(answer.contains("cookie: own=1\r\n") && !answer.contains("__Host"), "{answer}");
    assert!(world.ask(NAME, "/", &[cookie, html]).await.starts_with("HTTP/1.1 200"));
    let answer = world.ask(NAME, "/.rigbox/leave", &[cookie]).await;
    assert!(answer.contains("__Host-rigbox-app=; Path=/; Max-Age=0"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_another_host() {
    let world = private().await;
    let expires_at = Timestamp::from_micros(i64::MAX / 4);
    world.control.exchange(Exchanged::Cookie { value: "value".to_owned(), expires_at });
    for path in [
        "//evil.example",
        "%2F%2Fevil.example",
        "https:%2F%2Fevil",
        "%2F%5Cevil",
        "",
        "%2Fa%0D%0AX:y",
    ] {
        for page in ["/.rigbox/link?token=t&path=", "/.rigbox/leave?path="] {
            let answer = world.ask(NAME, &format!("{page}{path}"), &[]).await;
            assert!(answer.contains("location: /\r\n"), "{path}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_in_without_a_name_and_no_longer_than_it_lasts() {
    let world = private().await;
    let at = |micros| Admission::Link { expires_at: Timestamp::from_micros(micros) };
    world.control.admit("link", at(i64::MAX / 4));
    world.control.admit("old", at(1));
    let answer = world.ask(NAME, "/", &["Cookie: __Host-rigbox-app=link"]).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("user-id"), "{answer}");
    assert_eq!(status(&world, &["Cookie: __Host-rigbox-app=old"]).await, "401");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_before_a_request_of_another_origin_passes_and_the_request_does_not() {
    let world = private().await;
    let ask = |method: &str, more: &str| {
        format!(
            "{method} / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\
             Origin: https://elsewhere.example\r\n{more}\r\n"
        )
    };
    // The question itself reaches the app and nothing else does; permission comes back and no content.
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.host.port(3_000, app.local_addr().unwrap());
    let preflight = ask(
        "OPTIONS",
        "Access-Control-Request-Method: POST\r\nAuthorization: Bearer x\r\nCookie: a=b\r\nX-Any: 1\r\n",
    );
    let answering = async {
        let (mut stream, _) = app.accept().await.unwrap();
        let seen = head(&mut stream).await.unwrap().to_ascii_lowercase();
        let said = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nX-Told: secret\r\n\
                    Content-Length: 6\r\n\r\nsecret";
        stream.write_all(said.as_bytes()).await.unwrap();
        seen
    };
    let (answer, seen) = tokio::join!(world.say(NAME, preflight.as_bytes()), answering);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *\r\n"), "{answer}");
    assert!(!answer.contains("secret"), "{answer}");
    assert!(seen.contains("access-control-request-method: post\r\n"), "{seen}");
    for hidden in ["authorization", "cookie", "x-any"] {
        assert!(!seen.contains(hidden), "{seen}");
    }
    drop(app);
    let answer = world.say(NAME, preflight.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "nothing of what is behind: {answer}");
    for other in [
        ask("OPTIONS", ""),
        ask("GET", "Access-Control-Request-Method: POST\r\n"),
        ask("OPTIONS", "Access-Control-Request-Method: POST\r\nContent-Length: 3\r\n"),
        ask("OPTIONS", "Access-Control-Request-Method: POST\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        let answer = world.say(NAME, other.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_app_asks_nothing_in_its_visitors_name() {
    let world = private().await;
    world.control.admit("session", visitor(1, "owner@example.com"));
    let ask = async |site: &str, mode: &str| {
        let (site, mode) = (format!("Sec-Fetch-Site: {site}"), format!("Sec-Fetch-Mode: {mode}"));
        status(&world, &["Cookie: __Host-rigbox-app=session", &site, &mode]).await
    };
    for (site, mode, expected) in [
        ("same-origin", "cors", "200"),
        ("none", "navigate", "200"),
        ("same-site", "navigate", "200"),
        ("same-site", "no-cors", "403"),
        ("same-site", "cors", "403"),
        ("cross-site", "no-cors", "403"),
    ] {
        assert_eq!(ask(site, mode).await, expected, "{site}, {mode}");
    }
    let form = format!(
        "POST / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: 0\r\n\
         Cookie: __Host-rigbox-app=session\r\nSec-Fetch-Site: same-site\r\n\
         Sec-Fetch-Mode: navigate\r\n\r\n"
    );
    let answer = world.say(NAME, form.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// The app always has something to send, so that the edge never waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_pauses_ends_with_the_right_to_it() {
    let world = private().await;
    show(&world, Visibility::Public, &[]).await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.host.port(3_000, app.local_addr().unwrap());
    let mut stream = world.connect(NAME).await;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut at_app, _) = app.accept().await.unwrap();
    head(&mut at_app).await.unwrap();
    at_app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n").await.unwrap();
    let endless =
        tokio::spawn(async move { while at_app.write_all(&[b'x'; 65_536]).await.is_ok() {} });
    up_to(&mut stream, "xxxx").await;
    show(&world, Visibility::Private, &[]).await;
    // Slower than the app, so that there is always something.
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
    let mut bytes = vec![0; 65_536];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {
        pace.tick().await;
    }
    endless.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_does_not_learn_whether_the_workspace_runs() {
    let world = private().await;
    let mut route = app(1, "a", 3_000);
    (route.visibility, route.state) = (Visibility::Private, RouteState::WorkspaceStopped);
    world.routes([route]).await;
    assert_eq!(status(&world, &[]).await, "401");
    assert_eq!(status(&world, &["X-Rigbox-Key: other"]).await, "403");
    assert_eq!(status(&world, &["X-Rigbox-Key: owner"]).await, "503");
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_paths_never_reach_the_app() {
    let world = private().await;
    show(&world, Visibility::Public, &[]).await;
    for path in ["/.rigbox/", "/.rigbox", "/.rigbox/enter", "/.rigbox/x", "/.rigbox/link?token="] {
        let answer = world.ask(NAME, path, &[]).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    assert_eq!(world.host.dials(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_of_one_app_do_not_keep_control_from_being_asked_about_others() {
    let world = private().await;
    world.routes([Route { visibility: Visibility::Private, ..app(2, "b", 3_000) }]).await;
    world.control.hold(Some(app(1, "a", 0).app));
    let mut waiting = Vec::new();
    for number in 0..20 {
        let mut stream = world.connect(NAME).await;
        // Half of them show a key, the others open a share link.
        let text = match number % 2 {
            0 => format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nX-Rigbox-Key: {number}\r\n\r\n"),
            _ => format!("GET /.rigbox/link?token=t{number} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    until("all wait", async || world.metric("rigbox_edge_requests_open").await == 20).await;
    let answer = world.ask("b.apps.example", "/", &["X-Rigbox-Key: owner"]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The few that were asked for the first app, and the one for the other.
    assert_eq!(world.control.asked().len() + world.control.exchanges().len(), 8 + 1);
    world.control.hold(None);
}
