//! How another process takes a role over from the one that runs.
//!
//! ```text
//! asked for -> the new one is started -> it answers        -> the old one ends what it has under way
//!                                     -> it ends, or does not answer in time -> the old one stays
//! ```
//!
//! Invariants: the old process is told to end only once the new one serves; how it went is written into
//! the state, where `rigbox restart` waits for it. The listening socket is the supervisor's, so what comes
//! meanwhile is refused by nobody.

use std::{io, time::Duration};

use anyhow::bail;
use camino::Utf8Path;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Keeper, PAUSE_FIRST, Process, terminate};
use crate::output;

/// How long the new process may take until it serves: it reads what it serves from its disk, 100,000
/// routes in some seconds.
pub(crate) const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How long the old one may take for what it has under way: more than an edge's own limit, 30 s.
const RETIREMENT: Duration = Duration::from_secs(40);

/// How long one question whether it serves may take.
const QUESTION: Duration = Duration::from_secs(2);

/// Pause between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Keeper<'_> {
    /// Another process in the place of `former`, or `former` where that does not come to serve.
    pub(super) async fn take_over(
        &self,
        former: Process,
        stop: &CancellationToken,
    ) -> anyhow::Result<Process> {
        let Some(successor) = self.take_up(stop).await else { return Ok(former) };
        self.retire(former)?;
        Ok(successor)
    }

    /// Another process that serves, written down as the role's; none where it does not come to that.
    pub(super) async fn take_up(&self, stop: &CancellationToken) -> Option<Process> {
        self.recorder.change(|state| {
            state.takeovers.begun = state.takeovers.begun.wrapping_add(1);
        });
        let came = self.successor(stop).await;
        self.recorder.change(|state| {
            state.takeovers.ended = state.takeovers.ended.wrapping_add(1);
            state.takeovers.failure = came.as_ref().err().map(ToString::to_string);
            if let Ok(successor) = &came {
                self.note(state, successor);
            }
        });
        came.inspect_err(|error| output::note(&format!("{} is not replaced: {error}", self.name())))
            .ok()
    }

    async fn successor(&self, stop: &CancellationToken) -> anyhow::Result<Process> {
        let mut process = self.start()?;
        let pid = process.child.id();
        let serves = async {
            while !self.answers(pid).await {
                sleep(LOOK_EVERY).await;
            }
        };
        let why = tokio::select! {
            () = serves => return Ok(process),
            status = process.child.wait() => match status {
                Ok(status) => format!("the new process ended ({status})"),
                Err(error) => format!("the new process cannot be waited for: {error}"),
            },
            () = sleep(READY_PATIENCE) => {
                format!("the new process does not serve after {} s", READY_PATIENCE.as_secs())
            }
            () = stop.cancelled() => "the platform is ending".to_owned(),
        };
        self.end(&mut process.child).await?;
        // Its last lines say more than we do.
        drop(timeout(PAUSE_FIRST, process.carried).await);
        bail!(why)
    }

    /// Whether this very process answers: a former one may still be there too.
    async fn answers(&self, pid: Option<u32>) -> bool {
        let Some(socket) = self.needs.answers_at else { return true };
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        let asked = timeout(QUESTION, listens_at(socket)).await;
        pid.is_some() && asked.is_ok_and(|listens| listens.ok().flatten() == pid)
    }

    /// Tells a process to end and reaps it when it has, beside the one that follows it.
    fn retire(&self, mut former: Process) -> anyhow::Result<()> {
        terminate(&former.child)?;
        let name = self.name();
        tokio::spawn(async move {
            if timeout(RETIREMENT, former.child.wait()).await.is_err() {
                output::note(&format!("the former {name} did not end by itself and was killed"));
                drop(former.child.kill().await);
            }
        });
        Ok(())
    }
}

/// The process that listens at a unix socket, as the kernel says.
async fn listens_at(socket: &Utf8Path) -> io::Result<Option<i32>> {
    Ok(UnixStream::connect(socket).await?.peer_cred()?.pid())
}
