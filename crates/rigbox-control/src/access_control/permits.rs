//! What is open while somebody may: streams, terminals and long transfers.
//! Owns one entry for each. Invariants: it is made before the right is decided that the stream stands
//! on, so that no change falls in between; a change that is told of ends what it ended within about a
//! second, and one that nobody told of within [`LOOK_ANYWAY`]; a key that ends takes all that it has
//! opened with it, also where it only got another secret.
//! Decides nothing: it asks again what was asked when the stream began.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, HttpBody as _};
use futures_util::stream;
use http_body_util::BodyExt as _;
use rigbox_store::feed::{Subscription, Wake};
use rigbox_types::{
    AccountId, ApiKeyId, AppId, Credential, Principal, Right, WorkspaceId, api::error::ErrorCode,
    authz::authorise, endpoint::Endpoint,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{of_app, of_workspace};
use crate::{
    authn::check_enabled,
    control::Control,
    error::{ApiError, ApiResult},
    http::places::Place,
};

/// A wake-up is a hint, and a key that ends by its date tells nobody: this often all are looked at.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

type Entries = Mutex<HashMap<u64, Open>>;

/// Everything that is open.
pub(crate) struct Permits {
    open: Arc<Entries>,
    next: AtomicU64,
}

/// What one stream stands on.
#[derive(Clone)]
struct Open {
    who: Principal,
    /// All of it has to hold.
    asks: Vec<(Right, About)>,
    ended: CancellationToken,
}

/// What a path names.
#[derive(Debug, Clone)]
enum About {
    Workspace(WorkspaceId),
    App(AppId),
}

/// Goes with a stream; the entry ends with the last copy.
#[derive(Clone)]
pub(crate) struct Permit(Arc<Held>);

struct Held {
    entries: Arc<Entries>,
    number: u64,
    ended: CancellationToken,
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.entries).remove(&self.number);
    }
}

/// Cuts a body off, so that its reader sees that it is not whole.
#[derive(Debug, thiserror::Error)]
#[error("{GONE}")]
struct Gone;

/// What its client reads where there is still room for words.
pub(crate) const GONE: &str = "the access that this was begun with has ended";

impl Permits {
    pub(crate) fn new() -> Self {
        Self { open: Arc::default(), next: AtomicU64::new(0) }
    }

    /// An entry for a request about the workspace or app that its path names; none where it names
    /// neither.
    pub(crate) fn hold(&self, who: &Principal, row: &Endpoint, path: &str) -> Option<Permit> {
        let about = about_of(row, path)?;
        let ended = CancellationToken::new();
        let open = Open { who: who.clone(), asks: vec![(row.right, about)], ended: ended.clone() };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(number, open);
        Some(Permit(Arc::new(Held { entries: self.open.clone(), number, ended })))
    }

    fn of(&self, asked: impl Fn(&Open) -> bool) -> Vec<Open> {
        lock(&self.open).values().filter(|open| asked(open)).cloned().collect()
    }
}

impl Permit {
    /// Is cancelled when the permit ends.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.0.ended
    }

    /// Makes the permit stand on a right to a workspace, too. As the first one, before that is decided.
    pub(crate) fn also(&self, right: Right, workspace: WorkspaceId) {
        if let Some(open) = lock(&self.0.entries).get_mut(&self.0.number) {
            open.asks.push((right, About::Workspace(workspace)));
        }
    }

    /// Answers a request as long as the permit holds.
    pub(crate) async fn answer<T>(&self, work: impl Future<Output = T>) -> ApiResult<T> {
        let answered = self.0.ended.run_until_cancelled(work).await;
        answered.ok_or_else(|| ApiError::new(ErrorCode::Forbidden, GONE))
    }

    /// Carries the body of an answer as long as the permit holds, and keeps its place as long as it
    /// is read. A body that is there whole is let go.
    pub(crate) fn carry(self, body: Body, place: Place) -> Body {
        if body.size_hint().exact().is_some() {
            return Body::new(body.map_frame(move |frame| {
                let _held = &place;
                frame
            }));
        }
        let state = Some((body, self, place));
        Body::from_stream(stream::unfold(state, |state| async move {
            let (mut body, permit, place) = state?;
            loop {
                let frame = tokio::select! {
                    biased;
                    () = permit.ended().cancelled() => Some(Err(axum::Error::new(Gone))),
                    frame = body.frame() => frame,
                };
                match frame? {
                    Err(error) => return Some((Err(error), None)),
                    // Trailers are left out.
                    Ok(frame) => {
                        if let Ok(data) = frame.into_data() {
                            return Some((Ok(data), Some((body, permit, place))));
                        }
                    }
                }
            }
        }))
    }
}

/// Ends what nobody may any more, until the store is closed.
pub(crate) async fn watch(control: Arc<Control>, mut wakes: Subscription) {
    let mut ticks = interval(LOOK_ANYWAY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wake = tokio::select! {
            wake = wakes.next() => wake,
            _ = ticks.tick() => Some(Wake::Everything),
        };
        match wake {
            None => return,
            Some(Wake::ApiKey(id)) => end_of_key(&control, id),
            // With another secret it goes on.
            Some(Wake::Session(id)) => {
                let session = Credential::Session(id);
                look(&control, |open| credential_of(&open.who) == Some(session)).await;
            }
            Some(Wake::Access(account)) => {
                look(&control, |open| account_of(&open.who) == account).await;
            }
            Some(Wake::Everything) => look(&control, |_| true).await,
            Some(
                Wake::Workspace { .. } | Wake::App(_) | Wake::Throttle(_) | Wake::Certificates,
            ) => {}
        }
    }
}

/// Its secret is another one, if it is there at all: what the old one has opened ends.
fn end_of_key(control: &Control, id: ApiKeyId) {
    let key = Some(Credential::Key(id));
    control
        .permits
        .of(|open| credential_of(&open.who) == key)
        .iter()
        .for_each(|open| open.ended.cancel());
}

fn credential_of(who: &Principal) -> Option<Credential> {
    match who {
        Principal::Key { credential, .. } => Some(*credential),
        Principal::Guest { .. } => None,
    }
}

/// Asks again for those that are asked for.
async fn look(control: &Control, asked: impl Fn(&Open) -> bool) {
    for open in control.permits.of(asked) {
        match holds(control, &open).await {
            Ok(true) => {}
            Ok(false) => open.ended.cancel(),
            // Looked at again soon.
            Err(error) => tracing::warn!(reason = error.message(), "a permit was not looked at"),
        }
    }
}

async fn holds(control: &Control, open: &Open) -> ApiResult<bool> {
    match check_enabled(&control.store, account_of(&open.who)).await {
        Err(error) if error.code() == ErrorCode::Unauthenticated => return Ok(false),
        other => other?,
    }
    if !control.authn.is_known(&control.store, &open.who).await? {
        return Ok(false);
    }
    // A stream says itself that its workspace is gone.
    for (right, about) in &open.asks {
        if !may(control, &open.who, (*right, about)).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether somebody may do what a path with the id of a workspace asks, as far as that is known by
/// the path: also where there is no such workspace any more.
pub(crate) async fn may_by_path(
    control: &Control,
    who: &Principal,
    (row, path): (&Endpoint, &str),
) -> ApiResult<bool> {
    match about_of(row, path) {
        Some(about) => may(control, who, (row.right, &about)).await,
        None => Ok(true),
    }
}

async fn may(
    control: &Control,
    who: &Principal,
    (right, about): (Right, &About),
) -> ApiResult<bool> {
    let facts = async {
        Ok(match about {
            About::Workspace(id) => {
                of_workspace(&control.store, who, &control.workspace(id).await?).await?
            }
            About::App(id) => of_app(&control.store, who, &control.app(id).await?).await?,
        })
    };
    match facts.await {
        Err(error) if ApiError::code(&error) == ErrorCode::NotFound => Ok(true),
        facts => Ok(authorise(who, right, &facts?, ()).is_ok()),
    }
}

/// The workspace or app that a path names.
fn about_of(row: &Endpoint, path: &str) -> Option<About> {
    let mut segments = row.path.split('/').zip(path.split('/'));
    let (_, id) = segments.find(|(name, _)| *name == "{id}")?;
    let app = || id.parse().ok().map(About::App);
    id.parse().ok().map(About::Workspace).or_else(app)
}

fn account_of(who: &Principal) -> AccountId {
    match who {
        Principal::Key { account, .. } | Principal::Guest { account, .. } => *account,
    }
}

fn lock(entries: &Entries) -> std::sync::MutexGuard<'_, HashMap<u64, Open>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}
