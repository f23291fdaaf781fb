//! What is measured beside one size of a store.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use super::{
    Engine, Options,
    fill::Filled,
    load::{self, Ask, Make, Plan},
    peers::Query,
    server::Control,
};
use crate::{api::Api, process::Process, procfs, rows::Rows};

/// Requests that are due in a second: far below what one core answers.
const READS: u32 = 200;
const WRITES: u32 = 40;
/// Queries by key that are timed.
const QUERIES: usize = 2_000;
/// Rounds of requests with and without credentials, and requests of one.
const AUTH_ROUNDS: u32 = 20;
const AUTH_REQUESTS: u32 = 1_000;

/// Beside what.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) engine: Engine,
    pub(crate) size: u64,
    pub(crate) options: &'a Options,
}

/// A kind of request: its name, how often it is due in a second, and how it is made.
struct Kind(&'static str, u32, Make);

/// In this order: what adds workspaces comes last.
const KINDS: [Kind; 7] = [
    Kind("show", READS, |plan, n| get(format!("/workspaces/{}", plan.known(n)))),
    Kind("list", READS, |_, _| get("/workspaces?max_results=50".to_owned())),
    Kind("limits", READS, |_, _| get("/users/me/limits".to_owned())),
    Kind("dashboard", READS, |_, _| get("/dashboard".to_owned())),
    Kind("capacity", READS, |_, _| get("/capacity".to_owned())),
    Kind("env", WRITES, |plan, n| {
        let body = json!({ "env_vars": { "KEY": format!("value {n}") } });
        post(format!("/workspaces/{}/env", plan.known(n)), Some(body), 200)
    }),
    Kind("create", WRITES, |plan, n| {
        let name = format!("{}-{n}", plan.known(0));
        post("/workspaces".to_owned(), Some(json!({ "name": name, "template_id": "tiny" })), 201)
    }),
];

fn get(path: String) -> Ask {
    Ask { method: Method::GET, path, body: None, status: 200 }
}

fn post(path: String, body: Option<Value>, status: u16) -> Ask {
    Ask { method: Method::POST, path, body, status }
}

/// Everything about control.
pub(crate) async fn control(
    about: &About<'_>,
    (control, filled): (&Control, &Filled),
    rows: &mut Rows,
) -> Result<()> {
    let (side, pid) = (about.engine.to_string(), control.process.pid());
    rows.size("memory.before", &side, about.size, procfs::memory(pid)?.rss);
    let ids: Vec<String> = filled.own.iter().map(ToString::to_string).collect();
    for Kind(name, rate, make) in KINDS {
        filled.hosts_are_heard().await?;
        for (way, prefix) in [("paced", "p"), ("full", "f")] {
            let known = if name == "create" {
                vec![format!("{prefix}{}", about.size)]
            } else {
                ids.clone()
            };
            let plan = Plan {
                address: control.process.address.clone(),
                key: control.key.clone(),
                make,
                known: Arc::new(known),
            };
            ask(about, (way, name, rate), &plan, rows).await.with_context(|| name.to_owned())?;
        }
    }
    authentication(about, control, rows).await?;
    rows.size("memory.after", &side, about.size, procfs::memory(pid)?.rss);
    Ok(())
}

async fn ask(
    about: &About<'_>,
    (way, name, rate): (&str, &str, u32),
    plan: &Plan,
    rows: &mut Rows,
) -> Result<()> {
    let side = about.engine.to_string();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    if way == "full" {
        let connections = if rate == WRITES { load::PACED } else { about.options.connections };
        let time = seconds(about.options.full_s);
        rows.rate(name, &side, about.size, load::full(plan, connections, time).await?);
    } else {
        for took in load::paced(plan, rate, seconds(about.options.paced_s)).await? {
            rows.time(name, &side, about.size, took);
        }
    }
    Ok(())
}

/// What credentials cost: processor time of control for requests that need them, beyond that for
/// requests that need none and answer as little. In it is all that comes with knowing who asks: the
/// key's cache, the account's bucket, the right.
async fn authentication(about: &About<'_>, control: &Control, rows: &mut Rows) -> Result<()> {
    let side = about.engine.to_string();
    let (address, pid) = (&control.process.address, control.process.pid());
    // The operator has no buckets: what users meet is what a user's key costs.
    let email = format!("auth-{}@bench.test", about.size);
    let user = json!({ "email": email, "api_key": true });
    let made = Api::new(address, &control.key).post("/users", Some(&user)).await?;
    let key = made.get("api_key").and_then(Value::as_str).context("a user's key")?;
    let mut api = Api::new(address, key);
    // In turns, so that what disturbs one disturbs the other.
    for _ in 0..AUTH_ROUNDS {
        for (name, path) in [("auth.with", "/feature-flags"), ("auth.without", "/templates")] {
            let before = procfs::executed(pid)?;
            let began = std::time::Instant::now();
            for _ in 0..AUTH_REQUESTS {
                api.exchange(Method::GET, path, None).await?;
            }
            rows.time(name, &side, about.size, began.elapsed() / AUTH_REQUESTS);
            let executed = procfs::executed(pid)?.saturating_sub(before);
            rows.time(&format!("{name}.cpu"), &side, about.size, executed / AUTH_REQUESTS);
        }
    }
    Ok(())
}

/// The peer of a keyed read: the query alone.
pub(crate) async fn query(
    about: &About<'_>,
    (url, filled): (&str, &Filled),
    rows: &mut Rows,
) -> Result<()> {
    let side = format!("sql-{}", about.engine);
    let ids: Vec<String> = filled.own.iter().map(ToString::to_string).collect();
    let query = Query::open(url).await?;
    for took in query.one_by_one(&ids, QUERIES).await? {
        rows.time("show", &side, about.size, took);
    }
    let time = Duration::from_secs(about.options.full_s.into());
    rows.rate("show", &side, about.size, query.full(&ids, time).await?);
    query.close().await;
    Ok(())
}

/// The peer of every request: a server that knows nothing.
pub(crate) async fn hello(options: &Options, rows: &mut Rows) -> Result<()> {
    let mut process = Process::start(&["serve-hello"])?;
    let plan = Plan {
        address: process.address.clone(),
        key: "none".to_owned(),
        make: |_, _| get("/hello".to_owned()),
        known: Arc::default(),
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    for took in load::paced(&plan, READS, seconds(options.paced_s)).await? {
        rows.time("hello", "hello", 0, took);
    }
    let rate = load::full(&plan, options.connections, seconds(options.full_s)).await?;
    rows.rate("hello", "hello", 0, rate);
    process.end()
}
