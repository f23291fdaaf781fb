//! The first workspace: made where there is none at all, and waited for until it runs.
//! Does not touch workspaces that somebody made, stopped or removed on purpose.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use rigbox_types::{
    Status, WorkspaceId,
    api::workspaces::{GetWorkspaceResponse, SshInfo, Vm},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Up, context};
use crate::{api::Api, files, output};

/// How long a first boot may take: under emulation, on a busy machine, a minute is usual.
const RUNNING_PATIENCE: Duration = Duration::from_secs(600);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks that may fail in a row while control is being started again.
const SILENT_MAX: u32 = 60;

/// Sees to it that there is a workspace, and waits until it runs or the platform is told to end.
///
/// # Errors
/// Says why it does not run, and what can be tried.
pub(super) async fn ensure(
    up: &Up<'_>,
    (api, address): (&Api, SocketAddr),
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let first = &up.config.first;
    let all = api.workspaces().await.context("list workspaces")?.vms;
    let named = all.iter().find(|vm| vm.name.as_str() == first.workspace);
    let is_first = all.is_empty() && !first.workspace.is_empty();
    // Once: a key that was removed on purpose stays so.
    let is_first = is_first && files::create(&up.layout.ssh_key_offered(), b"", files::PLAIN)?;
    if is_first && context::add_ssh_key(up, address).await {
        output::note("your SSH key was added to the account: rig ssh-key ls");
    }
    let Some(id) = choose(up, api, &all, named).await? else {
        let running = all.iter().filter(|vm| vm.status == Status::Running).count();
        output::note(&format!("workspaces: {} in all, {running} running", all.len()));
        return Ok(());
    };
    wait(api, &first.workspace, &id, stop).await
}

/// The workspace to wait for.
async fn choose(
    up: &Up<'_>,
    api: &Api,
    all: &[Vm],
    named: Option<&Vm>,
) -> anyhow::Result<Option<WorkspaceId>> {
    let first = &up.config.first;
    let to_start = match named {
        None if all.is_empty() && !first.workspace.is_empty() => {
            output::note(&format!("creating the workspace {}", first.workspace));
            let made = api.workspace_create(&first.workspace, &first.template).await;
            made.with_context(|| format!("create the workspace {}", first.workspace))?.vm
        }
        None => return Ok(None),
        // Made by an `up` that was cut off before it started it.
        Some(vm) if vm.status == Status::Provisioned => vm.clone(),
        Some(vm) => {
            let wanted = matches!(
                vm.status,
                Status::Provisioning | Status::Starting | Status::Running | Status::Failed
            );
            return Ok(wanted.then(|| vm.id.clone()));
        }
    };
    api.workspace_start(&to_start.id)
        .await
        .with_context(|| format!("start the workspace {}", to_start.name))?;
    Ok(Some(to_start.id))
}

async fn wait(
    api: &Api,
    name: &str,
    id: &WorkspaceId,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut progress = output::Progress::default();
    let mut silent = 0;
    while !stop.is_cancelled() {
        let seconds = start.elapsed().as_secs();
        match api.workspace(id).await {
            Ok(now) if now.vm.status == Status::Running && api.workspace_answers(id).await => {
                progress.done(&format!("{name} is running"));
                output::data(&format!("Ready. Type: rig shell {name}"));
                if let Some(ssh) = &now.vm.ssh {
                    let SshInfo { user, host, port, .. } = ssh;
                    output::data(&format!("         or: ssh -p {port} {user}@{host}"));
                    output::data(
                        "ssh opens to the keys of `rig ssh-key ls`; add one: rig ssh-key add",
                    );
                }
                return Ok(());
            }
            Ok(now) if now.vm.status == Status::Failed => bail!(failed(name, &now)),
            Ok(now) => {
                silent = 0;
                progress.show(&line(name, now.vm.status, seconds));
            }
            Err(error) if silent == SILENT_MAX => return Err(error.into()),
            Err(_) => silent += 1,
        }
        if start.elapsed() > RUNNING_PATIENCE {
            bail!(
                "{name} does not run after {seconds} s\n\
                 hint: rig workspace logs {name}, or the log of the role host"
            );
        }
        stop.run_until_cancelled(sleep(LOOK_EVERY)).await;
    }
    Ok(())
}

/// One line for each ten seconds where it cannot be rewritten in place, and still alive.
fn line(name: &str, status: Status, seconds: u64) -> String {
    let what = match status {
        Status::Provisioning => "its disk is being made",
        Status::Starting => "it boots (about a minute where the machine has no KVM)",
        Status::Running => "its guest does not answer yet",
        Status::Provisioned
        | Status::Stopping
        | Status::Stopped
        | Status::Suspended
        | Status::Deleting
        | Status::Failed => "",
    };
    let tens = seconds / 10 * 10;
    format!("{name}: {} {tens} s {what}", status.as_str())
}

fn failed(name: &str, now: &GetWorkspaceResponse) -> String {
    let why = now.failure.as_ref().map_or_else(
        || "it does not say why".to_owned(),
        |failure| format!("{} (after {} attempts)", failure.message, failure.attempts),
    );
    format!("{name} does not run: {why}\nhint: rig workspace retry {name}; rigbox doctor")
}
