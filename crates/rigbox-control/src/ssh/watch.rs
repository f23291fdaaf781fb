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
use tokio::{sync::mpsc, time::timeout};

use crate::control::Control;

/// A wake-up is a hint: after this long without one everything is asked about anyway.
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
    loop {
        let event = match timeout(LOOK_ANYWAY, wakes.next()).await {
            Err(_) | Ok(Some(Wake::Everything)) => look(None, None),
            Ok(Some(Wake::Access(account))) => look(Some(account), None),
            Ok(Some(Wake::Workspace { workspace, .. })) => look(None, Some(workspace)),
            Ok(Some(
                Wake::App(_)
                | Wake::ApiKey(_)
                | Wake::Session(_)
                | Wake::Throttle(_)
                | Wake::Certificates,
            )) => continue,
            Ok(None) => return Ok(()),
        };
        events.send(event).await?;
    }
}

fn look(account: Option<AccountId>, workspace: Option<WorkspaceId>) -> SshEvent {
    SshEvent::Look { account, workspace }
}
