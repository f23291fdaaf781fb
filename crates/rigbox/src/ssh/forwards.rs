//! Tells control what is forwarded within sessions, for the record.
//! Invariant: bounded; a session that forwards a lot holds nothing up, and what does not fit is said in the
//! log.

use std::time::Duration;

use http::Method;
use rigbox_fabric::Client;
use rigbox_types::ssh::{FORWARDED_MAX, Forwarded};
use tokio::{sync::mpsc, time::sleep};

/// Forwards that wait to be told.
pub(super) const QUEUE: usize = 4 * FORWARDED_MAX;

/// Pause before control is told again.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells for good.
pub(super) async fn run(control: Client, mut queue: mpsc::Receiver<Forwarded>) {
    let mut batch = Vec::with_capacity(FORWARDED_MAX);
    while queue.recv_many(&mut batch, FORWARDED_MAX).await > 0 {
        while let Err(error) = tell(&control, &batch).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, waiting = batch.len(), "forwards are not in the record yet");
            sleep(PAUSE).await;
        }
        batch.clear();
    }
}

async fn tell(control: &Client, batch: &[Forwarded]) -> Result<(), rigbox_fabric::FabricError> {
    control.json(Method::POST, "/internal/v1/ssh/forwards", batch).await
}
