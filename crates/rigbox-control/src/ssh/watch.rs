//! `GET /internal/v1/ssh/events`: how a gateway is to serve, and which sessions it has to ask about again.
//! Invariant: a gateway that reads on misses no end of a right: after a silence of the stream, and where a
//! wake-up may have been missed, it asks about all.

use std::{sync::Arc, time::Duration};

use rigbox_store::feed::Wake;
use rigbox_types::{
    AccountId, WorkspaceId,
    ssh::{SshEvent, SshSettings},
};
use secrecy::ExposeSecret as _;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::control::Control;

/// A wake-up is a hint: everything is asked about this often anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);

/// Events that wait for a slow gateway.
pub(super) const QUEUE: usize = 256;

/// Tells a gateway until it leaves.
pub(super) async fn run(control: Arc<Control>, events: mpsc::Sender<SshEvent>) {
    tracing::info!("an SSH gateway follows");
    tokio::select! {
        _ = tell(&control, &events) => {}
        () = events.closed() => {}
        () = control.shutdown.cancelled() => {}
    }
    tracing::info!("an SSH gateway left");
}

async fn tell(
    control: &Control,
    events: &mpsc::Sender<SshEvent>,
) -> Result<(), mpsc::error::SendError<SshEvent>> {
    // Before anything is said, so that nothing falls in between.
    let mut wakes = control.store.feed().subscribe();
    let host_key = control.ssh.host_seed().expose_secret().to_owned();
    events.send(SshEvent::Settings(SshSettings { host_key })).await?;
    events.send(look(None, None)).await?;
    let mut anyway = interval_at(Instant::now() + LOOK_ANYWAY, LOOK_ANYWAY);
    anyway.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let woken = tokio::select! {
            woken = wakes.next() => woken,
            _ = anyway.tick() => Some(Wake::Everything),
        };
        let event = match woken {
            Some(Wake::Everything) => look(None, None),
            Some(Wake::Access(account)) => look(Some(account), None),
            Some(Wake::Workspace { workspace, .. }) => look(None, Some(workspace)),
            Some(
                Wake::App(_)
                | Wake::ApiKey(_)
                | Wake::Session(_)
                | Wake::Throttle(_)
                | Wake::Certificates,
            ) => continue,
            None => return Ok(()),
        };
        events.send(event).await?;
    }
}

fn look(account: Option<AccountId>, workspace: Option<WorkspaceId>) -> SshEvent {
    SshEvent::Look { account, workspace }
}
