//! Follows what control tells: the host key, and which sessions to ask about again.
//! Invariants: nothing ends while control is away; once it is there again, everything is asked about.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::Method;
use rigbox_fabric::{Client, FabricError, watch::Watch};
use rigbox_ssh::HostKey;
use rigbox_types::ssh::{Ends, HELD_MAX, Held, SshEvent};
use secrecy::SecretSlice;
use tokio::{sync::watch, time::sleep};

use super::sessions::Sessions;

/// First and longest pause before control is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Follows for good.
pub(super) async fn run(
    control: Client,
    sessions: Sessions,
    key: watch::Sender<Option<Arc<HostKey>>>,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let mut came = false;
        if let Err(error) = connection(&control, &sessions, (&key, &mut came)).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "control does not tell of changes");
        }
        if came {
            pause = PAUSE_MIN;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Follows one connection to its end.
async fn connection(
    control: &Client,
    sessions: &Sessions,
    (key, came): (&watch::Sender<Option<Arc<HostKey>>>, &mut bool),
) -> Result<(), FabricError> {
    let mut events: Watch<SshEvent> = control.watch("/internal/v1/ssh/events").await?;
    while let Some(event) = events.next().await? {
        *came = true;
        match event {
            SshEvent::Heartbeat => {}
            SshEvent::Look { account, workspace } => {
                check(control, sessions, sessions.look(account, workspace.as_ref())).await?;
            }
            SshEvent::Settings(settings) => match host_key(&settings.host_key) {
                Some(told) => {
                    key.send_if_modified(|key| {
                        let is_new = key.is_none();
                        key.get_or_insert(Arc::new(told));
                        is_new
                    });
                }
                None => tracing::error!("control tells a host key that is none"),
            },
        }
    }
    Ok(())
}

/// Asks control about sessions, and ends those whose right has ended.
pub(super) async fn check(
    control: &Client,
    sessions: &Sessions,
    open: Vec<(u64, Held)>,
) -> Result<(), FabricError> {
    // Many sessions are alike: of one key, into one workspace.
    let mut alike: HashMap<Held, Vec<u64>> = HashMap::new();
    for (id, held) in open {
        alike.entry(held).or_default().push(id);
    }
    let alike: Vec<(Held, Vec<u64>)> = alike.into_iter().collect();
    for part in alike.chunks(HELD_MAX) {
        let held: Vec<&Held> = part.iter().map(|(held, _)| held).collect();
        let Ends { ends } = control.json(Method::POST, "/internal/v1/ssh/checks", &held).await?;
        for ((_, ids), why) in part.iter().zip(ends) {
            let Some(why) = why else { continue };
            ids.iter().for_each(|id| sessions.end(*id, &why));
        }
    }
    Ok(())
}

fn host_key(hex: &str) -> Option<HostKey> {
    let digits = hex.as_bytes().chunks(2);
    let seed: Vec<u8> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    HostKey::from_seed(&SecretSlice::from(seed)).ok()
}
