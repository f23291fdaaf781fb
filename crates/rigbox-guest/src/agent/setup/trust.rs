//! Whose certificates the guest's SSH server takes: the files that its configuration names.
//! Root's, and told again at every boot; without a trust there are none, and no certificate is taken.
//! Invariant: what is in them is one key and one name, whatever the document says: a line of the
//! server's may begin with options.

use std::io;

use rigbox_types::{Ed25519Key, host::SshTrust};

use super::Problems;
use crate::agent::{
    root::{Root, remove_if_there},
    users::User,
};

/// Where an image has its SSH server's configuration, if it has such a server.
const SERVER: &str = "/etc/ssh";
/// The key that signs certificates.
pub(super) const AUTHORITY: &str = "/etc/ssh/rigbox/authority.pub";
/// A file for each user whom certificates let in, with what they have to name.
const PRINCIPALS: &str = "/etc/ssh/rigbox/principals";

/// Longest principal. An id of a workspace has 11 characters.
const PRINCIPAL_MAX_LEN: usize = 64;

/// Makes the files those of the trust; says what could not be.
pub(super) fn write(root: &Root, user: &User, trust: Option<&SshTrust>) -> Vec<String> {
    let mut problems = Problems::default();
    if !root.exists(SERVER) {
        return problems.all;
    }
    let principals = format!("{PRINCIPALS}/{}", user.name);
    let files = trust.and_then(|trust| {
        let files = files(trust);
        if files.is_none() {
            problems.all.push("the SSH trust: not a key and a plain name".to_owned());
        }
        files
    });
    let Some((authority, principal)) = files else {
        for path in [AUTHORITY, &principals] {
            problems.note(path, remove_if_there(&root.path(path)));
        }
        return problems.all;
    };
    // In this order, a key is never trusted with somebody else's name.
    problems.note(&principals, line(root, &principals, &principal));
    problems.note(AUTHORITY, line(root, AUTHORITY, authority.as_str()));
    problems.all
}

/// What is written, of a trust that is sound.
fn files(trust: &SshTrust) -> Option<(Ed25519Key, String)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let SshTrust { authority, principal } = trust;
    let is_sound =
        (1..=PRINCIPAL_MAX_LEN).contains(&principal.len()) && principal.bytes().all(is_plain);
    authority.parse().ok().filter(|_| is_sound).map(|authority| (authority, principal.clone()))
}

/// The server reads them as the user who signs in.
fn line(root: &Root, path: &str, text: &str) -> io::Result<bool> {
    root.write_told(path, format!("{text}\n").as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaye/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ";
    const DEVELOPERS: &str = "/etc/ssh/rigbox/principals/developer";

    fn guest() -> (tempfile::TempDir, Root, User) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        root.make_dir("/etc/ssh").unwrap();
        let passwd = "developer:x:1000:1000::/home/developer:/bin/bash\n";
        root.write("/etc/passwd", passwd.as_bytes(), 0o644).unwrap();
        let user = User::default_of(&root);
        (folder, root, user)
    }

    fn trust(authority: &str, principal: &str) -> SshTrust {
        SshTrust { authority: authority.to_owned(), principal: principal.to_owned() }
    }

    fn has(root: &Root, expected: Option<(&str, &str)>) {
        let written = root.read(AUTHORITY).ok().zip(root.read(DEVELOPERS).ok());
        assert_eq!(written.as_ref().map(|(key, name)| (key.as_str(), name.as_str())), expected);
    }

    #[test]
    fn a_trust_is_two_files_of_one_line_that_everybody_reads() {
        let (_folder, root, user) = guest();
        let told = trust(KEY, "ws-aaaaaaaa");
        for _ in 0..2 {
            assert_eq!(write(&root, &user, Some(&told)), Vec::<String>::new());
            has(&root, Some((&format!("{KEY}\n"), "ws-aaaaaaaa\n")));
        }
        for path in [AUTHORITY, DEVELOPERS] {
            assert_eq!(fs::metadata(root.path(path)).unwrap().permissions().mode() & 0o777, 0o644);
        }
        let another = trust(KEY, "ws-bbbbbbbb");
        assert_eq!(write(&root, &user, Some(&another)), Vec::<String>::new());
        has(&root, Some((&format!("{KEY}\n"), "ws-bbbbbbbb\n")));
    }

    #[test]
    fn without_a_trust_there_are_no_files() {
        let (_folder, root, user) = guest();
        assert_eq!(write(&root, &user, None), Vec::<String>::new());
        write(&root, &user, Some(&trust(KEY, "ws-aaaaaaaa")));
        root.write("/etc/ssh/rigbox/principals/mine", b"somebody\n", 0o644).unwrap();
        assert_eq!(write(&root, &user, None), Vec::<String>::new());
        assert!(!root.exists(AUTHORITY) && !root.exists(DEVELOPERS));
        assert!(root.exists("/etc/ssh/rigbox/principals/mine"), "what somebody added stays");
    }

    #[test]
    fn what_is_no_key_or_no_plain_name_trusts_nobody() {
        let two_lines = format!("{KEY}\n{KEY}");
        let option = format!("cert-authority {KEY}");
        let long = "w".repeat(PRINCIPAL_MAX_LEN + 1);
        let names = ["", " ", "a b", "a\nroot", "a\0", "#a", "command=\"sh\" a", "a,b", "*", "ä"];
        let names = names.into_iter().chain([long.as_str()]).map(|name| trust(KEY, name));
        let keys = ["", "AAAA", two_lines.as_str(), option.as_str()];
        let keys = keys.iter().map(|key| trust(key, "ws-aaaaaaaa"));
        for wrong in names.chain(keys) {
            let (_folder, root, user) = guest();
            write(&root, &user, Some(&trust(KEY, "ws-aaaaaaaa")));
            assert_eq!(write(&root, &user, Some(&wrong)).len(), 1, "{wrong:?}");
            assert!(!root.exists(AUTHORITY) && !root.exists(DEVELOPERS), "{wrong:?}");
        }
    }

    #[test]
    fn a_guest_without_an_ssh_server_is_left_alone() {
        let (_folder, root, user) = guest();
        fs::remove_dir(root.path("/etc/ssh")).unwrap();
        assert_eq!(write(&root, &user, Some(&trust(KEY, "w"))), Vec::<String>::new());
        assert_eq!(write(&root, &user, None), Vec::<String>::new());
        assert!(!root.exists("/etc/ssh"));
    }
}
