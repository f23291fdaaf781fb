//! Keys that were verified a moment ago, so that a burst of requests reads the store once.
//! Invariant: bounded in size, and in age: a removed key works for at most [`MAX_AGE`] more, and a
//! key of an account that this process disables no longer at all. Holds digests, no keys.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rigbox_types::{AccountId, Principal};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::ApiKey;

/// How long a verified key is believed.
const MAX_AGE: Duration = Duration::from_secs(5);
/// Most keys that are remembered.
const MAX_LEN: usize = 1_024;

pub(super) struct Cache {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<[u8; 32], (Instant, Principal)>,
    /// How often an account was forgotten.
    forgotten: u64,
}

/// The moment at which a key was looked up: what was found before an account was forgotten is not
/// kept after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look(u64);

impl Cache {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::default() }
    }

    pub(super) fn find(&self, key: &ApiKey) -> Option<Principal> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, principal) = entries.by_key.get(&digest(key))?;
        (since.elapsed() < MAX_AGE).then(|| principal.clone())
    }

    /// To be called before a key is looked up.
    pub(super) fn look(&self) -> Look {
        Look(self.entries.lock().unwrap_or_else(PoisonError::into_inner).forgotten)
    }

    pub(super) fn forget(&self, account: AccountId) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.forgotten = entries.forgotten.wrapping_add(1);
        entries.by_key.retain(|_, (_, principal)| match principal {
            Principal::Key { account: owner, .. } | Principal::Guest { account: owner, .. } => {
                *owner != account
            }
        });
    }

    pub(super) fn keep(&self, key: &ApiKey, principal: Principal, look: Look) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if look != Look(entries.forgotten) {
            return;
        }
        let entries = &mut entries.by_key;
        if entries.len() >= MAX_LEN {
            entries.retain(|_, (since, _)| since.elapsed() < MAX_AGE);
        }
        // Still full means more live keys than are worth remembering.
        if entries.len() < MAX_LEN {
            entries.insert(digest(key), (Instant::now(), principal));
        }
    }
}

/// A key has 256 random bits: how far a lookup of its digest comes tells nothing about it.
fn digest(key: &ApiKey) -> [u8; 32] {
    Sha256::digest(key.text().expose_secret().as_bytes()).into()
}
