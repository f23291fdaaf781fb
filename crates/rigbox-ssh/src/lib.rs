//! The SSH gateway: lets people in by their keys and carries their sessions to the SSH servers of their
//! workspaces.
//! Invariants: nobody is let in without a verified key; what a client sends reaches no network but the
//! workspace's; connections, their time before they are let in and what is held of each are bounded.
//! Does not know accounts or workspaces (see [`Directory`]), and opens no connection to one.

mod auth;
mod directory;
mod error;
#[cfg(test)]
mod fuzz;
mod key;
mod limits;
mod msg;
mod relay;
mod transport;
mod upstream;
mod wire;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use directory::{Attempt, Directory, Forward, Stream, Target, Unavailable, Verdict};
pub use error::SshError;
pub use key::{HostKey, PublicKey};
pub use limits::Limits;

use crate::{
    auth::LetIn,
    limits::{Places, Standing},
    msg::reason,
    transport::{Incoming, Renewal, Role},
};

/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What somebody is told who is one too many. A server may say something before its version
/// (RFC 4253, section 4.2).
const FULL: &[u8] = b"too many connections: try again in a moment\r\n";

/// Everything that the gateway needs.
pub struct Gateway {
    /// Its own key: the same for all gateways of a region.
    pub key: Arc<HostKey>,
    /// Whom it asks.
    pub directory: Arc<dyn Directory>,
    /// What it may take.
    pub limits: Limits,
}

impl Gateway {
    /// Serves until `shutdown`, which ends all sessions.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let gateway = Arc::new(self);
        let places = Places::new(gateway.limits);
        let sessions = TaskTracker::new();
        let accept = async {
            loop {
                let (stream, from) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                // One too many is closed before a byte of it was read.
                let Some(standing) = places.enter(from.ip()) else {
                    // There is room in a new connection; where not, nobody waits for it.
                    drop(stream.try_write(FULL));
                    continue;
                };
                let session = gateway.clone().session((stream, from), standing, shutdown.clone());
                sessions.spawn(session);
            }
        };
        shutdown.run_until_cancelled(accept).await;
        sessions.close();
        sessions.wait().await;
    }

    async fn session(
        self: Arc<Self>,
        (stream, from): (TcpStream, SocketAddr),
        standing: Standing,
        shutdown: CancellationToken,
    ) {
        match self.run((stream, from), standing, shutdown).await {
            Err(error) => tracing::debug!(%from, %error, "session ended"),
            Ok(()) => tracing::debug!(%from, "session ended"),
        }
    }

    async fn run(
        &self,
        (stream, from): (TcpStream, SocketAddr),
        mut standing: Standing,
        shutdown: CancellationToken,
    ) -> Result<(), SshError> {
        prepare(&stream)?;
        let begin = self.begin(stream, from);
        let begun = shutdown.run_until_cancelled(timeout(self.limits.login_grace, begin)).await;
        let Some(begun) = begun else { return Ok(()) };
        let begun = begun.map_err(|_| SshError::TooSlow("being let in"))??;
        let Begun { mut client, mut guest, let_in: (attempt, ends) } = begun;
        standing.is_let_in();
        let (to_client, to_guest) = (client.outgoing(), guest.outgoing());
        let relay = relay::relay((&mut client, &mut guest), &*self.directory, &attempt);
        let (why, text) = tokio::select! {
            ended = relay => match ended {
                SshError::Closed | SshError::Disconnected(_) | SshError::Io(_) => {
                    (reason::BY_APPLICATION, "the session has ended")
                }
                error => {
                    tracing::info!(%from, user = attempt.user, %error, "session broken off");
                    (reason::PROTOCOL_ERROR, "the session was broken off")
                }
            },
            () = ends.cancelled() => {
                (reason::BY_APPLICATION, "the right to this session has ended")
            }
            () = shutdown.cancelled() => (reason::BY_APPLICATION, "the gateway ends"),
        };
        // Who does not read any more is not waited for.
        let farewell = async {
            drop(tokio::join!(
                to_client.disconnect(why, text),
                to_guest.disconnect(reason::BY_APPLICATION, "the client has left"),
            ));
            client.drain().await;
        };
        drop(timeout(self.limits.farewell, farewell).await);
        Ok(())
    }

    /// Lets somebody in and opens the way to the workspace; only then the client is told.
    async fn begin(&self, stream: TcpStream, from: SocketAddr) -> Result<Begun, SshError> {
        let renewal = Renewal::new(self.limits.rekey_bytes, self.limits.rekey_after);
        let role = Role::Server(self.key.clone());
        let mut client = transport::open(stream, role, renewal.clone()).await?;
        let LetIn { attempt, target, session } =
            auth::authenticate(&mut client, &*self.directory, from).await?;
        let (out, ends) = (client.outgoing(), target.ends.clone());
        let guest = match upstream::enter(*target, &session, renewal).await {
            Ok(guest) => guest,
            Err(error) => {
                tracing::warn!(user = attempt.user, %error, "workspace not entered");
                let text = "the workspace's SSH server cannot be entered now: it may still be \
                            starting, or was changed from within";
                auth::banner(&out, text).await?;
                out.disconnect(reason::SERVICE_NOT_AVAILABLE, text).await?;
                return Err(error);
            }
        };
        out.send(&[msg::USERAUTH_SUCCESS], true).await?;
        client.trust();
        Ok(Begun { client, guest, let_in: (attempt, ends) })
    }
}

struct Begun {
    client: Incoming,
    guest: Incoming,
    let_in: (Attempt, CancellationToken),
}

/// What is typed is sent at once, and a client that is gone is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    const IDLE: Duration = Duration::from_secs(60);
    const BETWEEN: Duration = Duration::from_secs(15);
    const PROBES: u32 = 4;
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, IDLE)?;
    sockopt::set_tcp_keepintvl(stream, BETWEEN)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    Ok(())
}
