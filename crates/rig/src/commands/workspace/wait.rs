//! Waits for a workspace to reach what was asked for.
//! Follows the server's events; where they break, asks, and follows again. A server that is away
//! for a moment (its restart stops no workspace) ends no wait.

use std::time::Duration;

use http::Method;
use rigbox_types::{
    Failure, Generation, Status, WorkspaceId,
    api::{
        events::WorkspaceStatusEvent,
        workspaces::{GetWorkspaceResponse, Vm},
    },
};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::details;
use crate::{
    cli::WaitArgs,
    client::{Call, ClientError, Events},
    error::{CommandError, CommandResult},
    session::{Session, workspace_path},
};

/// How long the server may be away while we wait for a workspace.
const ABSENCE_MAX: Duration = Duration::from_secs(60);
/// Between an answer that decides nothing and the next question.
const PAUSE: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Ready.
    Running,
    /// Off.
    Stopped,
    /// Nothing is under way any more.
    Settled,
    /// Deleted.
    Gone,
}

/// A line of a command that takes time.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// A workspace is being asked for.
    Creating { name: &'a str },
    /// It exists.
    Created { id: &'a WorkspaceId, name: &'a str, status: Status },
    /// Its boot has been asked for.
    Starting { id: &'a WorkspaceId, name: &'a str },
    /// Its end has been asked for.
    Stopping { id: &'a WorkspaceId, name: &'a str },
    /// Both have been asked for.
    Restarting { id: &'a WorkspaceId, name: &'a str },
    /// The end of a start has been asked for.
    Cancelling { id: &'a WorkspaceId, name: &'a str },
    /// Another try has been asked for.
    Retrying { id: &'a WorkspaceId, name: &'a str },
    /// Its deletion has been asked for.
    Deleting { id: &'a WorkspaceId, name: &'a str },
    /// It is doing something else now.
    VmStatus { id: &'a WorkspaceId, status: Status },
    /// One of its apps begins to be waited for, or answers.
    AppStatus { app: &'a str, status: &'static str },
    /// It is ready.
    Ready {
        id: &'a WorkspaceId,
        name: &'a str,
        ssh_user: Option<&'a str>,
        ssh_host: Option<&'a str>,
        ssh_port: Option<u16>,
        /// Whether a gateway is there.
        ssh_enabled: bool,
    },
    /// It is off.
    Stopped { id: &'a WorkspaceId, name: &'a str },
    /// It is gone.
    Deleted { id: &'a WorkspaceId, name: &'a str },
}

/// How a wait ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reached {
    /// In this status.
    Status(Status),
    /// It does not exist any more.
    Gone,
}

/// One look at a workspace.
#[derive(Debug, Clone)]
struct Seen {
    status: Status,
    generation: Generation,
    failure: Option<Failure>,
}

impl From<GetWorkspaceResponse> for Seen {
    fn from(answer: GetWorkspaceResponse) -> Self {
        let GetWorkspaceResponse { vm, failure } = answer;
        Self { status: vm.status, generation: vm.generation, failure }
    }
}

impl From<WorkspaceStatusEvent> for Seen {
    fn from(event: WorkspaceStatusEvent) -> Self {
        Self { status: event.status, generation: event.generation, failure: event.failure }
    }
}

/// A wait for one workspace.
pub(super) struct Wait<'a> {
    session: &'a Session,
    vm: &'a Vm,
    goal: Goal,
    last: Option<Status>,
}

impl<'a> Wait<'a> {
    /// Waits for `vm`, as it was answered to the request, to reach `goal`.
    pub(super) fn new(session: &'a Session, vm: &'a Vm, goal: Goal) -> Self {
        Self { session, vm, goal, last: Some(vm.status) }
    }

    /// Waits until then.
    pub(super) async fn until(mut self, args: WaitArgs) -> CommandResult<Reached> {
        let name = self.vm.name.as_str();
        self.session.on_interrupt(
            CommandError::interrupted(format!("stopped waiting; {name} goes on by itself"))
                .hint(format!("rig workspace show {name}")),
        );
        let limit = Duration::from_secs(args.wait_timeout);
        let deadline = Instant::now().checked_add(limit);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + WAIT_MAX);
        match timeout_at(deadline, self.reach()).await {
            Ok(reached) => reached,
            Err(_) => {
                let status = self.last.map_or("unknown", Status::as_str);
                let seconds = args.wait_timeout;
                Err(CommandError::failed(format!("{name} is still {status} after {seconds} s"))
                    .coded("timeout")
                    .hint(format!("rig workspace show {name}")))
            }
        }
    }

    async fn reach(&mut self) -> CommandResult<Reached> {
        let mut answered = Instant::now();
        let mut has_events = true;
        loop {
            if has_events {
                match self.follow(&mut answered).await {
                    Ok(Some(verdict)) => return verdict,
                    Ok(None) => {}
                    Err(error) if error.is("not_found") => return self.gone(),
                    // A server that cannot send events is asked from now on.
                    Err(error) => has_events = error.is_passing(),
                }
            }
            match details(self.session, &self.vm.id).await {
                Ok(answer) => {
                    answered = Instant::now();
                    if let Some(verdict) = self.look(answer.value.into())? {
                        return verdict;
                    }
                }
                Err(error) if error.is("not_found") => return self.gone(),
                Err(error) if error.is_passing() && answered.elapsed() < ABSENCE_MAX => {
                    self.session.output.progress("the server is away; waiting for it");
                }
                Err(error) => return Err(error.into()),
            }
            self.session.output.during(sleep(PAUSE)).await;
        }
    }

    /// Follows the events to a verdict, or to their end.
    async fn follow(
        &mut self,
        answered: &mut Instant,
    ) -> Result<Option<CommandResult<Reached>>, ClientError> {
        let client = &self.session.client;
        let call = Call::new(Method::GET, workspace_path(&self.vm.id).then("/events"));
        let mut events = Events::new(client, client.open(&call).await?);
        while let Some(event) = self.session.output.during(events.next()).await? {
            *answered = Instant::now();
            match event.kind.as_str() {
                "deleted" => return Ok(Some(self.gone())),
                "status" => {
                    let seen: WorkspaceStatusEvent = serde_json::from_str(&event.data)
                        .map_err(|error| client.unexpected(error.to_string()))?;
                    match self.look(seen.into()) {
                        Ok(None) => {}
                        Ok(Some(verdict)) => return Ok(Some(verdict)),
                        Err(error) => return Ok(Some(Err(error))),
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Tells what is new and decides.
    fn look(&mut self, seen: Seen) -> CommandResult<Option<CommandResult<Reached>>> {
        if self.last.replace(seen.status) != Some(seen.status) {
            tell(
                self.session,
                self.vm.name.as_str(),
                &Event::VmStatus { id: &self.vm.id, status: seen.status },
            )?;
        }
        Ok(judge(self.goal, self.vm, &seen))
    }

    fn gone(&self) -> CommandResult<Reached> {
        match self.goal {
            Goal::Gone => Ok(Reached::Gone),
            Goal::Running | Goal::Stopped | Goal::Settled => {
                Err(CommandError::failed(format!("{} was deleted meanwhile", self.vm.name))
                    .coded("not_found")
                    .hint("rig workspace ls"))
            }
        }
    }
}

/// A wait that nobody sees the end of: a day.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// Whether what is seen ends the wait. Nothing does that is older than the request.
fn judge(goal: Goal, vm: &Vm, seen: &Seen) -> Option<CommandResult<Reached>> {
    if seen.generation < vm.generation {
        return None;
    }
    let name = &vm.name;
    let overtaken = seen.generation > vm.generation;
    let instead = |what: &str| {
        Some(Err(CommandError::failed(format!("{name} {what} meanwhile"))
            .coded("conflict")
            .hint(format!("rig workspace show {name}"))))
    };
    match (goal, seen.status) {
        (_, Status::Failed) => Some(Err(failed(vm, seen.failure.as_ref()))),
        (Goal::Running, Status::Running)
        | (Goal::Stopped, Status::Stopped | Status::Provisioned | Status::Suspended)
        | (
            Goal::Settled,
            Status::Running | Status::Stopped | Status::Provisioned | Status::Suspended,
        ) => Some(Ok(Reached::Status(seen.status))),
        (Goal::Running, Status::Stopped | Status::Provisioned | Status::Suspended) => {
            instead("was stopped")
        }
        (Goal::Running | Goal::Stopped | Goal::Settled, Status::Deleting) => instead("was deleted"),
        (Goal::Stopped, Status::Running) if overtaken => instead("was started again"),
        // Under way.
        (
            Goal::Running | Goal::Stopped | Goal::Settled,
            Status::Provisioning | Status::Starting | Status::Stopping,
        )
        | (Goal::Stopped, Status::Running)
        | (
            Goal::Gone,
            Status::Provisioned
            | Status::Provisioning
            | Status::Starting
            | Status::Running
            | Status::Stopping
            | Status::Stopped
            | Status::Suspended
            | Status::Deleting,
        ) => None,
    }
}

fn failed(vm: &Vm, failure: Option<&Failure>) -> CommandError {
    let name = &vm.name;
    let show = format!("rig workspace show {name}");
    let Some(failure) = failure else {
        return CommandError::failed(format!("{name} failed")).hint(show);
    };
    let code = serde_json::to_value(failure.code).ok();
    let code = code.as_ref().and_then(serde_json::Value::as_str).unwrap_or("failed").to_owned();
    let hint = if failure.retryable { format!("rig workspace retry {name}") } else { show };
    CommandError::failed(format!("{name} failed: {}", failure.message)).coded(code).hint(hint)
}

/// Tells an event: as a record for programs, on standard error for people.
pub(super) fn tell(session: &Session, name: &str, event: &Event<'_>) -> CommandResult {
    if !session.output.is_human() {
        return session.output.record(event);
    }
    let what = match event {
        Event::Creating { .. } => "creating",
        Event::Created { .. } => "created",
        Event::Starting { .. } => "starting",
        Event::Stopping { .. } => "stopping",
        Event::Restarting { .. } => "restarting",
        Event::Cancelling { .. } => "cancelling",
        Event::Retrying { .. } => "trying again",
        Event::Deleting { .. } => "deleting",
        Event::VmStatus { status, .. } => status.as_str(),
        Event::AppStatus { status, .. } => status,
        // What people read about these is data.
        Event::Ready { .. } | Event::Stopped { .. } | Event::Deleted { .. } => return Ok(()),
    };
    session.output.stage(format!("{name}: {what}"));
    Ok(())
}

#[cfg(test)]
mod tests;
