//! The authoritative DNS of the platform's challenges: answers for delegated zones such as
//! `_acme-challenge.example.com`, and for nothing else.
//! Invariants: nothing is looked up for anybody; an answer over UDP is at most [`UDP_MAX_BYTES`] long
//! and, to whoever asks too much, no longer than the question; rates, connections, sizes and waits
//! have limits; what cannot be read is answered with its id alone or not at all.
//! Does not choose records: whoever holds [`Records`] swaps them.

mod answer;
mod rates;
mod serve;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use hickory_proto::rr::Name;

pub use serve::Responder;

/// Longest answer over UDP: what passes every network in one piece (the DNS flag day's number).
pub const UDP_MAX_BYTES: u16 = 1232;

/// Most names of a set of records; what is beyond is not answered.
pub const NAMES_MAX: usize = 4096;

/// Most values of one name; what is beyond is not answered. An authority asks for two.
pub const VALUES_MAX: usize = 32;

/// Most bytes of one value.
pub const VALUE_MAX_BYTES: usize = 255;

/// A zone that was delegated to us.
#[derive(Debug, Clone)]
pub struct Zone {
    origin: Name,
    name_server: Name,
}

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name that DNS can hold")]
pub struct InvalidName(String);

impl Zone {
    /// A zone and the name of the server (us) that its parent delegates it to.
    ///
    /// # Errors
    /// Where one is no name.
    pub fn new(origin: &str, name_server: &str) -> Result<Self, InvalidName> {
        Ok(Self { origin: absolute(origin)?, name_server: absolute(name_server)? })
    }
}

fn absolute(text: &str) -> Result<Name, InvalidName> {
    let invalid = || InvalidName(text.to_owned());
    let mut name = Name::from_ascii(text).map_err(|_| invalid())?;
    if name.is_root() {
        return Err(invalid());
    }
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

/// The TXT records that are answered now; shared with whoever changes them.
#[derive(Debug, Clone, Default)]
pub struct Records {
    set: Arc<ArcSwap<BTreeMap<Name, Vec<String>>>>,
}

impl Records {
    /// Puts other records in the place of all that are. A name is written without last dot, in
    /// whatever case; what is no name or beyond the limits is left out, and counted in the answer.
    pub fn replace<'a>(&self, records: impl IntoIterator<Item = (&'a str, &'a str)>) -> usize {
        let mut set: BTreeMap<Name, Vec<String>> = BTreeMap::new();
        let mut left_out = 0;
        for (name, value) in records {
            let Ok(name) = absolute(name) else {
                left_out += 1;
                continue;
            };
            let room = set.len() < NAMES_MAX || set.contains_key(&name);
            if !room || value.len() > VALUE_MAX_BYTES {
                left_out += 1;
                continue;
            }
            let values = set.entry(name).or_default();
            match values.len() < VALUES_MAX && !values.iter().any(|known| known == value) {
                true => values.push(value.to_owned()),
                false => left_out += 1,
            }
        }
        self.set.store(Arc::new(set));
        left_out
    }
}
