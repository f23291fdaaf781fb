//! Waits until the roles work: control answers, this machine has told it what it has room for, and the
//! edge takes visitors.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::{
    net::UnixStream,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::Up;
use crate::{
    api::Api,
    files, output,
    supervise::{Health, Keeper},
};

/// How long control may take to answer: a large database may have migrations to run.
const CONTROL_PATIENCE: Duration = Duration::from_secs(120);

/// How long the host may take to report: it probes the machine and adopts its workspaces first.
const HOST_PATIENCE: Duration = Duration::from_secs(180);

/// How long the edge may take to serve: it has its routes on disk.
const EDGE_PATIENCE: Duration = Duration::from_secs(30);

/// A role that ended this often before it worked will not work by itself.
const ENDS_MAX: u32 = 3;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The API once both roles work; none if the platform was told to end meanwhile.
///
/// # Errors
/// Shows the end of the log of the role that does not work.
pub(super) async fn wait(
    up: &Up<'_>,
    address: SocketAddr,
    [control, ai_proxy, host, edge, ssh]: [&Keeper<'_>; 5],
    stop: &CancellationToken,
) -> anyhow::Result<Option<Api>> {
    let mut progress = output::Progress::default();
    progress.show("starting control");
    let open = Api::new(address, None);
    let answers = async || open.capacity().await.is_ok();
    if !until(answers, control, CONTROL_PATIENCE, stop).await? {
        return Ok(None);
    }
    progress.show("starting ai-proxy");
    let socket = up.layout.ai_proxy_socket();
    let serves = async || UnixStream::connect(&socket).await.is_ok();
    if !until(serves, ai_proxy, CONTROL_PATIENCE, stop).await? {
        return Ok(None);
    }
    progress.show("starting host");
    let reports = async || open.capacity().await.is_ok_and(|capacity| capacity.total > 0);
    if !until(reports, host, HOST_PATIENCE, stop).await? {
        return Ok(None);
    }
    progress.show("starting edge");
    let metrics = up.layout.edge_metrics();
    let serves = async || UnixStream::connect(&metrics).await.is_ok();
    if !until(serves, edge, EDGE_PATIENCE, stop).await? {
        return Ok(None);
    }
    progress.show("starting ssh");
    let ready = up.layout.ssh_ready();
    let serves = async || UnixStream::connect(&ready).await.is_ok();
    if !until(serves, ssh, EDGE_PATIENCE, stop).await? {
        return Ok(None);
    }
    progress.done("control, ai-proxy, host, edge and ssh work");
    let path = up.layout.admin_key();
    let key = files::read(&path)?.with_context(|| format!("control did not write {path}"))?;
    Ok(Some(Api::new(address, Some(SecretString::from(key.trim().to_owned())))))
}

/// Whether the role works; false if the platform was told to end meanwhile.
async fn until(
    works: impl AsyncFn() -> bool,
    role: &Keeper<'_>,
    patience: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let health = role.health();
    let deadline = Instant::now() + patience;
    while !stop.is_cancelled() {
        if works().await {
            return Ok(true);
        }
        let now: Health = health.borrow().clone();
        if now.ended >= ENDS_MAX {
            bail!("{} does not start ({})\n{}", role.name(), now.last_end, role.explain());
        }
        if Instant::now() > deadline {
            bail!(
                "{} is not ready after {} s\n{}",
                role.name(),
                patience.as_secs(),
                role.explain()
            );
        }
        stop.run_until_cancelled(sleep(LOOK_EVERY)).await;
    }
    Ok(false)
}
