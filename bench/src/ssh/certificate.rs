//! Certificates for sessions, as the platform signs them (OpenSSH, PROTOCOL.certkeys), and the files of
//! keys that OpenSSH reads.

use anyhow::{Context, Result, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{Ed25519KeyPair, KeyPair as _},
};

const PLAIN: &[u8] = b"ssh-ed25519";
const CERTIFICATE: &[u8] = b"ssh-ed25519-cert-v01@openssh.com";
/// What a certificate is for: somebody, not a host.
const USER: u32 = 1;

/// Whose certificates the workspace's server accepts.
pub(super) struct Authority(Ed25519KeyPair);

impl Authority {
    pub(super) fn new() -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.map_err(|_| anyhow!("no randomness"))?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref());
        Ok(Self(pair.map_err(|error| anyhow!("no key: {error}"))?))
    }

    /// The line of its public key.
    pub(super) fn line(&self) -> String {
        format!("ssh-ed25519 {}\n", STANDARD.encode(self.public()))
    }

    fn public(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, PLAIN);
        put(&mut out, self.0.public_key().as_ref());
        out
    }

    /// A certificate for the key of a session, for as long as anybody measures.
    pub(super) fn sign(&self, session: &[u8], principal: &str) -> Result<Vec<u8>> {
        let key = session.last_chunk::<32>().context("a session's key")?;
        let mut nonce = [0; 32];
        SystemRandom::new().fill(&mut nonce).map_err(|_| anyhow!("no randomness"))?;
        let (mut principals, mut extensions) = (Vec::new(), Vec::new());
        put(&mut principals, principal.as_bytes());
        for name in ["permit-port-forwarding", "permit-pty"] {
            put(&mut extensions, name.as_bytes());
            put(&mut extensions, b"");
        }
        let mut out = Vec::new();
        put(&mut out, CERTIFICATE);
        put(&mut out, &nonce);
        put(&mut out, key);
        out.extend_from_slice(&0_u64.to_be_bytes());
        out.extend_from_slice(&USER.to_be_bytes());
        put(&mut out, b"session");
        put(&mut out, &principals);
        out.extend_from_slice(&0_u64.to_be_bytes());
        out.extend_from_slice(&u64::MAX.to_be_bytes());
        put(&mut out, b"");
        put(&mut out, &extensions);
        put(&mut out, b"");
        put(&mut out, &self.public());
        let mut signature = Vec::new();
        put(&mut signature, PLAIN);
        put(&mut signature, self.0.sign(&out).as_ref());
        put(&mut out, &signature);
        Ok(out)
    }
}

/// The bytes of a public key's line.
pub(super) fn blob(line: &str) -> Result<Vec<u8>> {
    let key = line.split_whitespace().nth(1).context("a line without a key")?;
    STANDARD.decode(key).context("a key that is no base64")
}

fn put(out: &mut Vec<u8>, value: &[u8]) {
    // Nothing here comes near 4 GiB.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}
