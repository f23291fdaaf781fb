//! Apps in a real browser: who is shown what, and what pages of others cannot do.

mod attacks;
mod world;

use rigbox_tests::browser::Page;
use serde_json::{Value, json};
use world::{PASSWORD, World, email};

/// Our cookies on an app's host.
const APP: &str = "__Host-rigbox-app";

/// Signs somebody in at control's page, which is shown now.
fn sign_in(world: &World, page: &Page, name: &str) {
    page.arrive(&format!("{}/sign-in?", world.platform.url()), 200).unwrap();
    page.submit("/sign-in", &[("email", &email(name)), ("password", PASSWORD)]).unwrap();
}

/// The status of a request that a page makes by itself.
fn fetched(page: &Page, path: &str) -> Value {
    page.eval(&format!("fetch({}).then(answer => answer.status)", json!(path))).unwrap()
}

#[test]
fn a_browser_signs_in_to_a_private_app_and_is_out_at_once() {
    let world = World::start();
    let control = world.platform.url();
    let wanted = format!("{}/some/page?with=this&and=%2Fthat", world.web);

    // Who has not installed the CA is warned.
    let stranger = world.platform.data().join("stranger");
    std::fs::create_dir(&stranger).unwrap();
    let browser = world.browser(&stranger);
    let refused = browser.person().unwrap().page().unwrap().open(&wanted).unwrap_err();
    assert!(refused.to_string().contains("ERR_CERT_AUTHORITY_INVALID"), "{refused}");
    drop(browser);

    let browser = world.browser(&world.home());
    let ann = browser.person().unwrap();
    let page = ann.page().unwrap();
    let shown = page.open(&wanted).unwrap();
    assert!(shown.url.starts_with(&format!("{control}/sign-in?next=")), "{shown:?}");
    sign_in(&world, &page, "ann");
    page.arrive(&wanted, 200).unwrap();
    assert_eq!(page.text().unwrap(), "from the workspace, /some/page?with=this&and=%2Fthat");
    assert_eq!(page.eval("isSecureContext").unwrap(), true);

    // One cookie for that host alone, which no script and no workspace sees; control's stays there.
    let cookies = ann.cookies().unwrap();
    let host = world::authority_of(&world.web).split(':').next().unwrap();
    let here: Vec<_> = cookies.iter().filter(|cookie| cookie["domain"] != "127.0.0.1").collect();
    let [cookie] = here.as_slice() else { panic!("{here:?}") };
    for (name, value) in [
        ("name", json!(APP)),
        // Without a dot before it: for no host below.
        ("domain", json!(host)),
        ("path", json!("/")),
        ("secure", json!(true)),
        ("httpOnly", json!(true)),
        ("sameSite", json!("Lax")),
    ] {
        assert_eq!(cookie[name], value, "{cookie}");
    }
    assert_eq!(page.eval("document.cookie").unwrap(), "");
    let seen = page.eval("fetch('/seen').then(answer => answer.text())").unwrap();
    let seen = seen.as_str().unwrap().to_ascii_lowercase();
    assert!(!seen.contains("cookie:"), "{seen}");
    assert!(seen.contains("x-rigbox-user-email: ann@example.com"), "{seen}");

    // Whoever may not see it learns so from control, and gets nothing of the app's host.
    let bob = browser.person().unwrap();
    let other = bob.page().unwrap();
    other.open(&wanted).unwrap();
    sign_in(&world, &other, "bob");
    other.arrive(&format!("{control}/visit?"), 403).unwrap();
    assert!(other.text().unwrap().contains("not shown to the account"), "{:?}", other.text());
    let cookies = bob.cookies().unwrap();
    assert!(cookies.iter().all(|cookie| cookie["name"] != APP), "{cookies:?}");

    // Out of control is out of the app: for its open page, and for a new one.
    let another = ann.page().unwrap();
    another.open(&format!("{control}/security")).unwrap();
    assert_eq!(fetched(&page, "/"), 200);
    another.submit("/sign-out", &[]).unwrap();
    another.arrive(&format!("{control}/sign-in"), 200).unwrap();
    assert_eq!(fetched(&page, "/"), 401);
    let shown = page.open(&wanted).unwrap();
    assert!(shown.url.starts_with(&format!("{control}/sign-in?next=")), "{shown:?}");
}
