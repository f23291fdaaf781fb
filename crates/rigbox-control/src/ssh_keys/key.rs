//! Public SSH keys as people paste them. Pure.
//! Invariant: a key that is kept is one line `type blob comment` without options, so that it can be
//! written to an `authorized_keys` file as it is.

use base64::{Engine as _, engine::general_purpose};
use rigbox_types::{api::ssh_keys::SshKeyEntry, limits::SSH_KEY_MAX_LEN};
use sha2::{Digest as _, Sha256};

use crate::{error::Invalid, validate::text};

const FIELD: &str = "public_key";
/// Fewest bits of an RSA key: OpenSSH's own limit is 1,024, what is still held to be safe is more.
const RSA_MIN_BITS: usize = 2_048;
/// Most: what the gateway verifies.
const RSA_MAX_BITS: usize = 8_192;

/// The kinds that the SSH gateway takes, and how many fields follow the name in the blob.
const KINDS: &[(&str, usize)] = &[
    ("ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ssh-rsa", 2),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

/// A key that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// `type blob comment`.
    pub(crate) line: String,
    /// Type, fingerprint and comment.
    pub(crate) entry: SshKeyEntry,
}

/// Reads one line as in `id_ed25519.pub`.
pub(crate) fn parse(text: &str) -> Result<PublicKey, Invalid> {
    let text = text.trim();
    if text.len() > SSH_KEY_MAX_LEN {
        return Err(Invalid::new(FIELD, format!("may have at most {SSH_KEY_MAX_LEN} bytes")));
    }
    if text.contains("PRIVATE KEY") {
        return Err(Invalid::new(FIELD, "is a private key: send the file that ends in .pub"));
    }
    text::check_line(FIELD, text)?;
    let mut words = text.splitn(3, ' ').map(str::trim);
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let comment = words.next().unwrap_or_default();
    let Some((kind, fields)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let rule = format!("must begin with one of {}", known.join(", "));
        return Err(Invalid::new(FIELD, rule));
    };
    let malformed = || Invalid::new(FIELD, format!("has no {kind} key after its type"));
    let bytes = general_purpose::STANDARD.decode(blob).map_err(|_| malformed())?;
    let parts = split_blob(&bytes).ok_or_else(malformed)?;
    let Some((name, values)) = parts.split_first() else { return Err(malformed()) };
    if *name != kind.as_bytes() || values.len() != *fields || values.iter().any(|v| v.is_empty()) {
        return Err(malformed());
    }
    check_strength(kind, values)?;
    let digest = general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(&bytes));
    let line = if comment.is_empty() {
        format!("{kind} {blob}")
    } else {
        format!("{kind} {blob} {comment}")
    };
    let entry = SshKeyEntry {
        key_type: (*kind).to_owned(),
        fingerprint: format!("SHA256:{digest}"),
        comment: comment.to_owned(),
    };
    Ok(PublicKey { line, entry })
}

fn check_strength(kind: &str, values: &[&[u8]]) -> Result<(), Invalid> {
    let [.., last] = values else { return Ok(()) };
    // The modulus is the last field and may begin with a zero byte for its sign.
    let bits = last.iter().skip_while(|byte| **byte == 0).count().saturating_mul(8);
    match kind {
        "ssh-rsa" if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) => {
            let rule =
                format!("is an RSA key of {bits} bits: must have {RSA_MIN_BITS} to {RSA_MAX_BITS}");
            Err(Invalid::new(FIELD, rule))
        }
        "ssh-ed25519" if last.len() != 32 => {
            Err(Invalid::new(FIELD, "has no ssh-ed25519 key after its type"))
        }
        _ => Ok(()),
    }
}

/// The length-prefixed fields of a key's blob; none when they do not fill it exactly.
fn split_blob(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        parts.push(part);
        bytes = rest;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFe/Ax+M0FkUbzSDx7IV3PX2Wul55/mgElLv5gyGQK0b";

    #[test]
    fn a_key_is_kept_as_one_line_with_its_fingerprint() {
        let key = parse(&format!("  {ED25519} me@laptop (work)\n")).unwrap();
        assert_eq!(key.line, format!("{ED25519} me@laptop (work)"));
        assert_eq!(key.entry.comment, "me@laptop (work)");
        assert_eq!(key.entry.key_type, "ssh-ed25519");
        // What `ssh-keygen -l` says of it.
        assert_eq!(key.entry.fingerprint, "SHA256:Mh4Z8uHIKavz9O56v+r1IT7wfy2nKSWsAijncqI3DUI");
        assert_eq!(parse(ED25519).unwrap().entry.fingerprint, key.entry.fingerprint);
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let option = format!("command=\"id\" {ED25519}");
        let two = format!("{ED25519}\n{ED25519}");
        let other = ED25519.replace("ssh-ed25519", "ssh-rsa");
        let cut = ED25519.get(..60).unwrap();
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!!",
            "ssh-dss AAAA",
            &option,
            &two,
            &other,
            cut,
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
