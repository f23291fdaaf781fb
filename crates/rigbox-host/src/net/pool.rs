//! Namespaces that are made before they are needed, and who has which.
//! Invariant: a slot is free, ready, or taken by one workspace. Only names of this instance are
//! touched. Does not know workspaces beyond their slots (records do).

use std::{
    collections::BTreeSet,
    fs, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rigbox_types::host::Egress;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{NetError, address::Cidr, enter::Namespace, namespace, rules};
use crate::{
    Layout,
    exec::Run,
    layout::{NETNS_DIR, netns_path},
};

/// Pause after a namespace could not be made.
const RETRY: Duration = Duration::from_secs(5);

/// The namespaces of one instance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    cidr: Cidr,
    size: usize,
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Made, and nobody's.
    ready: BTreeSet<u32>,
    /// Being made, or of a workspace.
    taken: BTreeSet<u32>,
    /// Taken, with a namespace that nobody has used.
    fresh: BTreeSet<u32>,
}

impl Pool {
    /// A pool that knows the slots of all records.
    pub(crate) fn new(layout: Layout, cidr: Cidr, size: u32, taken: BTreeSet<u32>) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let state = Mutex::new(State { taken, ..State::default() });
        Self(Arc::new(Inner { layout, cidr, size, state, wanted: Notify::new() }))
    }

    /// Picks a slot, one with a namespace that is ready if there is one. The caller writes it down
    /// before it uses it.
    pub(crate) fn reserve(&self) -> Result<u32, NetError> {
        let slot = self.0.with(|state| {
            let ready = state.ready.pop_first();
            state.fresh.extend(ready);
            let slot = ready.or_else(|| state.free(self.0.cidr.slots()));
            state.taken.extend(slot);
            slot
        });
        self.0.wanted.notify_one();
        slot.ok_or_else(|| NetError::NoFreeSlot { slots: self.0.cidr.slots() })
    }

    /// Gives a slot back that was never written down, or whose namespace is gone.
    pub(crate) fn give_back(&self, slot: u32) {
        self.0.with(|state| {
            state.taken.remove(&slot);
            if state.fresh.remove(&slot) {
                state.ready.insert(slot);
            }
        });
    }

    /// Opens the namespace of a slot with its tap given away and this policy in force; makes it
    /// anew unless it came unused from the pool: nobody knows what was done to another.
    pub(crate) async fn make(
        &self,
        slot: u32,
        uid: u32,
        policy: &Egress,
    ) -> Result<Namespace, NetError> {
        if !self.0.with(|state| state.fresh.remove(&slot)) {
            namespace::make(&self.0.layout, self.0.cidr, slot).await?;
        }
        let namespace = namespace::take(&self.0.layout, slot, uid).await?;
        if *policy != Egress::default() {
            apply_egress(&namespace, policy).await?;
        }
        Ok(namespace)
    }

    /// Removes the namespace of a slot.
    pub(crate) async fn remove(&self, slot: u32) -> Result<(), NetError> {
        namespace::remove(&self.0.layout, slot).await
    }

    /// Removes what a slot has that is nobody's. False where it came to be somebody's meanwhile.
    pub(crate) async fn remove_stray(&self, slot: u32) -> Result<bool, NetError> {
        let is_ours = self.0.with(|state| !state.ready.contains(&slot) && state.taken.insert(slot));
        if !is_ours {
            return Ok(false);
        }
        let removed = self.remove(slot).await;
        self.give_back(slot);
        removed.map(|()| true)
    }

    /// Slots with a namespace or a veth that are neither ready nor taken: not before the look, nor
    /// after it. One that is being made or removed meanwhile is known at one of the two.
    pub(crate) fn strays(&self) -> io::Result<Vec<u32>> {
        let known = || {
            self.0.with(|state| state.ready.union(&state.taken).copied().collect::<BTreeSet<_>>())
        };
        let before = known();
        let there = there(&self.0.layout)?;
        let after = known();
        Ok(there
            .into_iter()
            .filter(|slot| !before.contains(slot) && !after.contains(slot))
            .collect())
    }

    /// Slots that count as ready but whose namespace is gone; they count no longer.
    pub(crate) fn drop_missing(&self) -> usize {
        let layout = &self.0.layout;
        let missing = self.0.with(|state| {
            let before = state.ready.len();
            state.ready.retain(|slot| netns_path(&layout.netns(*slot)).exists());
            before - state.ready.len()
        });
        self.0.wanted.notify_one();
        missing
    }

    /// Keeps namespaces ready until `shutdown`.
    pub(crate) async fn fill(&self, shutdown: CancellationToken) {
        loop {
            let slot = self.0.with(|state| {
                let slot = (state.ready.len() < self.0.size)
                    .then(|| state.free(self.0.cidr.slots()))
                    .flatten();
                state.taken.extend(slot);
                slot
            });
            let Some(slot) = slot else {
                match shutdown.run_until_cancelled(self.0.wanted.notified()).await {
                    Some(()) => continue,
                    None => return,
                }
            };
            let made = namespace::make(&self.0.layout, self.0.cidr, slot).await;
            self.0.with(|state| {
                state.taken.remove(&slot);
                if made.is_ok() {
                    state.ready.insert(slot);
                }
            });
            if let Err(error) = made {
                tracing::warn!(slot, error = %crate::trouble::StepError::from(error).chain(),
                    "namespace not made ahead");
                if shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                    return;
                }
            }
            if shutdown.is_cancelled() {
                return;
            }
        }
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> usize {
        self.0.with(|state| state.ready.len())
    }
}

impl Inner {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn free(&self, slots: u32) -> Option<u32> {
        (0..slots).find(|slot| !self.ready.contains(slot) && !self.taken.contains(slot))
    }
}

/// Replaces the egress policy of a namespace.
pub(crate) async fn apply_egress(namespace: &Namespace, policy: &Egress) -> Result<(), NetError> {
    let text = rules::egress(policy);
    let nft = Run::new("nft", &["-f", "-"]).input(&text).within(namespace.fd());
    nft.output().await.map(drop).map_err(NetError::tool("set", "egress rules"))
}

/// Makes the egress policy of a namespace that a former agent has set up the given one. One that is
/// in force already is not touched, so that what names resolved to stays let through.
pub(crate) async fn adopt_egress(namespace: &Namespace, policy: &Egress) -> Result<(), NetError> {
    let list = ["list", "chain", "inet", "rigbox", "egress"];
    let listed = Run::new("nft", &list).within(namespace.fd()).output().await;
    let listed = listed.map_err(NetError::tool("list", "egress rules"))?;
    if listed.contains(&rules::mark(policy)) {
        return Ok(());
    }
    apply_egress(namespace, policy).await
}

/// Slots of this instance that have a namespace or a veth.
pub(crate) fn there(layout: &Layout) -> io::Result<BTreeSet<u32>> {
    let mut slots = BTreeSet::new();
    let places = [(NETNS_DIR, layout.netns_prefix()), ("/sys/class/net", layout.veth_prefix())];
    for (dir, prefix) in places {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            slots.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
    }
    Ok(slots)
}
