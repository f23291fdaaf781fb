//! Starts the process of a command: who it is, where, with what environment and descriptors.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rigbox_types::{api::error::ErrorCode, guest::ExecRequest};
use tokio::process::{Child, Command};

use super::pty::Pty;
use crate::agent::{
    Guest, environment,
    refusal::Refusal,
    sys::{
        child::{self, Terminal},
        rights::with_rights_of,
    },
    users::User,
};

/// What a terminal is when the request does not say.
const TERM: &str = "xterm-256color";

/// How long the start of a command may take. A guest under emulation needs a second.
const START_MAX: Duration = Duration::from_secs(20);

/// Most commands that are starting. Those that a file system holds up keep their place, so that
/// the agent's other threads stay free.
pub(crate) const STARTS_MAX: usize = 16;

/// A process that was started.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) pty: Option<Pty>,
    pub(super) user: User,
}

/// Whether the command gets a standard input that can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdin {
    Pipe,
    Null,
}

/// Starts it on a thread of its own, because a file system of the user's may hold up whoever looks
/// at it: the agent goes on, and a process that nobody waits for any more ends at once.
pub(super) async fn spawn(
    guest: &Guest,
    request: Arc<ExecRequest>,
    stdin: Stdin,
) -> Result<Started, Refusal> {
    let starting = async {
        let turn = Arc::clone(&guest.starts).acquire_owned().await;
        let guest = guest.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            spawn_here(&guest, &request, stdin)
        });
        thread.await.map_err(|error| Refusal::internal("a start", &error))?
    };
    tokio::time::timeout(START_MAX, starting).await.unwrap_or_else(|_| {
        Err(Refusal::unavailable(
            "the command did not start in time: a file system of the workspace does not answer",
        ))
    })
}

fn spawn_here(guest: &Guest, request: &ExecRequest, stdin: Stdin) -> Result<Started, Refusal> {
    let user = match &request.user {
        Some(name) => User::find(&guest.root, name)
            .ok_or_else(|| Refusal::field("user", format_args!("{name:?} does not exist")))?,
        None => User::default_of(&guest.root),
    };
    let cwd = directory(guest, request, &user)?;
    let [program, arguments @ ..] = request.command.as_slice() else {
        return Err(Refusal::field("command", "must name a program"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment::of_command(&guest.root, &user));
    // Until a session has it, nobody else ends it.
    command.kill_on_drop(true);
    let failed = |error: io::Error| not_started(program, &cwd, &error);
    let pty = match request.tty {
        Some(size) => {
            let (pty, slave) = Pty::open(size, &user).map_err(failed)?;
            command.env("TERM", TERM);
            give(&mut command, slave).map_err(failed)?;
            Some(pty)
        }
        None => {
            command.stdin(if stdin == Stdin::Pipe { Stdio::piped() } else { Stdio::null() });
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            None
        }
    };
    command.envs(&request.env);
    let terminal = if pty.is_some() { Terminal::Stdin } else { Terminal::None };
    child::prepare(&mut command, &user, &cwd, terminal).map_err(failed)?;
    let child = command.spawn().map_err(failed)?;
    Ok(Started { child, pty, user })
}

fn give(command: &mut Command, slave: OwnedFd) -> io::Result<()> {
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    Ok(())
}

fn directory(guest: &Guest, request: &ExecRequest, user: &User) -> Result<PathBuf, Refusal> {
    let home = Path::new(&user.home);
    let Some(asked) = &request.cwd else {
        // A user without a home starts where every path does.
        let home = guest.root.path(home);
        let is_there = with_rights_of(user, || Ok(home.is_dir())).unwrap_or_default();
        return Ok(if is_there { home } else { PathBuf::from("/") });
    };
    let cwd = guest.root.path(home.join(asked));
    let is_folder = with_rights_of(user, || Ok(std::fs::metadata(&cwd)?.is_dir()));
    match is_folder {
        Ok(true) => Ok(cwd),
        Ok(false) => Err(Refusal::field("cwd", format_args!("{asked:?} is not a directory"))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Refusal::new(ErrorCode::Forbidden, format!("cwd {asked:?}: permission denied")))
        }
        Err(_) => Err(Refusal::field("cwd", format_args!("{asked:?} does not exist"))),
    }
}

fn not_started(program: &str, cwd: &Path, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Refusal::field("command", format_args!("{program:?} was not found in the workspace"))
        }
        io::ErrorKind::PermissionDenied => Refusal::field(
            "command",
            format_args!("{program:?} may not be run by this user in {}", cwd.display()),
        ),
        io::ErrorKind::ArgumentListTooLong => {
            Refusal::field("command", "is too long with its environment")
        }
        _ => Refusal::new(
            ErrorCode::Unavailable,
            format!("the workspace cannot start {program:?} now: {error}"),
        ),
    }
}
