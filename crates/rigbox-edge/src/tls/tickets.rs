//! Session tickets without memory (RFC 5077, RFC 8446): sealed with AES-256-GCM under keys that all
//! edges share, so that a session goes on after a restart and at another edge.
//! Invariant: the first key seals, all open; without a key there are no tickets. A ticket ends when
//! its key is taken away, which is control's to do.
//!
//! A ticket is the key's name (16 bytes), a nonce (12), what is sealed, and a tag (16).

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rigbox_types::edge::TicketKey;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
    rand::{SecureRandom as _, SystemRandom},
};
use rustls::server::ProducesTickets;

const NAME_LEN: usize = 16;

/// Most keys that are tried.
const KEYS_MAX: usize = 8;

/// What clients are told of how long a ticket is good for: less than keys are kept.
const LIFETIME_S: u32 = 12 * 60 * 60;

/// Longest ticket that is looked at. A session has a chain only with client certificates.
const TICKET_MAX_BYTES: usize = 4 * 1024;

/// Seals and opens tickets.
pub(crate) struct Tickets {
    keys: ArcSwap<Vec<Key>>,
    random: SystemRandom,
}

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl Tickets {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { keys: ArcSwap::default(), random: SystemRandom::new() })
    }

    /// Replaces the keys. One that is none is left out.
    pub(crate) fn replace(&self, keys: &[TicketKey]) {
        let keys = keys.iter().take(KEYS_MAX).filter_map(|told| Key::derive(&told.secret));
        self.keys.store(Arc::new(keys.collect()));
    }
}

impl Key {
    fn derive(secret: &str) -> Option<Self> {
        let secret = unhex::<32>(secret)?;
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"rigbox session tickets").extract(&secret);
        let mut name = [0; NAME_LEN];
        key.expand(&[b"name"], Length(NAME_LEN)).ok()?.fill(&mut name).ok()?;
        let sealing = UnboundKey::from(key.expand(&[b"key"], &AES_256_GCM).ok()?);
        Some(Self { name, key: LessSafeKey::new(sealing) })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("keys", &self.keys.load().len()).finish_non_exhaustive()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        !self.keys.load().is_empty()
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let Key { name, key } = keys.first()?;
        // Random, as a counter would say how busy the edge is. 2^32 tickets of one key are far more
        // than are made of it before the next.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name),
                &mut sealed,
            )
            .ok()?;
        Some([name.as_slice(), &nonce, &sealed, tag.as_ref()].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX_BYTES {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.load();
        // The name is no secret: it is in every ticket.
        let Key { key, .. } = keys.iter().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?.len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

/// Reads so many bytes in hexadecimal.
pub(crate) fn unhex<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let digits = text.as_bytes();
    if digits.len() != LEN * 2 {
        return None;
    }
    let mut bytes = [0; LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use rigbox_types::Timestamp;

    use super::*;

    fn key(byte: &str) -> TicketKey {
        TicketKey { secret: byte.repeat(32), created_at: Timestamp::from_micros(0) }
    }

    #[test]
    fn a_ticket_opens_as_long_as_its_key_is_known() {
        let tickets = Tickets::new();
        assert!(!tickets.enabled());
        tickets.replace(&[key("01")]);
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(b"session".as_slice()));
        let other = Tickets::new();
        other.replace(&[key("02"), key("01")]);
        assert_eq!(other.decrypt(&ticket).as_deref(), Some(b"session".as_slice()), "elsewhere");
        other.replace(&[key("02")]);
        assert_eq!(other.decrypt(&ticket), None, "its key is gone");
    }

    #[test]
    fn a_ticket_that_was_changed_does_not_open() {
        let tickets = Tickets::new();
        tickets.replace(&[key("01")]);
        let ticket = tickets.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "first {at} bytes");
        }
    }
}
