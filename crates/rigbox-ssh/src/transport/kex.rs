//! The key exchange itself: X25519 with SHA-256 (RFC 8731), and the keys that come of it.
//! Invariant: a client believes the exchange only with a signature of the host key it knows.

use ring::{
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest::{Context, SHA256},
    rand::SystemRandom,
};
use zeroize::Zeroizing;

use super::{
    cipher::{Opening, Sealing},
    negotiation::{Agreed, Side},
};
use crate::{
    error::SshError,
    key::{HostKey, PublicKey},
    msg,
    wire::{Put as _, Reader},
};

/// What both sides said before: it is all signed.
pub(super) struct Said<'a> {
    pub(super) client_version: &'a [u8],
    pub(super) server_version: &'a [u8],
    pub(super) client_offer: &'a [u8],
    pub(super) server_offer: &'a [u8],
}

/// A secret, and the hash of everything it was agreed with.
pub(super) struct Secret {
    shared: Zeroizing<Vec<u8>>,
    pub(super) hash: [u8; 32],
}

/// Our half of an exchange.
pub(super) struct Half {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Half {
    pub(super) fn make() -> Result<Self, SshError> {
        let failed = || SshError::KeyExchange("no key could be made");
        let random = SystemRandom::new();
        let private = EphemeralPrivateKey::generate(&X25519, &random).map_err(|_| failed())?;
        let public = private.compute_public_key().map_err(|_| failed())?.as_ref().to_vec();
        Ok(Self { private, public })
    }

    /// What a client begins with.
    pub(super) fn init(&self) -> Vec<u8> {
        let mut out = vec![msg::KEX_ECDH_INIT];
        out.put_string(&self.public);
        out
    }

    /// A server's answer to a client's beginning, with the secret.
    pub(super) fn answer(
        self,
        said: &Said<'_>,
        init: &[u8],
        key: &HostKey,
    ) -> Result<(Vec<u8>, Secret), SshError> {
        let mut reader = Reader::new(init);
        if reader.u8()? != msg::KEX_ECDH_INIT {
            return Err(SshError::Malformed("a key exchange goes on with something else"));
        }
        let theirs = reader.string()?;
        reader.end()?;
        let shared = agree(self.private, theirs)?;
        let hash = hash(said, key.public(), theirs, &self.public, &shared);
        let mut out = vec![msg::KEX_ECDH_REPLY];
        out.put_string(key.public());
        out.put_string(&self.public);
        out.put_string(&key.sign(&hash));
        Ok((out, Secret { shared, hash }))
    }

    /// The secret that a client gets of a server's answer. The server has to have the key `known`.
    pub(super) fn finish(
        self,
        said: &Said<'_>,
        reply: &[u8],
        known: &PublicKey,
    ) -> Result<Secret, SshError> {
        let mut reader = Reader::new(reply);
        if reader.u8()? != msg::KEX_ECDH_REPLY {
            return Err(SshError::Malformed("a key exchange goes on with something else"));
        }
        let (key, theirs, signature) = (reader.string()?, reader.string()?, reader.string()?);
        reader.end()?;
        if key != known.blob() {
            return Err(SshError::HostKey);
        }
        let shared = agree(self.private, theirs)?;
        let hash = hash(said, key, &self.public, theirs, &shared);
        known.verify("ssh-ed25519", &hash, signature).map_err(|_| SshError::HostKey)?;
        Ok(Secret { shared, hash })
    }
}

fn agree(private: EphemeralPrivateKey, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, SshError> {
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    // Refuses keys of another length and those that lead to nothing (RFC 8731, section 3).
    agree_ephemeral(private, &theirs, |shared| Zeroizing::new(shared.to_vec()))
        .map_err(|_| SshError::KeyExchange("the other side's key is no key"))
}

fn hash(said: &Said<'_>, host_key: &[u8], client: &[u8], server: &[u8], shared: &[u8]) -> [u8; 32] {
    let mut all = Zeroizing::new(Vec::with_capacity(4_096));
    for each in [
        said.client_version,
        said.server_version,
        said.client_offer,
        said.server_offer,
        host_key,
        client,
        server,
    ] {
        all.put_string(each);
    }
    all.put_mpint(shared);
    sha256(&[&all])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

impl Secret {
    /// The keys to open and to seal with, of which `session` is the first hash of the connection.
    pub(super) fn keys(
        &self,
        session: &[u8; 32],
        agreed: &Agreed,
        ours: Side,
    ) -> Result<(Opening, Sealing), SshError> {
        let ((key, iv), (theirs, their_iv)) = match ours {
            Side::Client => ((b'C', b'A'), (b'D', b'B')),
            Side::Server => ((b'D', b'B'), (b'C', b'A')),
        };
        let (to_us, from_us) = match ours {
            Side::Client => (agreed.to_client, agreed.to_server),
            Side::Server => (agreed.to_server, agreed.to_client),
        };
        let (size, iv_size) = from_us.sizes();
        let sealing = from_us
            .seal_with(&self.expand(key, session, size), &self.expand(iv, session, iv_size))?;
        let (size, iv_size) = to_us.sizes();
        let opening = to_us.open_with(
            &self.expand(theirs, session, size),
            &self.expand(their_iv, session, iv_size),
        )?;
        Ok((opening, sealing))
    }

    /// RFC 4253, section 7.2.
    fn expand(&self, letter: u8, session: &[u8; 32], size: usize) -> Zeroizing<Vec<u8>> {
        let mut shared = Zeroizing::new(Vec::with_capacity(self.shared.len() + 5));
        shared.put_mpint(&self.shared);
        let mut out = Zeroizing::new(sha256(&[&shared, &self.hash, &[letter], session]).to_vec());
        while out.len() < size {
            let more = sha256(&[&shared, &self.hash, &out]);
            out.extend_from_slice(&more);
        }
        out.truncate(size);
        out
    }
}
