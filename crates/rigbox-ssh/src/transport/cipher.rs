//! Sealing and opening of packets with authenticated encryption alone: what is changed on the way is
//! never looked at.
//! Does not know what is in a packet.

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey,
    chacha20_poly1305_openssh as chacha,
};
use zeroize::Zeroizing;

use crate::error::SshError;

/// Bytes of a packet's length.
pub(super) const LENGTH: usize = 4;
/// Bytes of a tag.
pub(super) const TAG: usize = 16;

/// A cipher that both sides can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes256Gcm,
    Aes128Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    /// All of them, AES first: it is the faster one where the processor has it.
    pub(crate) const ALL: [Self; 3] = [Self::Aes256Gcm, Self::Aes128Gcm, Self::ChaCha20Poly1305];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes256-gcm@openssh.com",
            Self::Aes128Gcm => "aes128-gcm@openssh.com",
            Self::ChaCha20Poly1305 => "chacha20-poly1305@openssh.com",
        }
    }

    /// Bytes of key and of initial vector.
    pub(super) fn sizes(self) -> (usize, usize) {
        match self {
            Self::Aes256Gcm => (32, 12),
            Self::Aes128Gcm => (16, 12),
            Self::ChaCha20Poly1305 => (64, 0),
        }
    }

    fn gcm(self, key: &[u8], iv: &[u8]) -> Result<Gcm, SshError> {
        let algorithm: &Algorithm =
            if self == Self::Aes128Gcm { &AES_128_GCM } else { &AES_256_GCM };
        let wrong = || SshError::KeyExchange("a key has the wrong size");
        let key = UnboundKey::new(algorithm, key).map_err(|_| wrong())?;
        let (fixed, counter) = iv.split_first_chunk::<4>().ok_or_else(wrong)?;
        let counter = u64::from_be_bytes(counter.try_into().map_err(|_| wrong())?);
        Ok(Gcm { key: LessSafeKey::new(key), fixed: *fixed, counter })
    }

    pub(super) fn seal_with(self, key: &[u8], iv: &[u8]) -> Result<Sealing, SshError> {
        match self {
            Self::ChaCha20Poly1305 => Ok(Sealing::ChaCha(chacha::SealingKey::new(&*wide(key)?))),
            gcm => Ok(Sealing::Gcm(Box::new(gcm.gcm(key, iv)?))),
        }
    }

    pub(super) fn open_with(self, key: &[u8], iv: &[u8]) -> Result<Opening, SshError> {
        match self {
            Self::ChaCha20Poly1305 => Ok(Opening::ChaCha(chacha::OpeningKey::new(&*wide(key)?))),
            gcm => Ok(Opening::Gcm(Box::new(gcm.gcm(key, iv)?))),
        }
    }
}

fn wide(key: &[u8]) -> Result<Zeroizing<[u8; 64]>, SshError> {
    let key = key.try_into().map_err(|_| SshError::KeyExchange("a key has the wrong size"))?;
    Ok(Zeroizing::new(key))
}

/// A key of AES-GCM (RFC 5647): its nonce counts packets since the key was made.
pub(super) struct Gcm {
    key: LessSafeKey,
    fixed: [u8; 4],
    counter: u64,
}

impl Gcm {
    fn nonce(&mut self) -> Nonce {
        let [a, b, c, d] = self.fixed;
        let [e, f, g, h, i, j, k, l] = self.counter.to_be_bytes();
        // A key lasts for a fraction of 2^32 packets: no number comes twice.
        self.counter = self.counter.wrapping_add(1);
        Nonce::assume_unique_for_key([a, b, c, d, e, f, g, h, i, j, k, l])
    }
}

/// How packets are sealed.
pub(super) enum Sealing {
    /// Not at all, before keys are there.
    Clear,
    Gcm(Box<Gcm>),
    ChaCha(chacha::SealingKey),
}

impl Sealing {
    /// The size of which length, payload and padding together are a multiple, and whether the length
    /// counts towards it.
    pub(super) fn block(&self) -> (usize, bool) {
        match self {
            Self::Clear => (8, true),
            Self::Gcm(_) => (16, false),
            Self::ChaCha(_) => (8, false),
        }
    }

    /// Bytes that follow the packet.
    pub(super) fn tag(&self) -> usize {
        if matches!(self, Self::Clear) { 0 } else { TAG }
    }

    /// Seals `packet`: its length, what it says, and room for the tag.
    pub(super) fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SshError> {
        let odd = || SshError::Malformed("a packet is too small");
        match self {
            Self::Clear => Ok(()),
            Self::Gcm(gcm) => {
                let nonce = gcm.nonce();
                let (length, body) = packet.split_first_chunk_mut::<LENGTH>().ok_or_else(odd)?;
                let (body, tag) = body.split_last_chunk_mut::<TAG>().ok_or_else(odd)?;
                let made = gcm
                    .key
                    .seal_in_place_separate_tag(nonce, Aad::from(&*length), body)
                    .map_err(|_| SshError::Tampered)?;
                tag.copy_from_slice(made.as_ref());
                Ok(())
            }
            Self::ChaCha(key) => {
                let (body, tag) = packet.split_last_chunk_mut::<TAG>().ok_or_else(odd)?;
                key.seal_in_place(sequence, body, tag);
                Ok(())
            }
        }
    }
}

/// How packets are opened.
pub(super) enum Opening {
    /// They are not sealed yet.
    Clear,
    Gcm(Box<Gcm>),
    ChaCha(chacha::OpeningKey),
}

impl Opening {
    /// The size of which what follows the length (in the clear: what begins with it) is a multiple.
    pub(super) fn block(&self) -> (usize, bool) {
        match self {
            Self::Clear => (8, true),
            Self::Gcm(_) => (16, false),
            Self::ChaCha(_) => (8, false),
        }
    }

    /// Bytes that follow the packet.
    pub(super) fn tag(&self) -> usize {
        if matches!(self, Self::Clear) { 0 } else { TAG }
    }

    /// What the length says. Not verified before the packet is.
    pub(super) fn length(&self, sequence: u32, sealed: [u8; LENGTH]) -> u32 {
        u32::from_be_bytes(match self {
            Self::Clear | Self::Gcm(_) => sealed,
            Self::ChaCha(key) => key.decrypt_packet_length(sequence, sealed),
        })
    }

    /// Opens `packet`, its length and tag included; what it says is then in its place.
    pub(super) fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SshError> {
        let odd = || SshError::Malformed("a packet is too small");
        match self {
            Self::Clear => Ok(()),
            Self::Gcm(gcm) => {
                let nonce = gcm.nonce();
                let (length, body) = packet.split_first_chunk_mut::<LENGTH>().ok_or_else(odd)?;
                gcm.key
                    .open_in_place(nonce, Aad::from(&*length), body)
                    .map_err(|_| SshError::Tampered)?;
                Ok(())
            }
            Self::ChaCha(key) => {
                let (body, tag) = packet.split_last_chunk_mut::<TAG>().ok_or_else(odd)?;
                key.open_in_place(sequence, body, tag).map_err(|_| SshError::Tampered)?;
                Ok(())
            }
        }
    }
}
