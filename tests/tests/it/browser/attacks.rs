//! What is tried against whoever is signed in: by a page of another app, by a link, by a program.

use rigbox_tests::browser::Page;

use super::{
    APP, fetched, sign_in,
    world::{Answer, World, authority_of},
};

const STATE: &str = "__Host-rigbox-state";

/// Opens a WebSocket, says something, and gives what is said back, or that it was closed.
fn talk(page: &Page, app: &str) -> String {
    let url = format!("wss://{}/ws", authority_of(app));
    let said = page.eval(&format!(
        "new Promise(done => {{ \
           const socket = new WebSocket('{url}'); \
           socket.onopen = () => socket.send('is anybody there?'); \
           socket.onmessage = message => done(message.data); \
           socket.onclose = () => done('closed'); \
         }})"
    ));
    said.unwrap().as_str().unwrap().to_owned()
}

/// What a page of an app can do to set cookies of ours for every app of the domain.
const TOSS: &str = "\
    for (const name of ['__Host-rigbox-app', '__Host-rigbox-state', '__host-rigbox-app', \
                        '=__Host-rigbox-app', '=__host-rigbox-state', ' __Host-rigbox-app', \
                        'rigbox-app']) { \
      for (const path of ['/', '/some']) { \
        document.cookie = `${name}=tossed; Domain=rigbox.localhost; Path=${path}; Secure`; \
      } \
    }";

#[test]
fn a_page_of_another_app_gets_at_nothing() {
    let world = World::start();
    let browser = world.browser(&world.home());
    let ann = browser.person().unwrap();
    let page = ann.page().unwrap();
    page.open(&world.web).unwrap();
    sign_in(&world, &page, "ann");
    page.arrive(&format!("{}/", world.web), 200).unwrap();
    assert_eq!(talk(&page, &world.web), "is anybody there?");

    let side = ann.page().unwrap();
    assert_eq!(side.open(&world.side).unwrap().status, 200);
    assert_eq!(talk(&side, &world.side), "is anybody there?");
    assert_eq!(talk(&side, &world.web), "closed");
    // With the cookie, which browsers send to all hosts of a site: without one it would be 401.
    let errors = side.events("Network.webSocketFrameError");
    assert!(errors.iter().any(|error| error.to_string().contains("403")), "{errors:?}");
    let read = format!(
        "fetch('{}/seen', {{ credentials: 'include' }}).then(() => 'read', () => 'not read')",
        world.web
    );
    assert_eq!(side.eval(&read).unwrap(), "not read");
    let framed = format!(
        "new Promise(done => {{ \
           const frame = document.createElement('iframe'); \
           frame.onload = () => {{ \
             try {{ done(frame.contentDocument ? 'read' : 'not read'); }} \
             catch (error) {{ done('not read'); }} \
           }}; \
           frame.src = '{}/seen'; document.body.append(frame); \
         }})",
        world.web
    );
    assert_eq!(side.eval(&framed).unwrap(), "not read");

    // Cookies for the whole domain, set by the page and by its server.
    let toss = |side: &Page| {
        side.eval(TOSS).unwrap();
        assert_eq!(side.open(&format!("{}/toss", world.side)).unwrap().status, 200);
    };
    toss(&side);
    let cookies = ann.cookies().unwrap();
    let tossed: Vec<_> = cookies
        .iter()
        .filter(|cookie| cookie["domain"] == ".rigbox.localhost")
        .map(|cookie| cookie["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(tossed.contains(&"rigbox-app".to_owned()), "{cookies:?}");
    assert!(tossed.contains(&"letters".to_owned()), "{cookies:?}");
    assert!(tossed.iter().all(|name| !name.to_ascii_lowercase().contains("__host-")), "{tossed:?}");
    let ours: Vec<_> = cookies.iter().filter(|cookie| cookie["name"] == APP).collect();
    assert!(matches!(ours.as_slice(), [one] if one["value"] != "tossed"), "{ours:?}");
    assert_eq!(fetched(&page, "/"), 200);
    assert_eq!(talk(&page, &world.web), "is anybody there?");
    let seen = page.eval("fetch('/seen').then(answer => answer.text())").unwrap();
    let seen = seen.as_str().unwrap();
    assert!(seen.contains("ann@example.com") && !seen.contains("__Host-"), "{seen}");

    // Nor does it keep anybody from signing in who has not been there yet.
    let newcomer = browser.person().unwrap().page().unwrap();
    newcomer.open(&world.side).unwrap();
    toss(&newcomer);
    newcomer.open(&format!("{}/some/page", world.web)).unwrap();
    sign_in(&world, &newcomer, "ann");
    newcomer.arrive(&format!("{}/some/page", world.web), 200).unwrap();
}

/// A visitor that an app has sent to sign in: what it is to come back with, and its own cookie.
struct Sent {
    hash: String,
    cookie: String,
}

fn send(world: &World) -> Sent {
    let sent = world.curl(&world.web, &["-H", "Sec-Fetch-Mode: navigate"]);
    assert_eq!(sent.status, 302, "{sent:?}");
    assert!(sent.is_kept_by_nobody(), "{sent:?}");
    let hash = sent.location().split_once("state=").unwrap().1.to_owned();
    Sent { hash, cookie: sent.cookie(STATE).unwrap() }
}

/// Control leads somebody who is signed in back to an app.
fn visit(world: &World, session: &str, (name, path, hash): (&str, &str, &str)) -> Answer {
    let url = format!("{}/visit", world.platform.url());
    let [name, path, state] = [("name", name), ("path", path), ("state", hash)]
        .map(|(name, value)| format!("{name}={value}"));
    let words = ["-G", "-b", session, "--data-urlencode", &name, "--data-urlencode", &path];
    let answer = world.curl(&url, &[&words[..], &["--data-urlencode", &state]].concat());
    assert!(answer.is_kept_by_nobody(), "{answer:?}");
    answer
}

/// Where a browser could be led away to.
const ELSEWHERE: [&str; 22] = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "evil.example",
    "@evil.example",
    ".evil.example",
    ":1@evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    "/\n/evil.example",
    "/a\r\nLocation: https://evil.example",
    "/..//evil.example",
    "/.//evil.example",
    "/%2f/evil.example",
    "/%5cevil.example",
    "%2f%2fevil.example",
];

#[test]
fn a_token_signs_in_its_own_browser_once_and_leads_nowhere_else() {
    let world = World::start();
    let web = authority_of(&world.web).to_owned();
    let name = web.split(':').next().unwrap();
    let session = world.sign_in("ann");
    let enter = |token_url: &str, cookie: &str| world.curl(token_url, &["-b", cookie]);

    // Somebody's token in another's browser signs nobody in, and is spent.
    let (own, others) = (send(&world), send(&world));
    let led = visit(&world, &session, (name, "/a?b=c", &own.hash));
    let token = led.location().to_owned();
    for cookie in [&others.cookie, &own.cookie] {
        let refused = enter(&token, cookie);
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.cookie(APP).is_none() && refused.is_kept_by_nobody(), "{refused:?}");
    }
    let led = visit(&world, &session, (name, "/a?b=c", &own.hash));
    assert_eq!(enter(led.location(), "a=b").status, 403, "a browser that was never sent");
    // That one was not even shown to control: it is still good, for its own browser, once.
    let entered = enter(led.location(), &own.cookie);
    assert_eq!((entered.status, entered.location()), (303, "/a?b=c"), "{entered:?}");
    assert!(entered.is_kept_by_nobody(), "{entered:?}");
    let cookie = entered.cookie(APP).unwrap();
    assert_eq!(enter(led.location(), &own.cookie).status, 403);
    // For another app it is none.
    let led = visit(&world, &session, (name, "/", &own.hash));
    let aside = led.location().replacen(&world.web, &world.side, 1);
    assert_eq!(enter(&aside, &own.cookie).status, 403);

    shown_once(&world, &cookie);
    led_nowhere_else(&world, &session, name);
    kept_by_nobody(&world, &cookie);
}

/// A cookie counts by its exact name and where there is one; what else is sent takes nothing away.
fn shown_once(world: &World, cookie: &str) {
    let value = cookie.split_once('=').unwrap().1;
    let with = |text: &str| {
        world.curl(&world.web, &["--http1.1", "-H", &format!("Cookie: {text}")]).status
    };
    assert_eq!(with(cookie), 200);
    assert_eq!(with(&format!("a=b; {cookie}; c=\"d\"; =e; f")), 200);
    assert_eq!(with(&format!("letters=äöü; {cookie}")), 200, "a sibling can set any letters");
    for text in [
        format!("{cookie}; {APP}=tossed"),
        format!("{APP}=tossed; {cookie}"),
        format!("rigbox-app={value}"),
        format!("__host-rigbox-app={value}"),
        format!("{STATE}={value}"),
        format!("a=\"{cookie}"),
    ] {
        assert_eq!(with(&text), 401, "{text}");
    }
    // The same over HTTP/2, where a browser sends each in a line of its own.
    let [one, two] = [format!("Cookie: {cookie}"), format!("Cookie: {APP}=tossed")];
    assert_eq!(world.curl(&world.web, &["-H", &one, "-H", "Cookie: letters=äöü"]).status, 200);
    assert_eq!(world.curl(&world.web, &["-H", &one, "-H", &two]).status, 401);
}

/// A browser reads each address that an answer leads to: it is never one of another host.
fn led_nowhere_else(world: &World, session: &str, name: &str) {
    let home = world.platform.data().join("reader");
    std::fs::create_dir(&home).unwrap();
    let browser = world.browser(&home);
    let reader = browser.person().unwrap().page().unwrap();
    let origin = |base: &str, location: &str| {
        let (base, location) = (serde_json::json!(base), serde_json::json!(location));
        reader.eval(&format!("new URL({location}, {base}).origin")).unwrap()
    };
    let control = world.platform.url();
    for path in ELSEWHERE {
        let sent = send(world);
        let led = visit(world, session, (name, path, &sent.hash));
        assert_eq!(origin(&control, led.location()), world.web.as_str(), "{path:?}: {led:?}");
        let entered = world.curl(led.location(), &["-b", &sent.cookie]);
        assert_eq!(entered.status, 303, "{path:?}: {entered:?}");
        assert_eq!(origin(&world.web, entered.location()), world.web.as_str(), "{path:?}");
        // What came with the request is not even looked at without a token.
        for ours in ["leave", "enter", "link"] {
            let wish = format!("path={path}");
            let url = format!("{}/.rigbox/{ours}", world.web);
            let answer = world.curl(&url, &["-G", "--data-urlencode", &wish, "-b", &sent.cookie]);
            match ours {
                "leave" => {
                    let location = answer.location();
                    assert_eq!(origin(&world.web, location), world.web.as_str(), "{path:?}");
                }
                _ => assert_eq!(answer.status, 403, "{path:?}: {answer:?}"),
            }
            assert!(!answer.body.contains("evil.example\""), "{path:?}: {answer:?}");
        }
        let next = format!("next={path}");
        let url = format!("{control}/sign-in");
        let onward = world.curl(&url, &["-G", "--data-urlencode", &next, "-b", session]);
        assert_eq!(origin(&control, onward.location()), control.as_str(), "{path:?}");
    }
    // The name is an app's, or nothing.
    let hash = send(world).hash;
    for name in [
        "evil.example",
        &format!("{name}.evil.example"),
        &format!("{name}@evil.example"),
        &format!("{name}/@evil.example"),
        &format!("evil.example#.{name}"),
        &format!("{name}:1"),
        &name.to_uppercase(),
        &format!("{name}."),
        "",
    ] {
        let refused = visit(world, session, (name, "/", &hash));
        assert_eq!(refused.status, 404, "{name:?}: {refused:?}");
    }
}

/// Nothing of signing in is kept by a cache, nor made up from what a request says of its host.
fn kept_by_nobody(world: &World, cookie: &str) {
    let navigation = ["-H", "Sec-Fetch-Mode: navigate"];
    let asked = |words: &[&str], status: u16| {
        let answer = world.curl(&world.web, words);
        assert_eq!(answer.status, status, "{words:?}: {answer:?}");
        assert!(answer.is_kept_by_nobody(), "{words:?}: {answer:?}");
        let all = format!("{answer:?}");
        assert!(!all.contains("evil.example"), "{words:?}: {answer:?}");
    };
    asked(&[], 401);
    asked(&navigation, 302);
    for header in ["X-Forwarded-Host", "X-Host", "X-Original-URL", "Forwarded", "X-Rewrite-URL"] {
        let line = format!("{header}: evil.example");
        asked(&[&navigation[..], &["-H", &line]].concat(), 302);
    }
    for version in ["--http1.1", "--http2"] {
        asked(&[&navigation[..], &[version, "-H", "Host: evil.example"]].concat(), 421);
    }
    // Another's WebSocket with the cookie, as a program could send it.
    let upgrade =
        ["--http1.1", "-b", cookie, "-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
    for origin in ["https://evil.example", &world.side, "null", &world.web.replace("https", "http")]
    {
        let line = format!("Origin: {origin}");
        let answer = world.curl(&world.web, &[&upgrade[..], &["-H", &line]].concat());
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
}
