//! A real provider of OpenID Connect in a process of its own, and somebody who signs in to it: follows
//! its redirects, keeps its cookies and fills in its forms, as a browser does.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use axum::body::Body;
use http::{HeaderMap, Request, header};
use rigbox_control::{OidcProvider, OidcSettings};
use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// Most steps of one sign-in at the provider.
const STEPS_MAX: usize = 20;

/// See the module.
pub(crate) struct Provider {
    child: Child,
    /// Kept: it ends when nobody listens any more.
    _output: BufReader<ChildStdout>,
    pub(crate) issuer: String,
    client: Client,
}

impl Provider {
    /// One whose ID tokens have all claims.
    pub(crate) fn start() -> Self {
        Self::with(json!({ "thin": false }))
    }

    /// One whose ID tokens say no more than the subject, so that the rest is asked for.
    pub(crate) fn thin() -> Self {
        Self::with(json!({ "thin": true }))
    }

    fn with(options: Value) -> Self {
        let folder = tools().join("oidc-provider");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/provider/provider.mjs");
        let mut child = Command::new(folder.join("node"))
            .arg(script)
            .arg(&folder)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test provider is there: run scripts/setup --dev");
        let mut issuer = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut issuer).unwrap();
        let issuer = issuer.trim().to_owned();
        assert!(issuer.starts_with("http://"), "the test provider does not start: {issuer}");
        let client = Client::new(issuer.clone(), None);
        Self { child, _output: output, issuer, client }
    }

    /// Its settings, by the name of one of its clients: `rs`, `es` or `ed`, for the algorithm.
    pub(crate) fn settings(&self, name: &str) -> OidcProvider {
        let issuer = self.issuer.clone();
        let client_id = format!("rigbox-{name}");
        let settings = json!({ "issuer": issuer, "client_id": client_id, "display_name": "Acme" });
        let settings: OidcSettings = serde_json::from_value(settings).unwrap();
        let secret = format!("secret of {name}: +/&").into();
        let name = name.to_owned();
        OidcProvider { name, settings, client_secret: Some(secret), authorities: None }
    }

    /// Says who somebody is: the claims of a subject.
    pub(crate) async fn knows(&self, claims: Value) {
        self.tell("/test/person", claims).await;
    }

    /// Gives it new keys and takes the old ones out.
    pub(crate) async fn rotate(&self) {
        self.tell("/test/rotate", json!({})).await;
    }

    async fn tell(&self, path: &str, value: Value) {
        let request = self.request(path, &BTreeMap::new(), Some(value.to_string()));
        assert_eq!(self.client.send(request).await.status, 200);
    }

    /// Goes where a browser was sent, signs in as `subject`, agrees to everything, and gives the
    /// address that it is sent back to.
    pub(crate) async fn visit(&self, location: &str, subject: &str) -> String {
        self.walk(location, subject, true).await
    }

    /// The same of somebody who declines.
    pub(crate) async fn decline(&self, location: &str, subject: &str) -> String {
        self.walk(location, subject, false).await
    }

    async fn walk(&self, location: &str, subject: &str, agrees: bool) -> String {
        let mut jar = BTreeMap::new();
        let mut request = self.request(self.path(location).unwrap(), &jar, None);
        for _ in 0..STEPS_MAX {
            let answer = self.client.send(request).await;
            keep(&mut jar, &answer.headers);
            if matches!(answer.status, 302 | 303) {
                let location = answer.headers[header::LOCATION].to_str().unwrap();
                let Some(path) = self.path(location) else { return location.to_owned() };
                request = self.request(path, &jar, None);
                continue;
            }
            let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
            assert_eq!(answer.status, 200, "{text}");
            let action = between(&text, "action=\"", "\"");
            let prompt = between(&text, "name=\"prompt\" value=\"", "\"");
            if prompt == "consent" && !agrees {
                let abort = format!("{}/abort", action.trim_end_matches('/'));
                request = self.request(self.path(&abort).unwrap(), &jar, None);
                continue;
            }
            let form = [("prompt", prompt), ("login", subject), ("password", "any")];
            let form = serde_urlencoded::to_string(form).unwrap();
            request = self.request(self.path(action).unwrap(), &jar, Some(form));
        }
        panic!("the provider does not send anybody back");
    }

    /// The path of an address of the provider.
    fn path<'a>(&self, location: &'a str) -> Option<&'a str> {
        if location.starts_with('/') {
            return Some(location);
        }
        location.strip_prefix(self.issuer.as_str())
    }

    fn request(
        &self,
        path: &str,
        jar: &BTreeMap<String, String>,
        body: Option<String>,
    ) -> Request<Body> {
        let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .uri(format!("{}{path}", self.issuer))
            .method(if body.is_some() { "POST" } else { "GET" })
            .header(header::COOKIE, pairs.join("; "));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        request.body(body.unwrap_or_default().into()).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn keep(jar: &mut BTreeMap<String, String>, headers: &HeaderMap) {
    for cookie in headers.get_all(header::SET_COOKIE) {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        jar.insert(name.to_owned(), value.to_owned());
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(after).next().unwrap()
}

/// Where `scripts/setup --dev` puts what tests need.
fn tools() -> PathBuf {
    let cache = || {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        home.unwrap().join("rigbox/tools")
    };
    std::env::var_os("RIGBOX_TOOLS").map_or_else(cache, PathBuf::from)
}

/// Whether an answer is a page that says this.
#[track_caller]
pub(crate) fn says(answer: &Answer, status: u16, text: &str) {
    let page = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.status, status, "{page}");
    assert!(page.contains(text), "{page}");
}
