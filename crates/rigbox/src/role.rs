//! What roles do before they serve: tie their life to their supervisor's, take the sockets that it
//! holds for them, give root up, and only then start threads.

use std::{
    net::TcpListener,
    os::fd::{BorrowedFd, OwnedFd},
};

use anyhow::{Context, bail};
use camino::Utf8Path;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Asks the kernel to end this process politely when its parent ends, and checks that the parent
/// is still the one that was meant. A credential change undoes it: call it again afterwards.
///
/// # Errors
/// Where the parent is already gone.
pub(crate) fn follow(parent: Option<u32>) -> anyhow::Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM)).context("follow the supervisor")?;
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    if now != Some(parent) {
        bail!("the supervisor (process {parent}) is gone");
    }
    Ok(())
}

/// A listening socket that the supervisor has put in the place of `stream`; none if it is none.
///
/// # Errors
/// Where it cannot be taken.
pub(crate) fn handed_over(stream: BorrowedFd<'_>) -> anyhow::Result<Option<TcpListener>> {
    if !rustix::net::sockopt::socket_acceptconn(stream).unwrap_or(false) {
        return Ok(None);
    }
    let socket: OwnedFd = stream.try_clone_to_owned().context("take a listening socket")?;
    Ok(Some(TcpListener::from(socket)))
}

/// What a file of a secret holds, without the end of its line.
///
/// # Errors
/// Names the file that cannot be read.
pub(crate) fn secret(path: &Utf8Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(text.trim().to_owned().into())
}

/// Becomes a user without any right, for good, and can gain none by executing anything. Stays in the groups
/// of the users that may come to its sockets.
///
/// # Errors
/// Where the kernel refuses, and for root itself.
pub(crate) fn give_root_up(role: &str, uid: u32, groups_of: &[u32]) -> anyhow::Result<()> {
    rustix::thread::set_no_new_privs(true).context("give up gaining rights")?;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if uid == 0 {
        bail!("{role} must not run as root");
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    let groups: Vec<Gid> = groups_of.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).context("give up root's groups")?;
    setresgid(group, group, group).context("give up root's group")?;
    setresuid(user, user, user).context("give up root")
}

/// Starts threads, one for each processor and at most `threads_max`, runs `role` with what asks it to end (SIGTERM or SIGINT), and waits for it.
///
/// # Errors
/// As the role, and where there are no threads.
pub(crate) fn serve(
    threads_max: usize,
    role: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    start_log();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(threads_max))
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(watch_signals(shutdown.clone())?);
        role(shutdown).await
    })
}

fn watch_signals(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
        tracing::info!("shutting down");
    })
}

/// JSON lines on standard error, which the supervisor writes to a bounded file.
fn start_log() {
    let filter = EnvFilter::builder().with_env_var("RIGBOX_LOG").from_env_lossy();
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Standard error is gone where the supervisor is, and the complaint about it would panic.
        .log_internal_errors(false)
        .init();
}
