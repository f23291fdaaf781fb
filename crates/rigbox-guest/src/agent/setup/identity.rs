//! What makes one guest another than the next from the same image: machine id, SSH host keys,
//! random seed. Made where missing, and made anew on a disk that was copied from another workspace.

use std::{fs, io, path::Path};

use rigbox_types::{Ed25519Key, WorkspaceId};
use tracing::info;

use super::{Problems, files};
use crate::agent::{
    Guest,
    program::Program,
    root::{Root, read_text, remove_if_there},
};

const MACHINE_ID: &str = "/etc/machine-id";
const SSH_FOLDER: &str = "/etc/ssh";
const HOST_KEY: &str = "ssh_host_ed25519_key";
const SEED_FOLDER: &str = "/var/lib/systemd";
const SEED: &str = "/var/lib/systemd/random-seed";

/// What systemd keeps, too.
const SEED_BYTES: usize = 512;

/// Makes what is missing; says what could not be made.
pub(super) async fn ensure(guest: &Guest) -> Vec<String> {
    let mut problems = Problems::default();
    problems.note("the machine id", machine_id(&guest.root));
    problems.note("the random seed", seed(&guest.root));
    let _one = guest.setup.host_key.lock().await;
    problems.note("the SSH host key", host_key(guest).await);
    problems.all
}

/// Makes everything anew on a disk that was another workspace's. On any other there is nothing to
/// wait for: a host key that is being made is waited for by the SSH server.
pub(super) async fn renew_if_copied(guest: &Guest, workspace: &WorkspaceId) -> Vec<String> {
    let former = files::workspace_of_disk(&guest.root);
    if former.is_none_or(|former| former == workspace.as_str()) {
        return Vec::new();
    }
    info!("this disk was another workspace's: making a new identity");
    let mut problems = Problems::default();
    let one = guest.setup.host_key.lock().await;
    problems.note("the former identity", forget(&guest.root));
    drop(one);
    problems.all.extend(ensure(guest).await);
    if guest.kernel.has_systemd() && guest.root.is_real() {
        let reload = Program::new("systemctl").args(["--no-block", "try-reload-or-restart", "ssh"]);
        problems.note("the SSH server", reload.run().await);
    }
    problems.all
}

fn forget(root: &Root) -> io::Result<()> {
    remove_if_there(&root.path(MACHINE_ID))?;
    remove_if_there(&root.path(SEED))?;
    let Ok(entries) = fs::read_dir(root.path(SSH_FOLDER)) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"ssh_host_") {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// The public half of the host key, without its comment; none where it is not there or is none.
pub(super) fn public_host_key(root: &Root) -> Option<String> {
    let key = root.path(SSH_FOLDER).join(HOST_KEY);
    // A public half without the other one is of a key that is only being made.
    let line = key.exists().then(|| read_text(&key.with_extension("pub")).ok()).flatten()?;
    let mut words = line.split_whitespace();
    let key: Ed25519Key = format!("{} {}", words.next()?, words.next()?).parse().ok()?;
    Some(key.into())
}

/// systemd makes the id itself before we run; this is for other inits and for copies.
fn machine_id(root: &Root) -> io::Result<()> {
    let current = root.read_or_empty(MACHINE_ID);
    let current = current.trim();
    if current.len() == 32 && current.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    root.write(MACHINE_ID, format!("{id}\n").as_bytes(), 0o444).map(drop)
}

fn seed(root: &Root) -> io::Result<()> {
    if root.exists(SEED) || !root.exists(SEED_FOLDER) {
        return Ok(());
    }
    let mut bytes = [0; SEED_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    root.write(SEED, &bytes, 0o600).map(drop)
}

/// One key of the kind that every client of the last ten years takes; a second kind would cost a
/// second of the boot under emulation.
async fn host_key(guest: &Guest) -> io::Result<()> {
    let folder = guest.root.path(SSH_FOLDER);
    let key = folder.join(HOST_KEY);
    // The public half is moved into place first, so the private one means that both are there.
    if key.exists() || !folder.exists() {
        return Ok(());
    }
    // Made under another name and moved, because a key that was cut short by a power loss would
    // keep the server from starting for good.
    let making = folder.join("rigbox-new-key");
    remove_if_there(&making)?;
    remove_if_there(&making.with_extension("pub"))?;
    let run = Program::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "root@workspace", "-f"])
        .args([&making])
        .run()
        .await;
    match run {
        // An image without SSH needs no key.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(output) if !output.is_success() => return Err(io::Error::other(output.stderr())),
        Ok(_) => {}
    }
    sync(&making)?;
    sync(&making.with_extension("pub"))?;
    fs::rename(making.with_extension("pub"), key.with_extension("pub"))?;
    fs::rename(&making, &key)?;
    sync(&folder)
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
