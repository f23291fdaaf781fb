//! Files of the guest, with the rights of one of its users.
//! Invariant: only regular files are read and written; a file is replaced whole or not at all.

mod list;
mod put;
mod read;

use std::{io, path::PathBuf};

use http::{Method, Request};
use hyper::body::Incoming;
use rigbox_types::guest::files::{PATH_PARAM, RECURSIVE_PARAM, USER_PARAM};
use serde_json::json;

use super::{
    Guest,
    exchange::{self, Answer},
    query::Query,
    refusal::Refusal,
    root::Root,
    sys::rights::with_rights_of,
    users::User,
};

/// Longest path that Linux takes.
const PATH_MAX_BYTES: usize = 4096;

/// A file and whose rights apply.
#[derive(Clone)]
struct Target {
    root: Root,
    user: User,
    /// As we reach it.
    path: PathBuf,
    /// As the guest calls it.
    shown: String,
}

impl Target {
    fn of(guest: &Guest, query: &Query) -> Result<Self, Refusal> {
        let user = match query.text(USER_PARAM) {
            Some(name) => User::find(&guest.root, name)
                .ok_or_else(|| Refusal::field("user", format_args!("{name:?} does not exist")))?,
            None => User::default_of(&guest.root),
        };
        let asked = query.required(PATH_PARAM)?;
        if asked.len() > PATH_MAX_BYTES || asked.contains('\0') {
            return Err(Refusal::field("path", "is not a path"));
        }
        let asked = asked.strip_prefix("~/").unwrap_or(asked);
        let shown = PathBuf::from(&user.home).join(asked);
        let path = guest.root.path(&shown);
        Ok(Self { root: guest.root.clone(), user, path, shown: shown.display().to_string() })
    }

    /// Runs `act` on a thread that may wait, with the rights of the user.
    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let target = self.clone();
        let acting =
            tokio::task::spawn_blocking(move || with_rights_of(&target.user, || act(&target)));
        match acting.await {
            Ok(result) => result.map_err(|error| Refusal::of_path(&self.shown, &error)),
            Err(error) => Err(Refusal::internal("file", &error)),
        }
    }
}

/// Answers a request for `/files`.
pub(crate) async fn route(
    guest: &Guest,
    segments: &[&str],
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let query = Query::of(request.uri())?;
    let target = Target::of(guest, &query)?;
    match (request.method(), segments) {
        (&Method::GET, ["files"]) => read::answer(target).await,
        (&Method::GET, ["files", "list"]) => list::answer(target).await,
        (&Method::PUT, ["files"]) => put::answer(target, &query, request).await,
        (&Method::DELETE, ["files"]) => delete(target, query.flag(RECURSIVE_PARAM)?).await,
        (method, _) => Err(Refusal::not_found(format_args!("{method} {}", request.uri().path()))),
    }
}

async fn delete(target: Target, recursive: bool) -> Result<Answer, Refusal> {
    target
        .act(move |target| {
            let metadata = std::fs::symlink_metadata(&target.path)?;
            match (metadata.is_dir(), recursive) {
                (false, _) => std::fs::remove_file(&target.path),
                (true, false) => std::fs::remove_dir(&target.path),
                // Does not follow links, also when they are made while it runs.
                (true, true) => std::fs::remove_dir_all(&target.path),
            }
        })
        .await?;
    Ok(exchange::json(&json!({})))
}

/// Permission bits as they are shown.
fn octal(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}
