//! Keys that were verified a moment ago, so that a burst of requests reads the store once.
//! Invariant: bounded in size, and in age: a removed key works for at most [`MAX_AGE`] more. Holds
//! digests, no keys.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rigbox_types::Principal;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::ApiKey;

/// How long a verified key is believed.
const MAX_AGE: Duration = Duration::from_secs(5);
/// Most keys that are remembered.
const MAX_LEN: usize = 1_024;

pub(super) struct Cache {
    entries: Mutex<HashMap<[u8; 32], (Instant, Principal)>>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::new(HashMap::new()) }
    }

    pub(super) fn find(&self, key: &ApiKey) -> Option<Principal> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, principal) = entries.get(&digest(key))?;
        (since.elapsed() < MAX_AGE).then(|| principal.clone())
    }

    pub(super) fn keep(&self, key: &ApiKey, principal: Principal) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
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
