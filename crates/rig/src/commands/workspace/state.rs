//! `rig workspace start|stop|restart|cancel|retry|rm`: asks, and waits until it is so.

use http::Method;
use rigbox_types::{
    Status,
    api::workspaces::{GetWorkspaceResponse, MessageResponse, Vm},
};

use super::{
    apps, details, find_workspace, look,
    wait::{Event, Goal, Reached, Wait, tell},
};
use crate::{
    cli::{RemoveArgs, StateArgs, WaitArgs},
    client::{Call, Document},
    error::{CommandError, CommandResult},
    input,
    session::{Session, Verb, explain, workspace_path},
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Boot.
    Start,
    /// Boot, and wait for the apps, too.
    StartWithApps,
    /// Shut down.
    Stop,
    /// Both.
    Restart,
    /// End a start.
    Cancel,
    /// Try again.
    Retry,
}

impl Change {
    fn segment(self) -> &'static str {
        match self {
            Self::Start | Self::StartWithApps => "/start",
            Self::Stop => "/stop",
            Self::Restart => "/restart",
            Self::Cancel => "/cancel",
            Self::Retry => "/retry",
        }
    }

    fn verb(self) -> Verb {
        match self {
            Self::Start | Self::StartWithApps => Verb::Start,
            Self::Stop => Verb::Stop,
            Self::Restart => Verb::Restart,
            Self::Cancel | Self::Retry => Verb::Other,
        }
    }

    fn goal(self) -> Goal {
        match self {
            Self::Start | Self::StartWithApps | Self::Restart => Goal::Running,
            Self::Stop => Goal::Stopped,
            Self::Cancel | Self::Retry => Goal::Settled,
        }
    }

    fn event(self, vm: &Vm) -> Event<'_> {
        let (id, name) = (&vm.id, vm.name.as_str());
        match self {
            Self::Start | Self::StartWithApps => Event::Starting { id, name },
            Self::Stop => Event::Stopping { id, name },
            Self::Restart => Event::Restarting { id, name },
            Self::Cancel => Event::Cancelling { id, name },
            Self::Retry => Event::Retrying { id, name },
        }
    }
}

/// Asks for a change and waits for it, unless told not to.
pub(super) async fn change(session: &Session, change: Change, args: &StateArgs) -> CommandResult {
    let vm = find_workspace(session, args.target.typed()).await?;
    let answer = ask(session, change, &vm).await?;
    if args.wait.no_wait {
        if !session.output.is_human() {
            return session.output.document(&answer.raw);
        }
        let vm = &answer.value.vm;
        return session.output.line(format!("{} is {}", vm.name, vm.status));
    }
    settle(session, &answer.value.vm, change, args.wait).await
}

/// Asks, and tells that it was asked.
pub(super) async fn ask(
    session: &Session,
    change: Change,
    vm: &Vm,
) -> CommandResult<Document<GetWorkspaceResponse>> {
    let call =
        Call::new(Method::POST, workspace_path(&vm.id).then(change.segment())).idempotent()?;
    let answer: Result<Document<GetWorkspaceResponse>, _> = session.client.fetch(call).await;
    answer.map_err(|error| explain(error, change.verb(), vm.name.as_str()))
}

/// Waits for what was asked for and tells how it ended.
pub(super) async fn settle(
    session: &Session,
    vm: &Vm,
    change: Change,
    args: WaitArgs,
) -> CommandResult {
    tell(session, vm.name.as_str(), &change.event(vm))?;
    match Wait::new(session, vm, change.goal()).until(args).await? {
        Reached::Status(Status::Running) => {
            if change == Change::StartWithApps {
                apps::wait(session, vm, args.wait_timeout).await?;
            }
            ready(session, vm).await
        }
        Reached::Status(status) => {
            if session.output.is_human() {
                session.output.line(format!("{} is {status}", vm.name))
            } else {
                tell(session, "", &Event::Stopped { id: &vm.id, name: vm.name.as_str() })
            }
        }
        Reached::Gone => gone(session, vm),
    }
}

/// Tells that a workspace is ready, and how to enter it.
async fn ready(session: &Session, vm: &Vm) -> CommandResult {
    let answer = details(session, &vm.id).await?;
    let (vm, ssh) = (&answer.value.vm, answer.value.vm.ssh.as_ref());
    if !session.output.is_human() {
        return tell(
            session,
            "",
            &Event::Ready {
                id: &vm.id,
                name: vm.name.as_str(),
                ssh_user: ssh.map(|ssh| ssh.user.as_str()),
                ssh_host: ssh.map(|ssh| ssh.host.as_str()),
                ssh_port: ssh.map(|ssh| ssh.port),
                ssh_enabled: look::has_gateway(&answer),
            },
        );
    }
    for script in vm.setup.iter().filter(|script| script.exit_code.is_some_and(|code| code != 0)) {
        session.output.warning(
            format!("the setup script {} failed", script.name),
            Some(&format!("rig workspace show {}", vm.name)),
        );
    }
    session.output.line(format!("{} is running", vm.name))?;
    if let Some(ssh) = ssh.filter(|_| look::has_gateway(&answer)) {
        session.output.line(look::ssh_command(ssh))?;
    }
    session.output.line(format!("rig shell {}", vm.name))
}

fn gone(session: &Session, vm: &Vm) -> CommandResult {
    if session.output.is_human() {
        session.output.line(format!("deleted {}", vm.name))
    } else {
        tell(session, "", &Event::Deleted { id: &vm.id, name: vm.name.as_str() })
    }
}

/// Deletes a workspace and waits until it is gone.
pub(super) async fn remove(session: &Session, args: &RemoveArgs) -> CommandResult {
    let vm = find_workspace(session, args.target.typed()).await?;
    let name = vm.name.as_str();
    if !args.force && !args.yes && input::can_ask() {
        let question = format!("delete {name} ({}) with its disk?", vm.id);
        if !input::confirmed(&session.output, &question).await? {
            return Err(CommandError::failed(format!("{name} was not deleted")));
        }
    }
    let mut path = workspace_path(&vm.id);
    if args.force {
        path = path.query("force", "true");
    }
    let answer: Result<Document<MessageResponse>, _> =
        session.client.fetch(Call::new(Method::DELETE, path)).await;
    let answer = answer.map_err(|error| explain(error, Verb::Remove, name))?;
    if args.wait.no_wait {
        if !session.output.is_human() {
            return session.output.document(&answer.raw);
        }
        return session.output.line(format!("{name} is being deleted"));
    }
    tell(session, name, &Event::Deleting { id: &vm.id, name })?;
    Wait::new(session, &vm, Goal::Gone).until(args.wait).await?;
    gone(session, &vm)
}
