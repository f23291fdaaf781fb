//! Decides whether a QEMU that a former process started is one to go on with.

use std::time::Duration;

use tokio::net::UnixStream;

use super::{
    driver::Files,
    qmp::{Qmp, RunState},
};
use crate::{ProcessId, VmmError, files};

/// Returns if the guest has run. Ends a QEMU whose guest never did.
pub(super) async fn check(files: &Files, process: &ProcessId) -> Result<(), VmmError> {
    let gone = || VmmError::Gone { process: *process };
    if !process.is_alive() {
        return Err(gone());
    }
    // The trampoline binds the socket within milliseconds of its specification: if there is none
    // now, the former process died before it sent one, or just after.
    let is_listening = || async { UnixStream::connect(&files.control).await.is_ok() };
    if !files::wait_until(is_listening, process, SOCKET_TIMEOUT).await {
        let path = &files.control;
        match UnixStream::connect(path).await {
            Ok(_) => {}
            Err(error) if files::says_nobody(&error) => {
                process.kill().await?;
                return Err(gone());
            }
            Err(source) => return Err(VmmError::Control { path: path.clone(), source }),
        }
    }
    let state = async { Qmp::connect(&files.control).await?.run_state().await }.await;
    match state {
        Ok(RunState::Running | RunState::Paused | RunState::Postmigrate | RunState::Other) => {
            Ok(())
        }
        // The former process died between the start and the first `cont`.
        Ok(RunState::Prelaunch | RunState::Inmigrate) => {
            process.kill().await?;
            Err(gone())
        }
        Err(_) if !process.is_alive() => Err(gone()),
        Err(error) => Err(error),
    }
}

/// See its use. Restoring fills the memory first, at the disk's speed; such a process has no guest
/// yet and nothing is lost by ending it.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_qemu_that_cannot_be_asked_is_not_ended() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().expect("spawn");
        let process = ProcessId::of(child.id()).expect("a live child");
        // A path that no socket's address holds: the question fails here, not there.
        let files = Files::below(&format!("/tmp/{}", "x".repeat(200)));
        let error = check(&files, &process).await.expect_err("nobody answers");
        assert!(matches!(error, VmmError::Control { .. }), "{error}");
        assert!(process.is_alive());
        let nobody = check(&Files::below("/nowhere"), &process).await;
        assert!(matches!(nobody, Err(VmmError::Gone { .. })));
        assert!(!child.wait().expect("reap").success());
    }
}
