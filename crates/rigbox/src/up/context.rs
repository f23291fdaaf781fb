//! Signs the invoking user's `rig` in, so that it works at once, and adds their SSH key: `rig` does it
//! itself, as that user, with the key of the API on its standard input.
//! A `rig` that cannot be signed in is no reason not to start: the panel says how to do it by hand.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use nix::unistd::{Gid, Uid, User};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::Up;
use crate::{files, output};

/// How long `rig` may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Name of the context that is written.
const CONTEXT: &str = "local";

/// The name of the user whose `rig` is signed in now.
pub(super) async fn write(up: &Up<'_>, address: SocketAddr) -> Option<String> {
    match sign_in(up, address).await {
        Ok(user) => Some(user),
        Err(error) => {
            output::note(&format!("note: rig is not signed in: {error:#}"));
            None
        }
    }
}

async fn sign_in(up: &Up<'_>, address: SocketAddr) -> anyhow::Result<String> {
    let path = up.layout.admin_key();
    let key = files::read(&path)?.with_context(|| format!("{path} is not there"))?;
    let words = ["login", "--import-token", "-", "--context", CONTEXT];
    rig(up, address, (&words, key.trim())).await
}

/// Adds the invoking user's own SSH key to the account, so that the first workspace opens to it at once.
/// Whether there was one to add.
pub(super) async fn add_ssh_key(up: &Up<'_>, address: SocketAddr) -> bool {
    match rig(up, address, (&["ssh-key", "add"], "")).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "no SSH key was added");
            false
        }
    }
}

/// Executes the invoking user's `rig`, with `input` to read; the user's name.
async fn rig(
    up: &Up<'_>,
    address: SocketAddr,
    (words, input): (&[&str], &str),
) -> anyhow::Result<String> {
    let user = invoking_user()?;
    let program = up.install.program("rig")?;
    let mut command = Command::new(&program);
    command
        .args(words)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", &user.dir)
        .env("RIGBOX_API_URL", format!("http://{address}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // `sudo` drops it, so whoever set it is whoever runs this.
    if let Some(folder) = variable("XDG_CONFIG_HOME") {
        command.env("XDG_CONFIG_HOME", folder);
    }
    if !user.uid.is_root() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let mut child = command.spawn().with_context(|| format!("start {program}"))?;
    let mut stdin = child.stdin.take().context("the standard input of rig")?;
    let exchange = async {
        // A `rig` that ended already says why on stderr.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        child.wait_with_output().await
    };
    let output = timeout(PATIENCE, exchange).await.context("rig does not end")?;
    let output = output.context("wait for rig")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().next().unwrap_or("it does not say why"));
    }
    Ok(user.name)
}

/// Whoever called `sudo`, else whoever runs this. The home of the latter is where they say it is,
/// because that is where their own `rig` will look.
fn invoking_user() -> anyhow::Result<User> {
    let number = |name: &str| variable(name).and_then(|text| text.parse::<u32>().ok());
    let caller = number("SUDO_UID").filter(|_| nix::unistd::getuid().is_root());
    let uid = caller.map_or_else(nix::unistd::getuid, Uid::from_raw);
    let mut user = User::from_uid(uid)
        .context("look the invoking user up")?
        .with_context(|| format!("user {uid} has no entry in the list of users"))?;
    if caller.is_none() {
        user.dir = variable("HOME").map_or(user.dir, Into::into);
    } else if let Some(gid) = number("SUDO_GID") {
        user.gid = Gid::from_raw(gid);
    }
    Ok(user)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
