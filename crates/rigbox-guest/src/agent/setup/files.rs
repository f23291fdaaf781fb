//! The files of a workspace that the host's documents become.
//! Root's files are written as root; those in a home with the rights of its user, so that a link
//! that the user puts there leads nowhere it could not go by itself.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rigbox_types::{RegionName, Timestamp, WorkspaceId, WorkspaceName, host::GuestSetup};
use serde::Serialize;

use super::{Problems, services, trust};
use crate::agent::{
    environment,
    root::{Root, read_text, write_told, write_whole},
    sys::rights::with_rights_of,
    users::User,
};

/// The metadata file.
pub(super) const METADATA: &str = "/etc/rigbox/workspace.json";

const PROFILE: &str = "/etc/profile.d/rigbox.sh";
const BASHRC: &str = "/etc/bash.bashrc";

/// Loads the environment of whoever opens the shell. `-O`: only their own files, so that no user
/// runs what another has written; root's is everybody's.
const PROFILE_TEXT: &str = "\
# Made by Rigbox: loads the environment of the workspace.
if [ -r /etc/rigbox/ai.env ]; then set -a; . /etc/rigbox/ai.env; set +a; fi
for rigbox_env in \"$HOME/.rigbox/.env\" \"$HOME/.rigbox/proxy.env\"; do
  if [ -O \"$rigbox_env\" ] && [ -r \"$rigbox_env\" ]; then set -a; . \"$rigbox_env\"; set +a; fi
done
unset rigbox_env
";

/// Bash reads its system-wide file for `ssh host command` too, before the line that leaves a shell
/// without a prompt alone, as long as ours is above that.
const BASHRC_LINE: &str =
    "[ -r /etc/profile.d/rigbox.sh ] && . /etc/profile.d/rigbox.sh # rigbox\n";

const KEYS_BEGIN: &str = "# rigbox: begin (lines up to the end mark are replaced)";
const KEYS_END: &str = "# rigbox: end";

/// Longest public key line. An RSA key of 16,384 bits with a comment has under 3,000.
const KEY_MAX_BYTES: usize = 8192;

#[derive(Serialize)]
struct Metadata<'a> {
    id: &'a WorkspaceId,
    name: &'a WorkspaceName,
    region: &'a RegionName,
    api_url: &'a str,
    created_at: Timestamp,
}

/// Writes all of them; says what could not be.
pub(super) fn write(
    root: &Root,
    user: &User,
    workspace: &WorkspaceId,
    setup: &GuestSetup,
) -> Vec<String> {
    let mut problems = Problems::default();
    problems.note("the metadata file", metadata(root, workspace, setup));
    let name = setup.name.as_str();
    problems.note(
        "/etc/hostname",
        root.write_told("/etc/hostname", format!("{name}\n").as_bytes(), 0o644),
    );
    let hosts = hosts(&root.read_or_empty("/etc/hosts"), name);
    problems.note("/etc/hosts", root.write_told("/etc/hosts", hosts.as_bytes(), 0o644));
    problems.note("the shell's profile", profile(root));
    problems.note("the environment", with_rights_of(user, || env(root, user, &setup.env)));
    let proxy = with_rights_of(user, || proxy_env(root, user, setup.proxy_env.as_ref()));
    problems.note("the environment of AI", proxy);
    let of_services = services::write(root, setup.proxy_env.as_ref());
    problems.note("the environment of AI for services", of_services);
    let keys = with_rights_of(user, || authorized_keys(root, user, &setup.authorized_keys));
    problems.note("authorized_keys", keys);
    problems.all.extend(trust::write(root, user, setup.ssh.as_ref()));
    problems.all
}

/// The id that the metadata file of this disk names.
pub(super) fn workspace_of_disk(root: &Root) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_str(&root.read(METADATA).ok()?).ok()?;
    metadata.get("id").and_then(|id| id.as_str()).map(str::to_owned)
}

fn metadata(root: &Root, workspace: &WorkspaceId, setup: &GuestSetup) -> io::Result<bool> {
    let metadata = Metadata {
        id: workspace,
        name: &setup.name,
        region: &setup.region,
        api_url: &setup.api_url,
        created_at: setup.created_at,
    };
    let mut text = serde_json::to_vec_pretty(&metadata)?;
    text.push(b'\n');
    root.write(METADATA, &text, 0o644)
}

/// The hosts file with our line for the host's own name; the user's lines are kept.
fn hosts(current: &str, name: &str) -> String {
    let is_ours = |line: &str| line.split_whitespace().next() == Some("127.0.1.1");
    let mut lines: Vec<&str> = current.lines().filter(|line| !is_ours(line)).collect();
    let ours = format!("127.0.1.1\t{name}");
    if !lines.iter().any(|line| line.split_whitespace().any(|word| word == "localhost")) {
        lines.insert(0, "127.0.0.1\tlocalhost");
    }
    lines.push(&ours);
    lines.join("\n") + "\n"
}

fn profile(root: &Root) -> io::Result<()> {
    root.write_told(PROFILE, PROFILE_TEXT.as_bytes(), 0o644)?;
    if let Ok(bashrc) = root.read(BASHRC)
        && !bashrc.contains(BASHRC_LINE)
    {
        root.write(BASHRC, format!("{BASHRC_LINE}{bashrc}").as_bytes(), 0o644)?;
    }
    Ok(())
}

fn env(root: &Root, user: &User, variables: &BTreeMap<String, String>) -> io::Result<()> {
    let folder = private_folder(root, user, environment::FOLDER)?;
    let text = environment::render(variables);
    write_told(&folder.join(".env"), text.as_bytes(), 0o600).map(drop)
}

/// What leads programs to AI: there as long as it is on.
fn proxy_env(
    root: &Root,
    user: &User,
    variables: Option<&BTreeMap<String, String>>,
) -> io::Result<()> {
    let folder = private_folder(root, user, environment::FOLDER)?;
    let path = folder.join(environment::PROXY);
    match variables {
        Some(variables) => {
            let text = environment::render(variables);
            write_told(&path, text.as_bytes(), 0o600).map(drop)
        }
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

fn authorized_keys(root: &Root, user: &User, keys: &[String]) -> io::Result<()> {
    let folder = private_folder(root, user, ".ssh")?;
    let path = folder.join("authorized_keys");
    let current = read_text(&path).unwrap_or_default();
    write_whole(&path, with_keys(&current, keys).as_bytes(), 0o600).map(drop)
}

/// A folder of the user that only the user may enter.
fn private_folder(root: &Root, user: &User, name: &str) -> io::Result<PathBuf> {
    let folder = root.path(Path::new(&user.home).join(name));
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(folder),
    }
}

/// The file with our keys between their marks; the user's lines are kept.
fn with_keys(current: &str, keys: &[String]) -> String {
    let mut text = String::new();
    let mut is_ours = false;
    for line in current.lines() {
        match line {
            KEYS_BEGIN => is_ours = true,
            KEYS_END => is_ours = false,
            _ if is_ours => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    let is_key = |key: &&str| {
        !key.is_empty() && key.len() <= KEY_MAX_BYTES && !key.contains(['\n', '\r', '\0'])
    };
    let keys: Vec<&str> = keys.iter().map(|key| key.trim()).filter(is_key).collect();
    if !keys.is_empty() {
        text.push_str(&format!("{KEYS_BEGIN}\n{}\n{KEYS_END}\n", keys.join("\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_user_stay_and_ours_are_replaced() {
        let first = with_keys("ssh-rsa mine\n", &["ssh-ed25519 A a".to_owned()]);
        assert!(first.starts_with("ssh-rsa mine\n") && first.contains("\nssh-ed25519 A a\n"));
        let second = with_keys(&first, &["ssh-ed25519 B".to_owned(), "a\nb".to_owned()]);
        assert!(second.contains("ssh-ed25519 B") && second.contains("ssh-rsa mine"));
        assert!(!second.contains("ssh-ed25519 A") && !second.contains("a\nb"));
        assert_eq!(with_keys(&second, &[]), "ssh-rsa mine\n");
    }

    #[test]
    fn the_host_finds_itself_and_the_lines_of_the_user_stay() {
        let hosts = hosts("10.0.0.1 db\n127.0.1.1 old\n", "new");
        assert_eq!(hosts, "127.0.0.1\tlocalhost\n10.0.0.1 db\n127.0.1.1\tnew\n");
        assert_eq!(super::hosts(&hosts, "new"), hosts);
    }
}
