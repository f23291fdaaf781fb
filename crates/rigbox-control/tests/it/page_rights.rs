//! Who may see each page, and that nothing of the internal API is behind the same door. The routes are
//! read off the code that makes them: one that is not listed here fails until somebody has thought
//! about who it is for.

use std::collections::BTreeSet;

use http::header;

use crate::{browser::Browser, client::Answer, people::person, world::World};

const PAGES: &str = include_str!("../../src/pages/mod.rs");
const OF_HOSTS: &str = include_str!("../../src/hosts/http.rs");
const OF_EDGES: &str = include_str!("../../src/edges/http.rs");

const ANN: &str = "ann@example.com";

/// Whom a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Everybody; what such a page shows to whom is a matter of its own tests.
    Anyone,
    /// Whose browser has come a step of the way, by a link, a password or a provider: for others, also
    /// for who has signed in, there is nothing, or signing in.
    Underway,
    /// Who has signed in; a form also has the token of their session.
    SignedIn,
}

use For::{Anyone, SignedIn, Underway};

const WHO: &[(&str, &str, For)] = &[
    ("GET", "/", Anyone),
    ("GET", "/visit", Anyone),
    ("GET", "/sign-in", Anyone),
    ("POST", "/sign-in", Anyone),
    ("GET", "/sign-in/code", Underway),
    ("POST", "/sign-in/code", Underway),
    ("GET", "/device", SignedIn),
    ("POST", "/device", SignedIn),
    ("POST", "/sign-out", SignedIn),
    ("GET", "/setup", Underway),
    ("POST", "/setup", Underway),
    ("GET", "/password", Underway),
    ("POST", "/password", Underway),
    ("GET", "/security", SignedIn),
    ("POST", "/security/password", SignedIn),
    ("POST", "/security/sessions", SignedIn),
    ("GET", "/security/second-factor", SignedIn),
    ("POST", "/security/second-factor/start", SignedIn),
    ("POST", "/security/second-factor/confirm", SignedIn),
    ("POST", "/security/second-factor/remove", SignedIn),
    ("POST", "/security/recovery-codes", SignedIn),
    ("GET", "/auth/oidc/{name}", Anyone),
    ("GET", "/auth/oidc/{name}/callback", Underway),
    ("GET", "/auth/connect", SignedIn),
    ("POST", "/auth/connect", SignedIn),
    ("POST", "/auth/disconnect", SignedIn),
    ("GET", "STYLE_PATH", Anyone),
];

/// Method and path of every route that a file makes.
fn routes(code: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for line in code.lines().filter_map(|line| line.trim().strip_prefix(".route(")) {
        let (path, handlers) = line.split_once(", ").unwrap();
        let before = found.len();
        for (word, method) in
            [("get(", "GET"), ("post(", "POST"), ("put(", "PUT"), ("any(", "DELETE")]
        {
            let mut handlers = handlers.split(['.', ' ']);
            if handlers.any(|handler| handler.starts_with(word)) {
                found.push((method, path.trim_matches('"').to_owned()));
            }
        }
        assert!(found.len() > before, "how is {line} asked?");
    }
    // A route over several lines would be missed.
    assert_eq!(code.matches(".route(").count(), code.matches("\n        .route(").count());
    found
}

async fn ask(browser: &Browser, method: &str, path: &str) -> Answer {
    match method {
        "GET" => browser.get(path).await,
        _ => browser.post(path, &[]).await,
    }
}

fn is_sent_to_sign_in(answer: &Answer) -> bool {
    let to = answer.headers.get(header::LOCATION).map(|to| to.to_str().unwrap());
    answer.status == 303 && to.is_some_and(|to| to == "/sign-in" || to.starts_with("/sign-in?"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_for_whom_it_is_meant() {
    let world = World::start().await;
    person(&world, ANN).await;
    let routes = routes(PAGES);
    let there: BTreeSet<_> = routes.iter().map(|(method, path)| (*method, path.as_str())).collect();
    let listed: BTreeSet<_> = WHO.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(there, listed, "who may see a page is written down above");
    let signed_in = Browser::signed_in(&world, ANN).await;
    for (method, path, who) in WHO {
        let at = path.replace("{name}", "x").replace("STYLE_PATH", "/assets/pages-1.css");
        let stranger = Browser::new(&world);
        let nobody = ask(&stranger, method, &at).await;
        let known = ask(&signed_in, method, &at).await;
        let is_form = *method == "POST";
        let is_right = match who {
            Anyone => !is_sent_to_sign_in(&nobody) && !is_sent_to_sign_in(&known),
            Underway => [&nobody, &known].iter().all(|a| a.status == 404 || is_sent_to_sign_in(a)),
            // Without the token of their session a form is not theirs.
            SignedIn if is_form => is_sent_to_sign_in(&nobody) && known.status == 403,
            SignedIn => is_sent_to_sign_in(&nobody) && !is_sent_to_sign_in(&known),
        };
        assert!(is_right, "{method} {at} is for {who:?}: {nobody:?} {known:?}");
        assert!(nobody.status < 500 && known.status < 500, "{method} {at}");
        if is_form {
            // Nor is anything done that a page of another site sends.
            for browser in [&stranger, &signed_in] {
                let mut request = browser.form(&at, &[]);
                let elsewhere = "https://elsewhere.example".parse().unwrap();
                request.headers_mut().insert(header::ORIGIN, elsewhere);
                request.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
                assert_eq!(browser.send(request).await.status, 403, "{at}");
            }
        }
    }
    // Nothing of this has ended the session.
    assert_eq!(signed_in.get("/security").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_internal_route_is_behind_the_public_door() {
    let world = World::start().await;
    for (code, below) in [(OF_HOSTS, "/internal/v1/hosts/{id}"), (OF_EDGES, "/internal/v1/edge/")] {
        let routes = routes(code);
        assert!(!routes.is_empty());
        for (method, path) in routes {
            assert!(path.starts_with(below), "whose is {path}?");
            let at = path
                .replace("{id}", world.host.id.as_str())
                .replace("{workspace}", "ws-00000000")
                .replace("{*path}", "rig/v1/whoami");
            // Not even for the operator.
            let mut request = Browser::new(&world).request(method, &at, "".into());
            let key = format!("Bearer {}", world.api.key.as_ref().unwrap());
            request.headers_mut().insert(header::AUTHORIZATION, key.parse().unwrap());
            world.api.send(request).await.refused(404, "not_found");
        }
    }
}
