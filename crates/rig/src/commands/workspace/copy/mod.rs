//! `rig cp`: files to and from a workspace, one request a file, each written whole or not at all.
//! Symbolic links, devices and the like are left out and counted: a workspace must not choose what
//! a name here means.

mod download;
mod place;
mod upload;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rigbox_types::api::workspaces::Vm;
use serde_json::json;
use tokio::time::interval;

use super::find_workspace;
use crate::{
    cli::CopyArgs,
    client::{ClientError, Path},
    error::{CommandError, CommandResult},
    session::{Session, Verb, explain, workspace_path},
    size, suggest,
    words::count,
};
use place::Place;

/// Deepest directory below the one that is copied.
const DEPTH_MAX: usize = 64;
/// How often the number of bytes is shown anew.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);

/// Copies.
pub(super) async fn run(session: &Session, args: &CopyArgs) -> CommandResult {
    let (source, target) = (Place::read(&args.source), Place::read(&args.target));
    let (workspace, is_upload) = match (&source, &target) {
        (Place::Local(_) | Place::Stream, Place::Remote { workspace, .. }) => (workspace, true),
        (Place::Remote { workspace, .. }, Place::Local(_) | Place::Stream) => (workspace, false),
        (Place::Remote { .. }, Place::Remote { .. }) => {
            return Err(CommandError::usage("one of the two is a path here: copy in two steps")
                .hint("rig cp --help"));
        }
        (Place::Local(_) | Place::Stream, Place::Local(_) | Place::Stream) => {
            return Err(CommandError::usage(
                "one of the two is in a workspace: write WORKSPACE:PATH",
            )
            .hint(format!("rig cp {} WORKSPACE:", suggest::quote(&args.source))));
        }
    };
    let vm = find_workspace(session, workspace).await?;
    let mut copy = Copy::new(session, &vm, args);
    let bytes = Arc::clone(&copy.bytes);
    let quiet = target == Place::Stream;
    let work = async {
        if is_upload {
            copy.upload(&source, &target).await
        } else {
            copy.download(&source, &target).await
        }
    };
    counted(session, &vm, &bytes, Box::pin(work)).await?;
    if quiet { Ok(()) } else { copy.tell() }
}

/// Shows how far it is while it works.
async fn counted<F: Future>(session: &Session, vm: &Vm, bytes: &AtomicU64, work: F) -> F::Output {
    let output = &session.output;
    output.progress(format!("copying {}", vm.name));
    let mut ticks = interval(COUNT_INTERVAL);
    let mut work = std::pin::pin!(output.during(work));
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = ticks.tick() => {
                let done = size::show_bytes(bytes.load(Ordering::Relaxed));
                output.advance(format!("copying {}: {done}", vm.name));
            }
        }
    }
}

/// A copy under way.
struct Copy<'a> {
    session: &'a Session,
    vm: &'a Vm,
    source: &'a str,
    target: &'a str,
    user: Option<&'a str>,
    is_recursive: bool,
    files: usize,
    skipped: usize,
    bytes: Arc<AtomicU64>,
}

impl<'a> Copy<'a> {
    fn new(session: &'a Session, vm: &'a Vm, args: &'a CopyArgs) -> Self {
        Self {
            session,
            vm,
            source: &args.source,
            target: &args.target,
            user: args.user.as_deref(),
            is_recursive: args.recursive,
            files: 0,
            skipped: 0,
            bytes: Arc::default(),
        }
    }

    /// The API's path of a file in the workspace; the home where none is named.
    fn files_path(&self, end: &str, path: &str) -> Path {
        workspace_path(&self.vm.id)
            .then("/files")
            .then(end)
            .query("path", if path.is_empty() { "." } else { path })
            .query_some("user", self.user)
    }

    fn explain(&self, error: ClientError, path: &str) -> CommandError {
        let is_about_file = error.refusal().is_some_and(|it| it.code != "invalid_state");
        let name = &self.vm.name;
        let hint = match error.refusal().map(|refusal| refusal.code.as_str()) {
            // The disk is meant, not the account.
            Some("quota_exceeded") => Some(format!("rig exec {name} -- df -h")),
            Some("forbidden") if self.user.is_none() => {
                Some(suggest::command(["rig", "cp", "--user", "root", self.source, self.target]))
            }
            _ => None,
        };
        let mut told = explain(error, Verb::Enter, name.as_str());
        if is_about_file && !told.message.contains(path) {
            told.message = format!("{name}:{path}: {}", told.message);
        }
        match hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }

    fn skip(&mut self, what: &str) {
        self.skipped += 1;
        self.session
            .output
            .warning(format!("left out {what}: it is no file and no directory"), None);
    }

    fn needs_recursive(what: &str) -> CommandError {
        CommandError::usage(format!(
            "{what} is a directory: add -r to copy it with all that is in it"
        ))
        .hint("rig cp --help")
    }

    fn tell(&self) -> CommandResult {
        let bytes = self.bytes.load(Ordering::Relaxed);
        if !self.session.output.is_human() {
            return self.session.output.document(&json!({
                "files": self.files,
                "bytes": bytes,
                "skipped": self.skipped,
            }));
        }
        let files = count(self.files, "file");
        self.session.output.notice(format!("copied {files}, {}", size::show_bytes(bytes)));
        Ok(())
    }
}
