//! A platform with two apps of one workspace: `web`, private, and `side`, for everybody. Ann may see
//! `web`; Bob may not. And who visits without a browser: curl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rigbox_tests::{
    browser::Browser,
    platform::{Platform, program},
};
use serde_json::{Value, json};

/// Of everybody's account.
pub(super) const PASSWORD: &str = "a long pass phrase of theirs";

pub(super) struct World {
    pub(super) platform: Platform,
    pub(super) authority: PathBuf,
    /// The private app, without a last slash.
    pub(super) web: String,
    /// The public one.
    pub(super) side: String,
}

/// What curl was answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl World {
    pub(super) fn start() -> Self {
        let platform = Platform::start().unwrap();
        let workspace = platform.spawn("shop").unwrap();
        let script = include_str!("app.sh");
        let serve = format!(
            "cat > /tmp/app <<'ENDED'\n{script}\nENDED\nchmod 755 /tmp/app\n\
             for port in 8000 8001; do \
               setsid nc -ll -p $port -e /tmp/app </dev/null >/dev/null 2>&1 & \
             done"
        );
        platform.sh(&workspace, &serve).unwrap();
        let (web, id) = app(&platform, "web", "8000");
        let (side, side_id) = app(&platform, "side", "8001");
        let client = platform.client().unwrap();
        let path = format!("/apps/{side_id}/visibility");
        let everybody = json!({ "visibility": "public", "allowed_emails": [] });
        assert_eq!(client.call("PUT", &path, Some(&everybody)).unwrap().status, 200);
        for name in ["ann", "bob"] {
            let account = json!({ "email": email(name) });
            let made = client.post("/users", &account).unwrap();
            assert_eq!(made.status, 201, "{}", made.text);
            let account = made.text_at("/user/id");
            let path = format!("/users/{account}/password");
            let password = json!({ "password": PASSWORD });
            let set = client.call("PUT", &path, Some(&password)).unwrap();
            assert_eq!(set.status, 200, "{}", set.text);
            if name == "ann" {
                let granted =
                    client.post("/access-control/bindings", &role(&account, &id)).unwrap();
                assert_eq!(granted.status, 200, "{}", granted.text);
            }
        }
        let authority = platform.data().join("authority.pem");
        fs::write(&authority, platform.rig(&["ca", "show"]).unwrap().stdout).unwrap();
        Self { platform, authority, web, side }
    }

    /// A home in which `rig ca install` has been run. It would make the whole machine trust the
    /// platform, too: what it sees of that is the test's own, and curl, which is given nothing, tries it.
    pub(super) fn home(&self) -> PathBuf {
        let home = self.platform.data().join("home");
        fs::create_dir(&home).unwrap();
        let rig = self.platform.rig_command(&[]).unwrap();
        let script = "mount -t tmpfs none /usr/local/share/ca-certificates && \
                      mount -t tmpfs none /etc/ssl/certs && \
                      \"$1\" ca install && curl -sS -o /dev/null \"$2\"";
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(program("rig"))
            .arg(&self.web)
            .envs(rig.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("HOME", &home)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        home
    }

    /// A browser with this home, which reaches the apps and control.
    pub(super) fn browser(&self, home: &Path) -> Browser {
        let port = |url: &str| authority_of(url).rsplit_once(':').unwrap().1.parse().unwrap();
        Browser::start(home, &[port(&self.web), port(&self.platform.url())]).unwrap()
    }

    /// Asks with more words for curl.
    pub(super) fn curl(&self, url: &str, words: &[&str]) -> Answer {
        let output = Command::new("curl")
            .args(["-sS", "-i", "--path-as-is", "--max-time", "60", "--cacert"])
            .arg(&self.authority)
            .args(words)
            .arg(url)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{url}: {said}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().trim().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Signs somebody in at control; what curl is to send from then on.
    pub(super) fn sign_in(&self, name: &str) -> String {
        let control = self.platform.url();
        let (origin, email) = (format!("Origin: {control}"), format!("email={}", email(name)));
        let password = format!("password={PASSWORD}");
        let words = ["-H", &origin, "--data-urlencode", &email, "--data-urlencode", &password];
        let answer = self.curl(&format!("{control}/sign-in"), &words);
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.cookie("rigbox-session").unwrap()
    }
}

impl Answer {
    /// The values of a header.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(its, _)| its.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Where it leads to.
    #[track_caller]
    pub(super) fn location(&self) -> &str {
        self.all("location").next().unwrap()
    }

    /// A cookie that it sets, as it is sent.
    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        let pairs = self.all("set-cookie").filter_map(|text| text.split(';').next());
        pairs
            .map(str::to_owned)
            .find(|pair| pair.split_once('=').is_some_and(|(its, _)| its == name))
    }

    /// Whether nobody may keep it.
    pub(super) fn is_kept_by_nobody(&self) -> bool {
        self.all("cache-control").eq(["no-store"])
    }
}

pub(super) fn email(name: &str) -> String {
    format!("{name}@example.com")
}

fn role(account: &str, app: &str) -> Value {
    let (who, what) = (format!("user:{account}"), format!("app:{app}"));
    json!({ "principal": who, "resource": what, "role": "viewer" })
}

/// Address and id of a new app.
fn app(platform: &Platform, name: &str, port: &str) -> (String, String) {
    let made = platform.rig(&["app", "new", name, "--port", port, "-o", "json"]).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let word = |name: &str| {
        let word = made.pointer(&format!("/app/{name}")).and_then(Value::as_str);
        word.unwrap_or_default().to_owned()
    };
    (word("url").trim_end_matches('/').to_owned(), word("id"))
}

/// The host and port of an address.
pub(super) fn authority_of(url: &str) -> &str {
    url.split_once("://").unwrap().1
}
