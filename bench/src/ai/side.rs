//! Who passes calls on: where it listens, what it wants to be told, and which processes it has.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::product::Product;
use crate::{
    procfs::{self, Memory},
    running::Running,
};

/// What a side is called in rows: nobody, and ours. Peers have their own names.
pub(super) const DIRECT: &str = "direct";
pub(super) const RIGBOX: &str = "rigbox";

/// A side that runs.
pub(super) struct Side {
    pub(super) name: &'static str,
    /// Connections are spread over them.
    addresses: Vec<SocketAddr>,
    /// What it wants to be told with each call.
    pub(super) headers: HeaderMap,
    /// Its processes, with what they started; by name where there is more than one kind.
    processes: Vec<(&'static str, u32)>,
    /// Most streams that it can have open at once.
    pub(super) streams_max: u32,
    /// Calls that were answered in full.
    pub(super) answered: AtomicU64,
    kept: Kept,
}

/// What goes when the side goes.
enum Kept {
    Nothing,
    Product(Box<Product>),
    Peer { _running: Running },
}

impl Side {
    /// Nothing between client and upstream.
    pub(super) fn direct(upstream: SocketAddr) -> Self {
        Self::new(DIRECT, vec![upstream], Kept::Nothing)
    }

    /// Rigbox.
    pub(super) fn product(product: Product) -> Self {
        let processes = vec![("proxy", product.proxy.pid()), ("relay", product.relay.pid())];
        let addresses = product.addresses.clone();
        let side = Self::new(RIGBOX, addresses, Kept::Product(Box::new(product)));
        Self { processes, ..side }
    }

    /// A peer, and headers that it wants.
    pub(super) fn peer(
        name: &'static str,
        running: Running,
        headers: &[(&'static str, String)],
    ) -> Result<Self> {
        let (address, pid) = (running.address, running.pid());
        let side = Self::new(name, vec![address], Kept::Peer { _running: running });
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).context("a header's value")?;
            all.insert(HeaderName::from_static(name), value);
        }
        Ok(Self { processes: vec![(name, pid)], headers: all, ..side })
    }

    fn new(name: &'static str, addresses: Vec<SocketAddr>, kept: Kept) -> Self {
        let (headers, processes, answered) = (HeaderMap::new(), Vec::new(), AtomicU64::new(0));
        Self { name, addresses, headers, processes, streams_max: u32::MAX, answered, kept }
    }

    /// Where the connection of this number goes.
    pub(super) fn address(&self, nth: usize) -> Result<SocketAddr> {
        let at = nth % self.addresses.len().max(1);
        self.addresses.get(at).copied().context("a side that listens nowhere")
    }

    /// Kinds of its processes, where there is more than one.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let several = self.processes.len() > 1;
        self.processes.iter().map(|(kind, _)| *kind).filter(move |_| several)
    }

    /// Time that its processes were executed, or those of one kind.
    pub(super) fn executed(&self, kind: Option<&str>) -> Result<Duration> {
        self.pids(kind).map(procfs::executed).sum()
    }

    /// Memory of its processes, or of those of one kind.
    pub(super) fn memory(&self, kind: Option<&str>) -> Result<Memory> {
        let mut all = Memory { pss: 0, rss: 0 };
        for pid in self.pids(kind) {
            let memory = procfs::memory(pid)?;
            all = Memory { pss: all.pss + memory.pss, rss: all.rss + memory.rss };
        }
        Ok(all)
    }

    fn pids(&self, kind: Option<&str>) -> impl Iterator<Item = u32> {
        let wanted =
            self.processes.iter().filter(move |(of, _)| kind.is_none_or(|kind| kind == *of));
        wanted.flat_map(|(_, pid)| procfs::family(*pid))
    }

    /// Ends it, and looks whether it has done what it is there for.
    pub(super) async fn end(self) -> Result<()> {
        match self.kept {
            Kept::Product(product) => product.end(self.answered.load(Ordering::Relaxed)).await,
            Kept::Nothing | Kept::Peer { .. } => Ok(()),
        }
    }
}
