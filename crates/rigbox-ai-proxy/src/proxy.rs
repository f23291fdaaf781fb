//! What all calls share.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use rigbox_ai::{prices::Table, vault::Vault};
use rigbox_store::Store;

use crate::{
    free::FreeCalls, hang_up::Calls, journal::Journal, metrics::Metrics, places::Places,
    provider::Providers, purse::Purse, subject::Subjects,
};

/// See the module.
pub(crate) struct Proxy {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) providers: Providers,
    /// Replaced as a whole; a call keeps the one that it began with.
    pub(crate) prices: ArcSwap<Table>,
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) purse: Purse,
    pub(crate) journal: Journal,
    pub(crate) subjects: Subjects,
    pub(crate) places: Places,
    pub(crate) free: FreeCalls,
    pub(crate) calls: Calls,
    pub(crate) metrics: Arc<Metrics>,
}
