//! OpenSSH keys and user certificates, as bytes (PROTOCOL.certkeys of OpenSSH). Pure.
//! Invariant: a certificate names one key, one workspace and minutes of validity.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rigbox_types::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const KEY: &str = "ssh-ed25519";
const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com";

/// A certificate for people, not for servers.
const USER: u32 = 1;

/// How long a certificate opens something. A session that was begun goes on after that.
const VALID_S: u64 = 5 * 60;

/// How far the clock of a workspace may be behind.
const SKEW_S: u64 = 5 * 60;

/// Length of an Ed25519 public key.
const POINT_LEN: usize = 32;

/// What the certificate lets a session do beside commands, in the order that the format asks for. What a
/// workspace's server has switched off stays off.
const EXTENSIONS: [&str; 5] = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// What a certificate says.
pub(super) struct Certificate<'a> {
    /// The session's key.
    pub(super) key: [u8; POINT_LEN],
    /// What the workspace's server writes into its log.
    pub(super) id: &'a str,
    /// Whom the server has to expect: the workspace's id.
    pub(super) principal: &'a str,
    /// When it is made.
    pub(super) now: Timestamp,
    /// So that no two are the same.
    pub(super) nonce: [u8; 32],
}

impl Certificate<'_> {
    /// The certificate, signed.
    pub(super) fn sign(&self, authority: &Ed25519KeyPair) -> Vec<u8> {
        let now = u64::try_from(self.now.as_micros() / 1_000_000).unwrap_or_default();
        let mut blob = Vec::with_capacity(512);
        put(&mut blob, CERTIFICATE.as_bytes());
        put(&mut blob, &self.nonce);
        put(&mut blob, &self.key);
        // The serial number, which nobody asks for.
        blob.extend_from_slice(&0_u64.to_be_bytes());
        blob.extend_from_slice(&USER.to_be_bytes());
        put(&mut blob, self.id.as_bytes());
        put(&mut blob, &listed(&[self.principal]));
        blob.extend_from_slice(&now.saturating_sub(SKEW_S).to_be_bytes());
        blob.extend_from_slice(&now.saturating_add(VALID_S).to_be_bytes());
        // Critical options: none.
        put(&mut blob, &[]);
        let extensions: Vec<&str> = EXTENSIONS.iter().flat_map(|name| [*name, ""]).collect();
        put(&mut blob, &listed(&extensions));
        // Reserved.
        put(&mut blob, &[]);
        put(&mut blob, &key_blob(authority.public_key().as_ref()));
        let mut signature = Vec::new();
        put(&mut signature, KEY.as_bytes());
        put(&mut signature, authority.sign(&blob).as_ref());
        put(&mut blob, &signature);
        blob
    }
}

/// A public key as `authorized_keys` has it, without a comment.
pub(super) fn line(point: &[u8]) -> String {
    format!("{KEY} {}", STANDARD.encode(key_blob(point)))
}

/// The public key in a line of that form; none where it is no Ed25519 key.
pub(super) fn point(line: &str) -> Option<[u8; POINT_LEN]> {
    let (kind, blob) = line.trim().split_once(' ')?;
    let blob = STANDARD.decode(blob.split(' ').next()?).ok()?;
    let point = blob.strip_prefix(key_head().as_slice())?.try_into().ok()?;
    (kind == KEY).then_some(point)
}

/// The public key as it goes over the wire.
pub(super) fn key_blob(point: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, KEY.as_bytes());
    put(&mut blob, point);
    blob
}

/// How every such key begins.
fn key_head() -> Vec<u8> {
    let mut head = Vec::new();
    put(&mut head, KEY.as_bytes());
    head.extend_from_slice(&[0, 0, 0, 32]);
    head
}

fn listed(texts: &[&str]) -> Vec<u8> {
    let mut list = Vec::new();
    for text in texts {
        put(&mut list, text.as_bytes());
    }
    list
}

fn put(out: &mut Vec<u8>, value: &[u8]) {
    // Everything here is some hundred bytes long.
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_was_written() {
        let point = [7; POINT_LEN];
        assert_eq!(super::point(&line(&point)), Some(point));
        assert_eq!(super::point(&format!("{} somebody", line(&point))), Some(point));
        for other in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5"] {
            assert_eq!(super::point(other), None, "{other}");
        }
    }

    #[test]
    fn ssh_keygen_reads_what_a_certificate_says() {
        let authority = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
        let session = Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap();
        let certificate = Certificate {
            key: session.public_key().as_ref().try_into().unwrap(),
            id: "rigbox ssh-key:1",
            principal: "ws-abc",
            now: Timestamp::from_micros(1_800_000_000_000_000),
            nonce: [9; 32],
        };
        let signed = certificate.sign(&authority);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id-cert.pub");
        fs::write(&path, format!("{CERTIFICATE} {}\n", STANDARD.encode(signed))).unwrap();
        // It checks the signature too.
        let shown = Command::new("ssh-keygen").arg("-L").arg("-f").arg(&path).output().unwrap();
        let said = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.status.success(), "{said}{}", String::from_utf8_lossy(&shown.stderr));
        for part in ["user certificate", "\"rigbox ssh-key:1\"", "ws-abc", "permit-pty"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(said.contains("Critical Options: (none)"), "{said}");
    }
}
