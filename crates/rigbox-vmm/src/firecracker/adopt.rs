//! Decides whether a Firecracker that a former process started is one to go on with.

use std::time::Duration;

use super::{api::Api, documents::InstanceState, jail::Jail};
use crate::{ProcessId, VmmError, files};

/// Returns if the guest has run. Ends a Firecracker whose guest never did.
pub(super) async fn check(jail: &Jail, process: &ProcessId) -> Result<(), VmmError> {
    let gone = || VmmError::Gone { process: *process };
    if !process.is_alive() {
        return Err(gone());
    }
    // Without a socket the former process died before it sent the specification, or just after.
    let api = Api::new(jail.root.clone());
    if !files::wait_until(|| api.is_listening(), process, SOCKET_TIMEOUT).await {
        match api.listening().await {
            Ok(()) => {}
            Err(VmmError::Control { source, .. }) if files::says_nobody(&source) => {
                process.kill().await?;
                return Err(gone());
            }
            Err(error) => return Err(error),
        }
    }
    match api.state().await {
        Ok(InstanceState::Running | InstanceState::Paused) => Ok(()),
        // The former process died between two calls. What is configured cannot be asked for.
        Ok(InstanceState::NotStarted) => {
            process.kill().await?;
            Err(gone())
        }
        Err(_) if !process.is_alive() => Err(gone()),
        Err(error) => Err(error),
    }
}

/// The jailer takes milliseconds to its socket; one that takes longer has no guest to lose.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);
