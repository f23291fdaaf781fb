//! A port of a real workspace under a name: who sees it, and what it survives. The visitor is curl.
#![expect(clippy::indexing_slicing, reason = "a test fails loudly")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use rigbox_tests::{
    platform::{Platform, START_LIMIT},
    wait,
};
use serde_json::{Value, json};

/// How often an app's visibility is changed, each time seen by the very next request; more often by
/// the environment variable.
const ALTERNATIONS: usize = 200;
const ALTERNATIONS_VARIABLE: &str = "RIGBOX_TEST_ALTERNATIONS";

/// A platform with a web server in a workspace, published as `web`.
struct World {
    platform: Platform,
    authority: PathBuf,
    workspace: String,
    url: String,
    app: String,
}

/// What a visitor got.
#[derive(Debug)]
struct Seen {
    status: String,
    location: String,
    body: String,
}

impl World {
    fn start() -> Self {
        let platform = Platform::start().unwrap();
        let workspace = platform.spawn("shop").unwrap();
        platform.sh(&workspace, SERVE).unwrap();
        let made = platform.rig(&["app", "new", "web", "--port", "8000", "-o", "json"]).unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let app = &made["app"];
        let (url, app) = (word(&app["url"]), word(&app["id"]));
        let authority = platform.data().join("authority.pem");
        let shown = platform.rig(&["ca", "show"]).unwrap();
        fs::write(&authority, &shown.stdout).unwrap();
        Self { platform, authority, workspace, url, app }
    }

    /// Visits the app with more words for curl.
    fn visit(&self, words: &[&str]) -> Seen {
        visit(&self.authority, &self.url, words)
    }

    fn share(&self, visibility: &str, emails: &[&str]) {
        let body = json!({ "visibility": visibility, "allowed_emails": emails });
        let path = format!("/apps/{}/visibility", self.app);
        let client = self.platform.client().unwrap();
        let share = || {
            let answer = client.call("PUT", &path, Some(&body))?;
            assert_eq!(answer.status, 200, "{}", answer.text);
            Ok(answer.at("/warning"))
        };
        // Without a warning it is in effect; on a busy machine the edge may be late to say so.
        wait::until("the edge to confirm", START_LIMIT, share, Value::is_null).unwrap();
    }

    /// Makes the app private and public in turns, while others ask it all the time, from an address
    /// of their own so that they do not use up what one client may ask for.
    fn alternate(&self) {
        let asked = std::env::var(ALTERNATIONS_VARIABLE).ok();
        let rounds = asked.map_or(ALTERNATIONS, |count| count.parse().unwrap());
        let load = Command::new("curl")
            .args([
                "-sS",
                "--no-progress-meter",
                "--interface",
                "127.0.0.2",
                "-o",
                "/dev/null",
                "--cacert",
            ])
            .arg(&self.authority)
            .args([
                "--parallel",
                "--parallel-max",
                "2",
                "--fail-early",
                &format!("{}?[1-10000000]", self.url),
            ])
            .spawn();
        let mut load = load.unwrap();
        for round in 0..rounds {
            let (visibility, expected) =
                if round % 2 == 0 { ("private", "401") } else { ("public", "200") };
            self.share(visibility, &[]);
            assert_eq!(self.visit(&[]).status, expected, "round {round}");
        }
        assert!(load.try_wait().unwrap().is_none(), "nobody asked it meanwhile");
        load.kill().unwrap();
        load.wait().unwrap();
    }

    /// A key of a new account.
    fn key_of(&self, email: &str) -> String {
        let body = json!({ "email": email, "api_key": true });
        let answer = self.platform.client().unwrap().post("/users", &body).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.text_at("/api_key")
    }
}

const SERVE: &str = "mkdir -p /tmp/www; echo from the workspace > /tmp/www/index.html; \
                     httpd -p 8000 -h /tmp/www";

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn visit(authority: &Path, url: &str, words: &[&str]) -> Seen {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "60", "-w", "\n%{http_code} %{redirect_url}", "--cacert"])
        .arg(authority)
        .args(words)
        .arg(url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    let (body, last) = text.rsplit_once('\n').unwrap();
    let (status, location) = last.split_once(' ').unwrap();
    Seen { status: status.to_owned(), location: location.to_owned(), body: body.to_owned() }
}

#[test]
fn an_app_is_seen_by_whom_it_should_be() {
    let world = World::start();
    let (own, ann) = (world.platform.key().unwrap(), world.key_of("ann@example.com"));
    let own = format!("X-Rigbox-Key: {own}");
    let ann = format!("X-Rigbox-Key: {ann}");
    let (own, ann) = (["-H", own.as_str()], ["-H", ann.as_str()]);
    let browser = ["-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: navigate"];

    let refused = world.visit(&[]);
    assert_eq!(refused.status, "401", "{refused:?}");
    let document: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(document["error"]["code"], "unauthenticated");
    let sent = world.visit(&browser);
    assert_eq!(sent.status, "302", "{sent:?}");
    assert!(sent.location.starts_with(&format!("{}/visit?", world.platform.url())), "{sent:?}");
    for key in [&own, &own] {
        let seen = world.visit(key);
        assert_eq!((seen.status.as_str(), seen.body.trim()), ("200", "from the workspace"));
    }
    assert_eq!(world.visit(&ann).status, "403");
    world.share("privileged", &["ann@example.com"]);
    assert_eq!(world.visit(&ann).status, "200");
    assert_eq!(world.visit(&[]).status, "401");
    world.share("privileged", &["bob@example.com"]);
    assert_eq!(world.visit(&ann).status, "403");
    world.share("public", &[]);
    assert_eq!(world.visit(&[]).status, "200");
    world.alternate();

    // What cannot be served has an answer of its own.
    world.platform.sh(&world.workspace, "killall httpd").unwrap();
    assert_eq!(world.visit(&[]).status, "502");
    world.platform.act(&world.workspace, "stop").unwrap();
    world.platform.wait_status(&world.workspace, "stopped").unwrap();
    assert_eq!(world.visit(&[]).status, "503");
    let nowhere = world.url.replacen("://web.", "://nobody.", 1);
    assert_eq!(visit(&world.authority, &nowhere, &[]).status, "404");
    let path = format!("/apps/{}", world.app);
    assert_eq!(world.platform.client().unwrap().delete(&path).unwrap().status, 200);
    assert_eq!(world.visit(&[]).status, "404");
}

#[test]
fn an_edge_is_replaced_and_killed_without_a_visitor_seeing_it() {
    let world = World::start();
    world.share("public", &[]);
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(world.visit(&[]).body.trim(), "from the workspace");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..3 {
            let before = count.load(Ordering::Relaxed);
            let output = world.platform.rigbox(&["restart", "edge"]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let visited = || Ok(count.load(Ordering::Relaxed));
            wait::until("visits", START_LIMIT, visited, |now| *now > before + 20).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });

    // With control away for good, what an edge knows is on its disk.
    let control = world.platform.role("control").unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(control.try_into().unwrap()),
        nix::sys::signal::Signal::SIGSTOP,
    )
    .unwrap();
    let former = world.platform.role("edge").unwrap();
    world.platform.kill_role("edge").unwrap();
    let another = || world.platform.role("edge");
    wait::until("another edge", START_LIMIT, another, |now| *now != former).unwrap();
    assert_eq!(world.visit(&["--retry", "5", "--retry-connrefused"]).status, "200");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(control.try_into().unwrap()),
        nix::sys::signal::Signal::SIGCONT,
    )
    .unwrap();
    world.share("private", &[]);
    let seen = || Ok(world.visit(&[]).status);
    wait::until("control is heard again", Duration::from_secs(60), seen, |now| now == "401")
        .unwrap();
}
