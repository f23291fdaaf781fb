//! What two sides agree on at the start of a key exchange (RFC 4253, section 7.1). Pure.

use super::cipher::Cipher;
use crate::{
    error::SshError,
    msg,
    wire::{Put as _, Reader},
};

/// Names of the one key exchange: the second is the one it had before it was standardised.
const KEX: [&str; 2] = ["curve25519-sha256", "curve25519-sha256@libssh.org"];
/// Kinds of host key.
const HOST_KEY: &str = "ssh-ed25519";
/// Named because some clients look for a common one; with authenticated encryption none is used.
const MACS: [&str; 2] = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"];
const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";
const EXTENSIONS_CLIENT: &str = "ext-info-c";
/// Most names in one list that are looked at.
const NAMES_MAX: usize = 256;

/// Which end of a connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What was agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// From the client to the server.
    pub(crate) to_server: Cipher,
    /// From the server to the client.
    pub(crate) to_client: Cipher,
    /// Whether the first message of the exchange that the other side has sent already was a wrong
    /// guess and is to be left out.
    pub(crate) skip_guess: bool,
}

/// Our offer. In the first exchange of a connection it asks for strict key exchange as well.
pub(crate) fn offer(side: Side, first: bool) -> Result<Vec<u8>, SshError> {
    let mut cookie = [0; 16];
    getrandom::fill(&mut cookie).map_err(|_| SshError::KeyExchange("no randomness"))?;
    let mut kex = KEX.to_vec();
    if first {
        kex.push(if side == Side::Client { STRICT_CLIENT } else { STRICT_SERVER });
    }
    let ciphers = Cipher::ALL.map(Cipher::name);
    let mut out = vec![msg::KEXINIT];
    out.extend_from_slice(&cookie);
    out.put_names(&kex);
    out.put_names(&[HOST_KEY]);
    out.put_names(&ciphers);
    out.put_names(&ciphers);
    out.put_names(&MACS);
    out.put_names(&MACS);
    // Neither compression nor languages.
    out.put_names(&["none"]);
    out.put_names(&["none"]);
    out.put_names(&[]);
    out.put_names(&[]);
    out.push(0);
    out.put_u32(0);
    Ok(out)
}

/// The other side's offer.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    kex: &'a str,
    host_key: &'a str,
    to_server: &'a str,
    to_client: &'a str,
    compression: [&'a str; 2],
    guess_follows: bool,
}

impl<'a> Offer<'a> {
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, SshError> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != msg::KEXINIT {
            return Err(SshError::Malformed("a key exchange begins with something else"));
        }
        reader.bytes(16)?;
        let (kex, host_key) = (reader.names()?, reader.names()?);
        let (to_server, to_client) = (reader.names()?, reader.names()?);
        reader.names()?;
        reader.names()?;
        let compression = [reader.names()?, reader.names()?];
        reader.names()?;
        reader.names()?;
        let guess_follows = reader.bool()?;
        reader.u32()?;
        reader.end()?;
        Ok(Self { kex, host_key, to_server, to_client, compression, guess_follows })
    }

    /// Whether the other side (which is not `ours`) keeps to strict key exchange.
    pub(crate) fn is_strict(&self, ours: Side) -> bool {
        let name = if ours == Side::Server { STRICT_CLIENT } else { STRICT_SERVER };
        has(self.kex, name)
    }

    /// Whether a client wants to be told what else we know.
    pub(crate) fn wants_extensions(&self) -> bool {
        has(self.kex, EXTENSIONS_CLIENT)
    }

    /// What both can speak, in the order that the client prefers.
    pub(crate) fn agree(&self, ours: Side, strict: bool) -> Result<Agreed, SshError> {
        choose("key exchange", ours, &KEX, self.kex)?;
        choose("kind of host key", ours, &[HOST_KEY], self.host_key)?;
        for list in self.compression {
            choose("compression", ours, &["none"], list)?;
        }
        // RFC 4253, section 7: a guess is right where both sides like the same best.
        let right =
            first(self.kex) == KEX.first().copied() && first(self.host_key) == Some(HOST_KEY);
        Ok(Agreed {
            to_server: cipher(ours, strict, self.to_server)?,
            to_client: cipher(ours, strict, self.to_client)?,
            skip_guess: self.guess_follows && !right,
        })
    }
}

/// Without strict key exchange, what is sent before the keys are there can be cut out of what
/// ChaCha20-Poly1305 protects afterwards (CVE-2023-48795).
fn cipher(ours: Side, strict: bool, theirs: &str) -> Result<Cipher, SshError> {
    let known: Vec<&str> = Cipher::ALL
        .into_iter()
        .filter(|cipher| strict || *cipher != Cipher::ChaCha20Poly1305)
        .map(Cipher::name)
        .collect();
    let name = choose("cipher", ours, &known, theirs)?;
    Cipher::ALL
        .into_iter()
        .find(|cipher| cipher.name() == name)
        .ok_or(SshError::KeyExchange("a cipher is unknown"))
}

fn choose<'k>(
    what: &'static str,
    ours: Side,
    known: &[&'k str],
    theirs: &str,
) -> Result<&'k str, SshError> {
    let found = if ours == Side::Client {
        known.iter().copied().find(|name| has(theirs, name))
    } else {
        theirs
            .split(',')
            .take(NAMES_MAX)
            .find_map(|name| known.iter().copied().find(|known| *known == name))
    };
    found.ok_or_else(|| SshError::NothingInCommon {
        what,
        offered: theirs.chars().filter(|c| !c.is_control()).take(200).collect(),
    })
}

fn first(list: &str) -> Option<&str> {
    list.split(',').next()
}

fn has(list: &str, name: &str) -> bool {
    list.split(',').take(NAMES_MAX).any(|each| each == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(kex: &str, ciphers: &str, guess: bool) -> Vec<u8> {
        let mut out = vec![msg::KEXINIT];
        out.extend_from_slice(&[0; 16]);
        for list in [kex, HOST_KEY, ciphers, ciphers, "", "", "zlib,none", "none", "", ""] {
            out.put_string(list.as_bytes());
        }
        out.push(u8::from(guess));
        out.put_u32(0);
        out
    }

    #[test]
    fn what_the_client_prefers_is_chosen() {
        let theirs = offered(KEX[1], "aes128-gcm@openssh.com,aes256-gcm@openssh.com", false);
        let agreed = Offer::read(&theirs).unwrap().agree(Side::Server, true).unwrap();
        assert_eq!((agreed.to_server, agreed.to_client), (Cipher::Aes128Gcm, Cipher::Aes128Gcm));
        let agreed = Offer::read(&theirs).unwrap().agree(Side::Client, true).unwrap();
        assert_eq!(agreed.to_client, Cipher::Aes256Gcm);
    }

    #[test]
    fn a_prefix_can_be_cut_off_nobody() {
        let chacha = Cipher::ChaCha20Poly1305.name();
        let theirs = offered(KEX[0], chacha, false);
        let offer = Offer::read(&theirs).unwrap();
        assert!(!offer.is_strict(Side::Server));
        let error = offer.agree(Side::Server, false).unwrap_err().to_string();
        assert!(error.contains("cipher") && error.contains(chacha), "{error}");
        let strict = offered(&format!("{},{STRICT_CLIENT}", KEX[0]), chacha, false);
        let offer = Offer::read(&strict).unwrap();
        assert!(offer.is_strict(Side::Server) && !offer.is_strict(Side::Client));
        offer.agree(Side::Server, true).unwrap();
    }

    #[test]
    fn a_wrong_guess_is_skipped_and_a_right_one_is_not() {
        let gcm = Cipher::Aes256Gcm.name();
        for (kex, skip) in [(format!("other,{}", KEX[0]), true), (KEX[0].to_owned(), false)] {
            let theirs = offered(&kex, gcm, true);
            let agreed = Offer::read(&theirs).unwrap().agree(Side::Server, true).unwrap();
            assert_eq!(agreed.skip_guess, skip, "{kex}");
        }
    }

    #[test]
    fn ours_can_be_read() {
        for side in [Side::Client, Side::Server] {
            let ours = offer(side, true).unwrap();
            let read = Offer::read(&ours).unwrap();
            let other = if side == Side::Client { Side::Server } else { Side::Client };
            assert!(read.is_strict(other));
            read.agree(other, true).unwrap();
        }
    }
}
