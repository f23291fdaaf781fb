//! Who may call what: every row of the endpoint table, for every kind of caller, on an object of the
//! account and on somebody else's. What is expected is written down here and asked of nobody.

use http_body_util::BodyExt as _;
use rigbox_types::{
    Right,
    endpoint::{ENDPOINTS, Endpoint, Payload},
};
use serde_json::{Value, json};

use crate::{
    client::Client,
    people::{account, key, session, user},
    ssh_keys,
    world::{World, id},
};

/// How a request ends, as far as rights go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Let through, whatever the handler then says of it.
    Allowed,
    Unauthenticated,
    Forbidden,
    /// As if the object did not exist.
    Missing,
}

use Outcome::{Allowed as Y, Forbidden as F, Missing as N, Unauthenticated as U};

/// What the path of a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The caller's account, or the installation.
    Account,
    /// One workspace.
    Workspace,
    /// One account, as its operator sees it.
    User,
    /// One thing of an account, below this path.
    Thing(&'static str),
}

const SESSIONS: &str = "/auth/sessions";

/// The order of the columns of [`expected`].
const CALLERS: [&str; 7] = [
    "nobody",
    "the owner",
    "the owner's key that reads",
    "the owner's key of this workspace",
    "the owner's key of another workspace",
    "another user",
    "the operator",
];

/// For each caller: on the owner's object, and on that of the other user.
fn expected(right: Right, about: About) -> [[Outcome; 7]; 2] {
    match (right, about) {
        (Right::Public, About::Account) => [[Y, Y, Y, Y, Y, Y, Y]; 2],
        (Right::AccountRead, About::Account) => [[U, Y, Y, F, F, Y, Y]; 2],
        (Right::AccountWrite, About::Account) => [[U, Y, F, F, F, Y, Y]; 2],
        // An operator has no way to the things of others' accounts.
        (Right::AccountRead, About::Thing(_)) => [[U, Y, Y, F, F, N, N], [U, N, N, F, F, Y, N]],
        (Right::AccountWrite, About::Thing(_)) => [[U, Y, F, F, F, N, N], [U, N, F, F, F, Y, N]],
        (Right::WorkspaceRead, About::Workspace) => [[U, Y, Y, Y, N, N, Y], [U, N, N, N, N, Y, Y]],
        (Right::WorkspaceWrite | Right::WorkspaceEnter, About::Workspace) => {
            [[U, Y, F, Y, N, N, Y], [U, N, N, N, N, Y, Y]]
        }
        // Only the operator, and that only with a whole key.
        (Right::Administer, About::Account | About::User) => [[U, F, F, F, F, F, Y]; 2],
        (Right::Administer, About::Workspace | About::Thing(_))
        | (Right::Public, About::Workspace | About::User | About::Thing(_))
        | (Right::AccountRead | Right::AccountWrite, About::Workspace | About::User)
        | (
            Right::WorkspaceRead | Right::WorkspaceWrite | Right::WorkspaceEnter,
            About::Account | About::User | About::Thing(_),
        )
        | (Right::GuestRead, _) => panic!("{right:?} is no right to {about:?}"),
    }
}

/// What a row is about. A path that is not known here must be thought about before it is let in.
fn about(row: &Endpoint) -> About {
    let path = row.path.trim_start_matches("/api/v1/").trim_start_matches("/api/ws/");
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["workspaces" | "terminal", "{id}", ..] => About::Workspace,
        ["setup-scripts", "{id}"] => About::Thing("/setup-scripts"),
        ["service-specs", "{id}"] => About::Thing("/service-specs"),
        ["ssh-keys", "{id}"] => About::Thing("/ssh-keys"),
        ["auth", "sessions", "{id}"] => About::Thing(SESSIONS),
        ["api-keys", "{id}"] | ["api-keys", "{id}", "rotate"] => About::Thing("/api-keys"),
        ["workspaces" | "setup-scripts" | "service-specs" | "ssh-keys" | "api-keys"]
        | ["templates" | "capacity" | "feature-flags" | "dashboard" | "openapi.json" | "audit"]
        | ["users", "me"]
        | ["users", "me", "limits" | "regions" | "settings"]
        | ["auth", "session" | "sessions"]
        | ["auth", "cli", "session", ..]
        | ["users"]
        | ["plans"] => About::Account,
        ["users", "{id}"] | ["users", "{id}", "api-keys" | "sign-in-link" | "second-factor"] => {
            About::User
        }
        _ => panic!("nothing says who may call {}", row.path),
    }
}

/// Everybody who calls, and what they call about.
struct Scene {
    callers: [Client; 7],
    /// A workspace of the owner, and one of the other user.
    workspaces: [String; 2],
    made: u8,
}

impl Scene {
    async fn new(world: &World) -> Self {
        let (owner, other) = (user(world, 1).await, user(world, 2).await);
        let workspace = async |api: &Client, name: &str| {
            let body = json!({ "name": name, "template_id": "tiny" });
            id(&api.json("POST", "/workspaces", body).await.expect(201))
        };
        let this = workspace(&owner, "this").await;
        let beside = workspace(&owner, "beside").await;
        let theirs = workspace(&other, "theirs").await;
        let callers = [
            world.api.stranger(),
            owner.clone(),
            key(&owner, &["read"]).await.1,
            key(&owner, &[&format!("workspace:{this}")]).await.1,
            key(&owner, &[&format!("workspace:{beside}")]).await.1,
            other,
            world.api.clone(),
        ];
        Self { callers, workspaces: [this, theirs], made: 0 }
    }

    /// The object of one request; a thing is a new one, because the request before may have ended
    /// its own. `whose` is 0 for the owner and 1 for the other user.
    async fn object(&mut self, world: &World, about: About, whose: usize) -> String {
        let noun = match about {
            About::Account => return String::new(),
            About::Workspace => return self.workspaces[whose].clone(),
            About::User => return account(if whose == 0 { 1 } else { 2 }).to_string(),
            // Nobody makes one for a caller that is there already.
            About::Thing(SESSIONS) => {
                return session(world, if whose == 0 { 1 } else { 2 }).await.0;
            }
            About::Thing(noun) => noun,
        };
        self.made = self.made.wrapping_add(1);
        let name = format!("n{}", self.made);
        let body = match noun {
            "/setup-scripts" => json!({ "name": name, "content": "" }),
            "/service-specs" => json!({ "name": name, "exec_start": "/bin/true" }),
            "/ssh-keys" => json!({ "name": name, "public_key": ssh_keys::key(self.made) }),
            _ => json!({ "name": name }),
        };
        let maker = &self.callers[if whose == 0 { 1 } else { 5 }];
        let made: Value = maker.json("POST", noun, body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }
}

/// Sends a request and looks how it ends; a stream is not read.
async fn outcome(caller: &Client, row: &Endpoint, about: About, object: &str) -> Outcome {
    let path = row.path.replace("{id}", object).replace("{name}", "x").replace("{job_id}", OTHER);
    let path = path.replace("{code}", "x");
    let required = row.query.iter().filter(|parameter| parameter.required);
    let query: Vec<_> = required.map(|parameter| format!("{}=x", parameter.name)).collect();
    // An empty document: whoever may see the object is told what is missing, or changes nothing.
    let body = if matches!(row.request, Payload::Json(_)) { "{}" } else { "" };
    let path = format!("{path}?{}", query.join("&"));
    let request = caller.request(row.method.as_str(), &path, body.into());
    let response = caller.open(request).await;
    let status = response.status().as_u16();
    if response.status().is_success() {
        return Outcome::Allowed;
    }
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let message = value["error"]["message"].as_str().unwrap();
    assert_ne!(status, 500, "{}: {message}", row.operation);
    match status {
        401 => Outcome::Unauthenticated,
        403 => Outcome::Forbidden,
        // A job or a service may be missing in a workspace that is not.
        404 if about == About::Workspace && message != "workspace not found" => Outcome::Allowed,
        // Whoever guesses a code was let through to guess.
        404 if row.right == Right::Public => Outcome::Allowed,
        404 => Outcome::Missing,
        _ => Outcome::Allowed,
    }
}

/// A job that there is not.
const OTHER: &str = "00000000-0000-4000-8000-00000000000f";

async fn every_row_is_for_whom_it_is_meant(world: World) {
    let mut scene = Scene::new(&world).await;
    let mut wrong = Vec::new();
    for row in ENDPOINTS {
        let about = about(row);
        for (whose, columns) in expected(row.right, about).into_iter().enumerate() {
            for (number, wanted) in columns.into_iter().enumerate() {
                let object = scene.object(&world, about, whose).await;
                let seen = outcome(&scene.callers[number], row, about, &object).await;
                if seen != wanted {
                    let whose = if whose == 0 { "the owner's" } else { "the other user's" };
                    let caller = CALLERS[number];
                    let operation = row.operation;
                    wrong.push(format!(
                        "{operation} by {caller} on {whose}: {seen:?}, not {wanted:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_for_whom_it_is_meant_on_sqlite() {
    every_row_is_for_whom_it_is_meant(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_for_whom_it_is_meant_on_postgres() {
    every_row_is_for_whom_it_is_meant(World::on_postgres().await).await;
}
