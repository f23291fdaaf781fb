//! Asks control who comes, and opens the way to the workspace.
//! Invariant: a session is known before control is asked for the last time whether it may be: the end of a
//! right that falls in between ends it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use rigbox_fabric::{
    Address, Client,
    dial::{DialClient, DialError, DialRefusal, DialStream, Port, Purpose},
};
use rigbox_ssh::{
    Attempt, Directory, Forward, Menu, MenuEntry, PublicKey, Target, Unavailable, Verdict,
};
use rigbox_types::{
    Credential, KeyScopes, Principal, Right,
    authz::{Resource, authorise},
    ssh::{Entry, Forwarded, Held, Login, LoginAnswer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    follow,
    sessions::{Place, Sessions},
};

const TOO_MANY: &str = "this account has too many SSH sessions open: end one and come again";

/// The port of a workspace's own SSH server.
const SSH_PORT: u16 = 22;

/// How long a server that does not listen may still be starting, and the pause before it is tried again.
const STARTING: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

/// What the gateway asks.
pub(super) struct Platform {
    pub(super) control: Client,
    pub(super) sessions: Sessions,
    pub(super) report: mpsc::Sender<Forwarded>,
}

#[async_trait]
impl Directory for Platform {
    async fn is_known(&self, attempt: &Attempt, key: &PublicKey) -> Result<bool, Unavailable> {
        Ok(!matches!(self.ask(attempt, key, None).await?, LoginAnswer::Unknown))
    }

    async fn enter(
        &self,
        attempt: &Attempt,
        key: &PublicKey,
        session: &[u8],
    ) -> Result<Verdict, Unavailable> {
        let looks = self.sessions.looks();
        let session_key = format!("ssh-ed25519 {}", STANDARD.encode(session));
        let entry = match self.ask(attempt, key, Some(session_key)).await? {
            LoginAnswer::Entry(entry) => entry,
            LoginAnswer::Refused { message } => return Ok(Verdict::Refused(message)),
            LoginAnswer::Unknown | LoginAnswer::Known => return Ok(Verdict::Unknown),
            LoginAnswer::Menu(menu) => {
                let held = Held { holder: menu.holder, workspace: None };
                return Ok(match self.open(held, (attempt, looks)).await? {
                    Some(place) => Verdict::Menu(menu_of(menu, place)),
                    None => Verdict::Refused(TOO_MANY.to_owned()),
                });
            }
        };
        let held = Held { holder: entry.holder, workspace: Some(entry.workspace.clone()) };
        let Some(place) = self.open(held, (attempt, looks)).await? else {
            return Ok(Verdict::Refused(TOO_MANY.to_owned()));
        };
        match dial(&entry).await {
            Ok(stream) => target(*entry, (stream, place)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, workspace = %entry.workspace, "workspace not dialled");
                let text = "the workspace's SSH server does not answer: it may still be starting, \
                            or was changed from within";
                Ok(Verdict::Refused(text.to_owned()))
            }
        }
    }

    fn forwards(&self, attempt: &Attempt, what: &Forward) {
        let what = match what {
            Forward::Tcp { host, port } => format!("tcp {host}:{port}"),
            Forward::Socket(path) => format!("socket {path}"),
            Forward::Listen(at) => format!("listen {at}"),
        };
        let Some(session) = self.sessions.forwards(attempt.from, &what) else { return };
        let from = attempt.from.ip().to_canonical().to_string();
        if self.report.try_send(Forwarded { session, from, what }).is_err() {
            tracing::warn!(user = attempt.user, "a forward is missing in the record");
        }
    }
}

impl Platform {
    /// Opens a session that control has agreed to when there had been `looks`; none where its account has too
    /// many.
    async fn open(
        &self,
        held: Held,
        (attempt, looks): (&Attempt, u64),
    ) -> Result<Option<Place>, Unavailable> {
        let Some(place) = self.sessions.open(held.clone(), attempt.from) else { return Ok(None) };
        if self.sessions.looks() != looks {
            let open = vec![(place.id, held)];
            let checked = follow::check(&self.control, &self.sessions, open).await;
            checked.map_err(|error| unavailable(&error))?;
        }
        Ok(Some(place))
    }

    async fn ask(
        &self,
        attempt: &Attempt,
        key: &PublicKey,
        session_key: Option<String>,
    ) -> Result<LoginAnswer, Unavailable> {
        let login = Login {
            user: attempt.user.clone(),
            fingerprint: key.fingerprint(),
            from: attempt.from.ip().to_canonical().to_string(),
            session_key,
        };
        let asked = self.control.json(Method::POST, "/internal/v1/ssh/logins", &login).await;
        asked.map_err(|error| unavailable(&error))
    }
}

fn menu_of(menu: rigbox_types::ssh::Menu, place: Place) -> Menu {
    let entries = menu.entries.into_iter().map(|entry| {
        let rigbox_types::ssh::MenuEntry { name, user, status } = entry;
        MenuEntry { user, name, status }
    });
    Menu { entries: entries.collect(), note: None, ends: place.ends.clone(), held: Box::new(place) }
}

fn unavailable(error: &rigbox_fabric::FabricError) -> Unavailable {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "control does not say who comes");
    Unavailable
}

/// Why a workspace was not dialled.
#[derive(Debug, thiserror::Error)]
enum NotDialled {
    #[error("control's answer gives no right to enter")]
    Denied,
    #[error("host {0} is not on this machine")]
    Elsewhere(String),
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// Opens a connection to the workspace's own server. What control has said is judged here once more: it
/// is the facts that count.
async fn dial(entry: &Entry) -> Result<DialStream, NotDialled> {
    let who = Principal::Key {
        credential: Credential::SshKey(entry.holder.key),
        account: entry.holder.account,
        standing: entry.standing,
        scopes: KeyScopes::full(),
    };
    let facts = Resource::Workspace {
        id: entry.workspace.clone(),
        owner: entry.owner,
        granted: entry.granted,
    };
    let right = Right::WorkspaceEnter;
    let to = authorise(&who, right, &facts, entry.workspace.clone());
    let to = to.map_err(|_| NotDialled::Denied)?;
    let elsewhere = || NotDialled::Elsewhere(entry.host.clone());
    let address: Address = entry.host.parse().map_err(|_| elsewhere())?;
    let path = address.as_unix().ok_or_else(elsewhere)?;
    let port = Port::try_from(SSH_PORT).map_err(|_| NotDialled::Denied)?;
    let client = DialClient::Local(path.to_owned());
    let until = Instant::now() + STARTING;
    loop {
        match client.dial(to.clone(), port, Purpose::Ssh).await {
            // The workspace runs a moment before its server does.
            Err(DialError::Refused(refused))
                if refused.code == DialRefusal::PortClosed && Instant::now() < until =>
            {
                sleep(AGAIN).await;
            }
            dialled => return Ok(dialled?),
        }
    }
}

fn target(entry: Entry, (stream, place): (DialStream, Place)) -> Result<Verdict, Unavailable> {
    let malformed = |what: &'static str| {
        tracing::error!(workspace = %entry.workspace, what, "control's answer is malformed");
        Unavailable
    };
    let host_key = entry.host_key.split(' ').nth(1).and_then(|blob| STANDARD.decode(blob).ok());
    let host_key = host_key.and_then(|blob| PublicKey::new(&blob).ok());
    let certificate = STANDARD.decode(&entry.certificate);
    Ok(Verdict::Target(Box::new(Target {
        ends: place.ends.clone(),
        host_key: host_key.ok_or_else(|| malformed("host key"))?,
        certificate: certificate.map_err(|_| malformed("certificate"))?,
        user: entry.user,
        stream: Box::pin(Counted { stream, _place: place }),
    })))
}

/// A connection, and the session that is open as long as it is.
struct Counted {
    stream: DialStream,
    _place: Place,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
