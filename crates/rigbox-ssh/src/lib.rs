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
mod menu;
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

pub use directory::{
    Attempt, Directory, Forward, Menu, MenuEntry, Stream, Target, Unavailable, Verdict,
};
pub use error::SshError;
pub use key::{HostKey, PublicKey};
pub use limits::Limits;

use crate::{
    auth::{LetIn, To},
    limits::{Places, Standing},
    menu::{Lobby, Wish},
    msg::reason,
    transport::{Incoming, Outgoing, Renewal, Role},
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
        let Begun { mut client, mut attempt, key, to } = begun;
        standing.is_let_in();
        let (mut guest, ends) = match to {
            Inside::Workspace(guest, ends) => (guest, ends),
            Inside::Menu(menu) => {
                let choose = self.choose(&mut client, &menu, (&mut attempt, &key));
                let chosen = tokio::select! {
                    biased;
                    () = menu.ends.cancelled() => Ok(Err(ENDED)),
                    () = shutdown.cancelled() => Ok(Err(SHUT_DOWN)),
                    chosen = choose => chosen,
                };
                match chosen? {
                    Ok(Some(entered)) => entered,
                    Ok(None) => return Ok(()),
                    Err(why) => {
                        self.farewell((&mut client, why), None).await;
                        return Ok(());
                    }
                }
            }
        };
        let relay = relay::relay((&mut client, &mut guest), &*self.directory, &attempt);
        let why = tokio::select! {
            biased;
            () = ends.cancelled() => ENDED,
            () = shutdown.cancelled() => SHUT_DOWN,
            ended = relay => match ended {
                SshError::Closed | SshError::Disconnected(_) | SshError::Io(_) => {
                    (reason::BY_APPLICATION, "the session has ended")
                }
                error => {
                    tracing::info!(%from, user = attempt.user, %error, "session broken off");
                    (reason::PROTOCOL_ERROR, "the session was broken off")
                }
            },
        };
        self.farewell((&mut client, why), Some(&guest.outgoing())).await;
        Ok(())
    }

    /// Last words. Who does not read any more is not waited for.
    async fn farewell(
        &self,
        (client, (reason, why)): (&mut Incoming, (u32, &str)),
        guest: Option<&Outgoing>,
    ) {
        let to_client = client.outgoing();
        let farewell = async {
            let to_guest = async {
                match guest {
                    Some(guest) => {
                        guest.disconnect(reason::BY_APPLICATION, "the client has left").await
                    }
                    None => Ok(()),
                }
            };
            drop(tokio::join!(to_client.disconnect(reason, why), to_guest));
            client.drain().await;
        };
        drop(timeout(self.limits.farewell, farewell).await);
    }

    /// Lets somebody in and opens the way to the workspace; only then the client is told.
    async fn begin(&self, stream: TcpStream, from: SocketAddr) -> Result<Begun, SshError> {
        let renewal = Renewal::new(self.limits.rekey_bytes, self.limits.rekey_after);
        let role = Role::Server(self.key.clone());
        let mut client = transport::open(stream, role, renewal).await?;
        let LetIn { attempt, key, to } =
            auth::authenticate(&mut client, &*self.directory, from).await?;
        let out = client.outgoing();
        let to = match to {
            To::Menu(menu) => Inside::Menu(menu),
            To::Workspace(target, session) => {
                let ends = target.ends.clone();
                let enter = upstream::enter(*target, &session, client.renewal());
                // What was sent ahead is not carried where the right has ended meanwhile.
                let entered = ends.run_until_cancelled(enter).await;
                match entered.filter(|_| !ends.is_cancelled()) {
                    Some(Ok(guest)) => Inside::Workspace(Box::new(guest), ends),
                    None => {
                        out.disconnect(ENDED.0, ENDED.1).await?;
                        return Err(SshError::NotLetIn);
                    }
                    Some(Err(error)) => {
                        tracing::warn!(user = attempt.user, %error, "workspace not entered");
                        auth::banner(&out, NOT_ENTERED).await?;
                        out.disconnect(reason::SERVICE_NOT_AVAILABLE, NOT_ENTERED).await?;
                        return Err(error);
                    }
                }
            }
        };
        out.send(&[msg::USERAUTH_SUCCESS], true).await?;
        client.trust();
        Ok(Begun { client, attempt, key, to })
    }

    /// Has somebody choose a workspace, and connects their session to it. Nothing where they left.
    async fn choose(
        &self,
        client: &mut Incoming,
        menu: &Menu,
        (attempt, key): (&mut Attempt, &PublicKey),
    ) -> Result<Chosen, SshError> {
        let mut lobby = Lobby::new(menu, client.outgoing());
        loop {
            let Wish::Enter(user) = lobby.wish(client).await? else {
                drop(timeout(self.limits.farewell, lobby.leave(client)).await);
                return Ok(Ok(None));
            };
            let chosen = Attempt { user, from: attempt.from };
            let enter = self.enter_chosen(&lobby, &chosen, (key, client.renewal()));
            let entered = timeout(self.limits.login_grace, enter).await;
            match entered.map_err(|_| SshError::TooSlow("the way to a workspace"))?? {
                Ok(entered) => {
                    *attempt = chosen;
                    return Ok(Ok(Some(entered)));
                }
                Err(why) => lobby.cannot(&why),
            }
        }
    }

    /// The workspace that was chosen, or why it cannot be entered.
    async fn enter_chosen(
        &self,
        lobby: &Lobby<'_>,
        attempt: &Attempt,
        (key, renewal): (&PublicKey, Renewal),
    ) -> Result<Result<Entered, String>, SshError> {
        let session = HostKey::generate()?;
        let target = match self.directory.enter(attempt, key, session.public()).await {
            Ok(Verdict::Target(target)) => target,
            Ok(Verdict::Refused(why)) => return Ok(Err(why)),
            Ok(Verdict::Unknown | Verdict::Menu(_)) => return Ok(Err(GONE.to_owned())),
            Err(Unavailable) => return Ok(Err(Unavailable.to_string())),
        };
        let ends = target.ends.clone();
        let mut guest = match upstream::enter(*target, &session, renewal).await {
            Ok(guest) => guest,
            Err(error) => {
                tracing::warn!(user = attempt.user, %error, "workspace not entered");
                return Ok(Err(NOT_ENTERED.to_owned()));
            }
        };
        match lobby.hand_over(&mut guest).await {
            Err(SshError::Elsewhere) => Ok(Err(format!("ssh to {} by its name", attempt.user))),
            done => done.map(|()| Ok((Box::new(guest), ends))),
        }
    }
}

const ENDED: (u32, &str) =
    (reason::BY_APPLICATION, "the workspace has stopped, or the right to this session has ended");
const SHUT_DOWN: (u32, &str) = (reason::BY_APPLICATION, "the gateway ends");
const GONE: &str = "it is not there any more";
const NOT_ENTERED: &str = "the workspace's SSH server cannot be entered now: it may still be \
    starting, or was changed from within";

/// A workspace's server, and what ends the right to be there.
type Entered = (Box<Incoming>, CancellationToken);
/// A workspace, or nothing where somebody left; or why it ends.
type Chosen = Result<Option<Entered>, (u32, &'static str)>;

struct Begun {
    client: Incoming,
    attempt: Attempt,
    key: PublicKey,
    to: Inside,
}

enum Inside {
    Workspace(Box<Incoming>, CancellationToken),
    Menu(Menu),
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

#[cfg(test)]
mod tests {
    use rustix::net::sockopt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_is_gone_is_noticed_and_what_is_typed_is_sent_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream).unwrap();
        assert!(stream.nodelay().unwrap() && sockopt::socket_keepalive(&stream).unwrap());
        let idle = sockopt::tcp_keepidle(&stream).unwrap();
        let between = sockopt::tcp_keepintvl(&stream).unwrap();
        let probes = sockopt::tcp_keepcnt(&stream).unwrap();
        assert_eq!(idle + between * probes, Duration::from_secs(120));
    }
}
