//! Wakes watchers in this process. With PostgreSQL the wake-ups of all processes come in by LISTEN.
//! Owns the listening task. Invariant: whoever may have missed a wake-up is told
//! [`Wake::Everything`].

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rigbox_types::{AccountId, ApiKeyId, AppId, HostId, SessionId, WorkspaceId};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgListener;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::AbortHandle,
    time::sleep,
};

use crate::{StoreError, StoreUrl};

/// The channel of NOTIFY.
pub(crate) const CHANNEL: &str = "rigbox_workspaces";

/// Wake-ups that a slow watcher may leave unread before it is told to look at everything.
const UNREAD_MAX: usize = 1_024;

/// Pause before listening again after the connection broke.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// This workspace, of this host: its desired or its observed side.
    Workspace {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Whose it is.
        host: HostId,
    },
    /// This app, or its workspace: an edge has to know of it.
    App(AppId),
    /// This API key is gone, or its secret is another one.
    ApiKey(ApiKeyId),
    /// This session has ended, or its secret is another one.
    Session(SessionId),
    /// This account may reach less than it did, or something else.
    Access(AccountId),
    /// How fast this account may ask is not what it was.
    Throttle(AccountId),
    /// Certificates, challenges or keys of session tickets are not what they were.
    Certificates,
    /// Wake-ups may have been missed: look at everything.
    Everything,
}

/// Begins what is sent about an API key. Programs from before there was such a wake-up take it for
/// [`Wake::Everything`].
const API_KEY: &str = "api-key";
/// The same of an app.
const APP: &str = "app";
/// The same of a session.
const SESSION: &str = "session";

/// Begins what is sent about what an account may reach.
const ACCESS: &str = "access";

/// Begins what is sent about how fast an account may ask.
const THROTTLE: &str = "throttle";

/// What is sent about certificates: nothing that could be the name of a workspace and its host.
const CERTIFICATES: (&str, &str) = ("certificates", "*");

/// A stream of wake-ups.
pub struct Subscription(broadcast::Receiver<Wake>);

impl Subscription {
    /// The next wake-up; none once the store is closed. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Wake> {
        match self.0.recv().await {
            Ok(wake) => Some(wake),
            Err(RecvError::Lagged(_)) => Some(Wake::Everything),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Hands wake-ups on.
pub(crate) struct Hub {
    /// None once closed, which ends the subscriptions.
    sender: Mutex<Option<broadcast::Sender<Wake>>>,
    listening: Option<AbortHandle>,
}

impl Hub {
    pub(crate) async fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        let (sender, _) = broadcast::channel(UNREAD_MAX);
        let listening = match url {
            StoreUrl::Sqlite(_) => None,
            StoreUrl::Postgres(address) => {
                // Listens before it returns: what is committed from now on is heard.
                let listener = listen(address).await?;
                let task = relay(listener, address.clone(), sender.clone());
                Some(tokio::spawn(task).abort_handle())
            }
        };
        Ok(Self { sender: Mutex::new(Some(sender)), listening })
    }

    pub(crate) fn publish(&self, wake: Wake) {
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // An error says that nobody watches.
            drop(sender.send(wake));
        }
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match &*sender {
            Some(sender) => Subscription(sender.subscribe()),
            None => Subscription(broadcast::channel(1).1),
        }
    }

    pub(crate) fn close(&self) {
        if let Some(task) = &self.listening {
            task.abort();
        }
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(address: &SecretString) -> Result<PgListener, StoreError> {
    let mut listener = PgListener::connect(address.expose_secret()).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Hands notifications on for as long as the store lives; connects again when the connection broke.
async fn relay(mut listener: PgListener, address: SecretString, sender: broadcast::Sender<Wake>) {
    loop {
        match listener.try_recv().await {
            Ok(Some(note)) => {
                let wake = parse(note.payload()).unwrap_or(Wake::Everything);
                drop(sender.send(wake));
                continue;
            }
            // The connection broke; it is made again by the next call.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "wake-ups of the database are not heard");
                sleep(LISTEN_PAUSE).await;
                match listen(&address).await {
                    Ok(again) => listener = again,
                    Err(_) => continue,
                }
            }
        }
        drop(sender.send(Wake::Everything));
    }
}

impl fmt::Display for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace { workspace, host } => write!(f, "{workspace} {host}"),
            Self::App(id) => write!(f, "{APP} {id}"),
            Self::ApiKey(id) => write!(f, "{API_KEY} {id}"),
            Self::Session(id) => write!(f, "{SESSION} {id}"),
            Self::Access(account) => write!(f, "{ACCESS} {account}"),
            Self::Throttle(account) => write!(f, "{THROTTLE} {account}"),
            Self::Certificates => write!(f, "{} {}", CERTIFICATES.0, CERTIFICATES.1),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// Reads what another process has sent.
fn parse(text: &str) -> Option<Wake> {
    match text.split_once(' ')? {
        (APP, id) => id.parse().ok().map(Wake::App),
        (API_KEY, id) => id.parse().ok().map(Wake::ApiKey),
        (SESSION, id) => id.parse().ok().map(Wake::Session),
        (ACCESS, account) => account.parse().ok().map(Wake::Access),
        (THROTTLE, account) => account.parse().ok().map(Wake::Throttle),
        CERTIFICATES => Some(Wake::Certificates),
        (workspace, host) => {
            Some(Wake::Workspace { workspace: workspace.parse().ok()?, host: host.parse().ok()? })
        }
    }
}
