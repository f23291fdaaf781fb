//! The role `ssh`: reads its file, takes its socket, gives root up and carries SSH sessions to workspaces.
//! Invariants: no thread is started and no byte of a client is read before root is given up; who somebody
//! is and what they may, control says each time; a session that is open goes on while control is away.

mod directory;
mod follow;
mod forwards;
mod sessions;

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::AsFd as _,
    sync::Arc,
};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_fabric::{Address, Client, ClientAuth, Listener, ServerAuth, descriptors};
use rigbox_ssh::{Gateway, HostKey, Limits};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{directory::Platform, sessions::Sessions};
use crate::role;

/// The file that `rigbox up` writes for this role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SshFile {
    /// The user that the role becomes.
    pub(crate) uid: u32,
    /// Where it listens, where no socket is handed over.
    pub(crate) listen: SocketAddr,
    /// Where it reaches control.
    pub(crate) control: String,
    /// Where it answers once it serves.
    pub(crate) ready: Utf8PathBuf,
}

/// Runs the role until SIGTERM.
///
/// # Errors
/// Says which step of the start failed.
pub(crate) fn run(config: &Utf8Path, parent: Option<u32>) -> anyhow::Result<()> {
    role::follow(parent)?;
    descriptors::raise_limit().context("raise the limit of open files")?;
    let text = std::fs::read_to_string(config).with_context(|| format!("read {config}"))?;
    let file: SshFile = toml::from_str(&text).with_context(|| format!("read {config}"))?;
    let listener = match role::handed_over(std::io::stdin().as_fd())? {
        Some(listener) => listener,
        None => TcpListener::bind(file.listen)
            .with_context(|| format!("listen on {} (ssh.listen)", file.listen))?,
    };
    role::give_root_up("the SSH gateway", file.uid, &[])?;
    // Becoming another user undoes it.
    role::follow(parent)?;
    /// One for each of the machine's, which all do the same.
    const THREADS_MAX: usize = 64;
    role::serve(THREADS_MAX, async |shutdown| Box::pin(serve(file, listener, shutdown)).await)
}

async fn serve(
    file: SshFile,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true).context("make the gateway's socket non-blocking")?;
    let listener = tokio::net::TcpListener::from_std(listener).context("the gateway's socket")?;
    let control: Address = file.control.parse().context("control")?;
    let control = Client::new(control, &ClientAuth::Local).context("a client of control")?;
    let sessions = Sessions::new(sessions::OF_ACCOUNT_MAX);
    let (key, keys) = watch::channel(None);
    let (report, reported) = mpsc::channel(forwards::QUEUE);
    let follow = follow::run(control.clone(), sessions.clone(), key);
    let forwards = forwards::run(control.clone(), reported);
    let serve = async {
        let Some(key) = host_key(keys, &shutdown).await else { return Ok(()) };
        // Who asks whether it serves, is answered from here on.
        let address = Address::Unix(file.ready.clone());
        let ready = Listener::bind(address, &ServerAuth::Local { peer_uid: None }).await;
        let _listening = ready.context("say that the gateway serves")?;
        tracing::info!("the SSH gateway serves");
        let directory = Arc::new(Platform { control, sessions, report });
        let gateway = Gateway { key, directory, limits: Limits::default() };
        gateway.serve(listener, shutdown.clone()).await;
        Ok(())
    };
    tokio::select! {
        served = serve => served,
        () = follow => Ok(()),
        () = forwards => Ok(()),
    }
}

/// The region's host key, once control has told it; none where the role is told to end before.
async fn host_key(
    mut keys: watch::Receiver<Option<Arc<HostKey>>>,
    shutdown: &CancellationToken,
) -> Option<Arc<HostKey>> {
    let told = shutdown.run_until_cancelled(keys.wait_for(Option::is_some)).await?;
    told.ok().and_then(|key| key.clone())
}
