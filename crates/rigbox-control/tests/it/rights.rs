//! Who may call what: every row of the endpoint table, for every kind of caller, on an object of the
//! account and on somebody else's. What is expected is written down here and asked of nobody.

mod scene;

use http_body_util::BodyExt as _;
use rigbox_types::{
    Right,
    endpoint::{ENDPOINTS, Endpoint, Operation, Payload},
};
use serde_json::{Value, json};

use self::scene::Scene;
use crate::{client::Client, people::account, world::World};

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

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The caller's account, or the installation.
    Account,
    /// The account that `owner` names.
    Owner,
    /// One workspace, in the path.
    Workspace,
    /// One account, as its operator sees it.
    User,
    /// A plan.
    Plan,
    /// One thing of an account, below this path.
    Thing(&'static str),
    /// One workspace, by its reference.
    OfWorkspace,
    /// One account, by its reference.
    OfAccount,
    /// One app, in the path.
    App,
    /// One app, by its reference.
    OfApp,
    /// A workspace that an app is to be made in.
    InWorkspace,
}

const SESSIONS: &str = "/auth/sessions";

const COUNT: usize = 21;

/// The order of the columns of [`expected`].
const CALLERS: [&str; COUNT] = [
    "nobody",
    "the owner",
    "the owner's key that reads",
    "the owner's key of this workspace",
    "the owner's key of another workspace",
    "another user",
    "the operator",
    "a viewer of the workspace",
    "a developer of the workspace",
    "an admin of the workspace",
    "an owner of the workspace",
    "a viewer of the account",
    "a developer of the account",
    "an admin of the account",
    "an owner of the account",
    "a former member",
    "the owner's key of this app",
    "a viewer of the app",
    "a developer of the app",
    "an admin of the app",
    "an owner of the app",
];

const ROLES: [&str; 4] = ["viewer", "developer", "admin", "owner"];

/// Of everybody but members; and of members of the workspace and of the account, by role.
type Row = ([Outcome; 7], [Outcome; 4], [Outcome; 4]);

/// For each caller: on the owner's object, and on that of the other user, where members are like
/// strangers. A former member is a stranger everywhere, and to all but the app so is who has a role on
/// that alone.
fn expected(right: Right, about: About) -> [[Outcome; COUNT]; 2] {
    let (own, other): (Row, [Outcome; 7]) = match (right, about) {
        (Right::Public, About::Account) => return [[Y; COUNT]; 2],
        // Everybody has an account of their own.
        (Right::AccountRead | Right::WorkspaceList, About::Account) => {
            return [all([U, Y, Y, F, F, Y, Y], Y); 2];
        }
        (Right::AccountWrite | Right::WorkspaceCreate, About::Account) => {
            return [all([U, Y, F, F, F, Y, Y], Y); 2];
        }
        // Only the operator, and that only with a whole key.
        (
            Right::Administer,
            About::Account
            | About::User
            | About::Plan
            | About::OfWorkspace
            | About::OfAccount
            | About::OfApp,
        ) => return [all([U, F, F, F, F, F, Y], F); 2],
        // An operator has no way to the things of others' accounts, and no role opens them.
        (Right::AccountRead, About::Thing(_)) => {
            (([U, Y, Y, F, F, N, N], [N; 4], [N; 4]), [U, N, N, F, F, Y, N])
        }
        (Right::AccountWrite, About::Thing(_)) => {
            (([U, Y, F, F, F, N, N], [N; 4], [N; 4]), [U, N, F, F, F, Y, N])
        }
        (Right::WorkspaceList, About::Owner) => {
            (([U, Y, Y, F, F, N, Y], [N; 4], [Y; 4]), [U, N, N, N, N, Y, Y])
        }
        (Right::WorkspaceCreate, About::Owner) => {
            (([U, Y, F, F, F, N, Y], [N; 4], [F, F, Y, Y]), [U, N, N, N, N, Y, Y])
        }
        (Right::WorkspaceRead, About::Workspace)
        | (Right::AppRead, About::App)
        | (Right::AccessRead, About::OfWorkspace | About::OfApp) => {
            (([U, Y, Y, Y, N, N, Y], [Y; 4], [Y; 4]), [U, N, N, N, N, Y, Y])
        }
        (Right::WorkspaceOperate | Right::WorkspaceEnter, About::Workspace)
        | (Right::AppOperate, About::App) => {
            (([U, Y, F, Y, N, N, Y], [F, Y, Y, Y], [F, Y, Y, Y]), [U, N, N, N, N, Y, Y])
        }
        (Right::WorkspaceWrite, About::Workspace)
        | (Right::AppWrite, About::App | About::InWorkspace) => {
            (([U, Y, F, Y, N, N, Y], [F, F, Y, Y], [F, F, Y, Y]), [U, N, N, N, N, Y, Y])
        }
        // Who lets others in has a whole key.
        (Right::AccessWrite, About::OfWorkspace | About::OfApp) => {
            (([U, Y, F, F, N, N, Y], [F, F, Y, Y], [F, F, Y, Y]), [U, N, N, N, N, Y, Y])
        }
        (Right::AccessRead, About::OfAccount) => {
            (([U, Y, Y, F, F, N, Y], [N; 4], [Y; 4]), [U, N, N, N, N, Y, Y])
        }
        (Right::AccessWrite, About::OfAccount) => {
            (([U, Y, F, F, F, N, Y], [N; 4], [F, F, Y, Y]), [U, N, N, N, N, Y, Y])
        }
        (right, about) => panic!("{right:?} is no right to {about:?}"),
    };
    let (others, of_workspace, of_account) = own;
    let mut first = all(others, N);
    first[7..11].copy_from_slice(&of_workspace);
    first[11..15].copy_from_slice(&of_account);
    if let Some(of_app) = of_app(right, about) {
        first[16..].copy_from_slice(&of_app);
    }
    [first, all(other, N)]
}

/// The same for everybody who is or was a member. A key of an app is like one of another workspace.
fn all(others: [Outcome; 7], members: Outcome) -> [Outcome; COUNT] {
    let mut row = [members; COUNT];
    row[..7].copy_from_slice(&others);
    row[16] = others[4];
    row
}

/// Of the key of the app, and of those with a role on it alone; none where that is nothing to them.
fn of_app(right: Right, about: About) -> Option<[Outcome; 5]> {
    match (right, about) {
        (Right::AppRead, About::App) | (Right::AccessRead, About::OfApp) => Some([Y; 5]),
        (Right::AppOperate, About::App) => Some([Y, F, Y, Y, Y]),
        (Right::AppWrite, About::App) => Some([Y, F, F, Y, Y]),
        // Who lets others in has a whole key.
        (Right::AccessWrite, About::OfApp) => Some([F, F, F, Y, Y]),
        _ => None,
    }
}

/// Whether an operation on an app reaches further into the workspace than the app's port, as this test
/// asks it: a file of logs is named, or read.
fn is_beyond_the_app(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::AppLogSourceCreate | Operation::AppLogs | Operation::AppLogsStream
    )
}

/// That takes the right to enter the workspace, too, and who sees the app is told so.
fn and_may_enter(mut columns: [[Outcome; COUNT]; 2]) -> [[Outcome; COUNT]; 2] {
    let enters = expected(Right::WorkspaceEnter, About::Workspace);
    for (to_app, enters) in columns.iter_mut().flatten().zip(enters.into_iter().flatten()) {
        if *to_app == Y && enters != Y {
            *to_app = F;
        }
    }
    columns
}

/// What a row can be about. A path that is not known here must be thought about before it is let in.
fn abouts(row: &Endpoint) -> &'static [About] {
    let path = row.path.trim_start_matches("/api/v1/").trim_start_matches("/api/ws/");
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["workspaces" | "terminal", "{id}", ..] => &[About::Workspace],
        ["apps", "{id}", ..] => &[About::App],
        ["apps"] if row.right == Right::AppWrite => &[About::InWorkspace],
        ["setup-scripts", "{id}"] => &[About::Thing("/setup-scripts")],
        ["service-specs", "{id}"] => &[About::Thing("/service-specs")],
        ["ssh-keys", "{id}"] => &[About::Thing("/ssh-keys")],
        ["auth", "sessions", "{id}"] => &[About::Thing(SESSIONS)],
        ["api-keys", "{id}"] | ["api-keys", "{id}", "rotate"] => &[About::Thing("/api-keys")],
        ["workspaces" | "apps"] => &[About::Account, About::Owner],
        ["setup-scripts" | "service-specs" | "ssh-keys" | "api-keys"]
        | [
            "templates" | "capacity" | "feature-flags" | "dashboard" | "openapi.json" | "audit"
            | "ca",
        ]
        | ["users", "me"]
        | ["users", "me", "limits" | "regions" | "settings" | "credits"]
        | ["users", "me", "credits", "statement"]
        | ["users", "me", "ai-defaults" | "ai-mode"]
        | ["users", "me", "ai-usage", ..]
        | ["auth", "session" | "sessions"]
        | ["auth", "cli", "session", ..]
        | ["users"]
        | ["plans"]
        | ["access-control", "role-presets"] => &[About::Account],
        ["users", "{id}"]
        | ["users", "{id}", "api-keys" | "sign-in-link" | "second-factor" | "password"]
        | ["users", "{id}", "credits"]
        | ["users", "{id}", "credits", "statement"] => &[About::User],
        ["plans", "{name}"] => &[About::Plan],
        ["access-control", "bindings" | "principals" | "simulate" | "tags"]
        | ["access-control", "throttle-binding" | "throttle-presets"] => {
            &[About::OfWorkspace, About::OfAccount, About::OfApp]
        }
        _ => panic!("nothing says who may call {}", row.path),
    }
}

/// The document of a request: whoever may see the object is told what is missing, or changes
/// nothing that another request of this test is about.
fn document(row: &Endpoint, about: About, object: &str) -> String {
    if !matches!(row.request, Payload::Json(_)) {
        return String::new();
    }
    if about == About::InWorkspace {
        // A name that no app may have.
        return json!({ "name": "www", "workspace_id": object }).to_string();
    }
    if row.operation == Operation::AppLogSourceCreate {
        return scene::SOURCE.to_owned();
    }
    if !matches!(about, About::OfWorkspace | About::OfAccount | About::OfApp) {
        return "{}".to_owned();
    }
    let somebody = format!("user:{}", account(SOMEBODY));
    let document = match row.operation {
        Operation::AccessBindingCreate | Operation::AccessBindingDelete => {
            json!({ "principal": somebody, "resource": object, "role": "viewer" })
        }
        Operation::AccessBindingUpdate => json!({
            "principal": somebody, "resource": object,
            "current_role": "viewer", "new_role": "developer",
        }),
        Operation::AccessSimulate => json!({ "action": "workspace_read", "resource": object }),
        Operation::AccessTagsUpdate => json!({ "resource": object, "tags": {} }),
        Operation::AccessThrottleBindingUpdate => json!({ "resource": object }),
        other => panic!("nothing says what {other} is asked"),
    };
    document.to_string()
}

/// Sends a request and looks how it ends; a stream is not read.
async fn outcome(caller: &Client, row: &Endpoint, about: About, object: &str) -> Outcome {
    let name = if about == About::Plan { object } else { "x" };
    let path = row.path.replace("{id}", object).replace("{name}", name).replace("{job_id}", OTHER);
    let path = path.replace("{link_id}", OTHER).replace("{source_id}", OTHER);
    let path = path.replace("{code}", "x");
    let mut query: Vec<_> = row
        .query
        .iter()
        .filter(|parameter| parameter.required)
        .map(|parameter| match parameter.name {
            "resource" => format!("resource={object}"),
            name => format!("{name}=x"),
        })
        .collect();
    if about == About::Owner {
        query.push(format!("owner={object}"));
    }
    let path = format!("{path}?{}", query.join("&"));
    let body = document(row, about, object);
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
    // Something may be missing in or on an object that is not.
    let missing = match about {
        About::Workspace | About::OfWorkspace | About::InWorkspace => Some("workspace not found"),
        About::App | About::OfApp => Some("app not found"),
        About::Owner | About::OfAccount => Some("account not found"),
        About::Account | About::User | About::Plan | About::Thing(_) => None,
    };
    match status {
        401 => Outcome::Unauthenticated,
        403 => Outcome::Forbidden,
        404 if missing.is_some_and(|missing| missing != message) => Outcome::Allowed,
        // Whoever guesses a code was let through to guess.
        404 if row.right == Right::Public => Outcome::Allowed,
        404 => Outcome::Missing,
        _ => Outcome::Allowed,
    }
}

/// A job that there is not.
const OTHER: &str = "00000000-0000-4000-8000-00000000000f";

/// Who is given roles by the requests themselves.
const SOMEBODY: u8 = 99;

/// All that is tried with a row: what it is about, whose that is, who calls, and how it must end.
fn cases(row: &Endpoint) -> Vec<(About, usize, usize, Outcome)> {
    let mut cases = Vec::new();
    for about in abouts(row) {
        let mut wanted = expected(row.right, *about);
        if is_beyond_the_app(row.operation) {
            wanted = and_may_enter(wanted);
        }
        for (whose, columns) in wanted.into_iter().enumerate() {
            let of_callers = columns.into_iter().enumerate();
            cases.extend(of_callers.map(|(number, wanted)| (*about, whose, number, wanted)));
        }
    }
    cases
}

async fn every_row_is_for_whom_it_is_meant(world: World) {
    let mut scene = Scene::new(&world).await;
    let mut wrong = Vec::new();
    let mut rows: Vec<_> = ENDPOINTS.iter().collect();
    // Last, because nothing is made in a workspace that is on its way out.
    rows.sort_by_key(|row| row.operation == Operation::WorkspaceDelete);
    for row in rows {
        for (about, whose, number, wanted) in cases(row) {
            let object = scene.object(&world, about, whose).await;
            let seen = outcome(&scene.callers[number], row, about, &object).await;
            if seen != wanted {
                let whose = if whose == 0 { "the owner's" } else { "the other user's" };
                let (caller, operation) = (CALLERS[number], row.operation);
                wrong.push(format!(
                    "{operation} by {caller} on {whose} ({about:?}): {seen:?}, not {wanted:?}"
                ));
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
