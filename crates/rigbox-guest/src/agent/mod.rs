//! The agent inside a workspace: an HTTP server that nothing in the guest's network can reach.
//! Owns nothing that is not written down: it may be ended and started at any time.
//! Invariant: it waits for nobody for ever and buffers nothing without a limit, whoever asks.
//! Does not decide what a workspace should be (the host says so) and holds no secret of the
//! platform.

mod clock;
mod environment;
mod exchange;
mod exec;
mod files;
mod freeze;
mod hello;
mod journal;
mod kernel;
mod linger;
mod listen;
mod logs;
mod metrics;
mod notify;
mod ports;
mod program;
mod query;
mod refusal;
mod root;
mod routes;
mod services;
mod setup;
mod sys;
mod users;
mod wrap;

use std::{io, ops::Deref, path::PathBuf, sync::Arc};

use rigbox_types::guest::SystemState;
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

pub use self::listen::Listen;
use self::{
    exec::Sessions, freeze::Freezer, kernel::Kernel, metrics::Sampler, root::Root, setup::Setup,
};

/// Most requests that are served at once, on all transports together.
const REQUESTS_MAX: usize = 160;

/// Most logs that are followed at once: each is a `journalctl`.
const FOLLOWERS_MAX: usize = 16;

/// How an agent runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `/` is. Anything but `/` is a test: the machine itself is left alone.
    pub root: PathBuf,
    /// Where it listens.
    pub listen: Listen,
}

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guest {
    state: Arc<State>,
}

pub(crate) struct State {
    pub(crate) root: Root,
    pub(crate) boot_id: String,
    pub(crate) kernel: Kernel,
    pub(crate) setup: Setup,
    pub(crate) exec: Sessions,
    pub(crate) freezer: Freezer,
    pub(crate) sampler: Sampler,
    pub(crate) system: watch::Sender<SystemState>,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) starts: Arc<Semaphore>,
}

impl Deref for Guest {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl Guest {
    fn new(root: PathBuf) -> Self {
        let root = Root::new(root);
        let boot_id = boot_id(&root);
        let state = State {
            kernel: Kernel::new(root.clone()),
            setup: Setup::load(&root, &boot_id),
            exec: Sessions::default(),
            freezer: Freezer::default(),
            sampler: Sampler::default(),
            system: watch::Sender::new(SystemState::Unknown),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            starts: Arc::new(Semaphore::new(exec::STARTS_MAX)),
            boot_id,
            root,
        };
        Self { state: Arc::new(state) }
    }
}

/// Serves until the guest ends (for a test: until it is told to shut down).
///
/// # Errors
/// When it can listen nowhere.
pub async fn run(config: Config) -> io::Result<()> {
    let guest = Guest::new(config.root);
    guest.kernel.thaw_left();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let serving = listen::serve(guest.clone(), config.listen);
    let preparing = async {
        setup::begin(&guest).await;
        if let Err(error) = notify::ready() {
            warn!(%error, "systemd not told that we are ready");
        }
        info!(version = env!("CARGO_PKG_VERSION"), "agent is ready");
        services::watch_boot(&guest).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = serving => ended,
        () = preparing => Ok(()),
        () = guest.kernel.ended() => {
            // Long enough for the answer to be on its way.
            tokio::time::sleep(routes::SHUTDOWN_DELAY).await;
            Ok(())
        }
    }
}

/// The kernel's id of this boot; for a test's root that has none, the machine's.
fn boot_id(root: &Root) -> String {
    let id = root.read("/proc/sys/kernel/random/boot_id");
    let id = id.or_else(|_| std::fs::read_to_string("/proc/sys/kernel/random/boot_id"));
    id.unwrap_or_default().trim().to_owned()
}
