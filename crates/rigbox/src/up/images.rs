//! Makes images ready before the platform starts: the host agent's executable builds them, and
//! what it says on the way is shown as it comes.

use std::{convert::Infallible, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use rigbox_types::ImageName;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{process::Command, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Up, require_root};
use crate::{files, host, output, supervise::environment};

/// How long a build that was told to end may take to clean up: more than it gives its tools.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// Builds what is missing or out of date. An image that is there and cannot be brought up to date,
/// as on a machine without network, is used as it is.
///
/// # Errors
/// Where an image is neither there nor can be built.
pub(super) async fn ensure(up: &Up<'_>, stop: &CancellationToken) -> anyhow::Result<()> {
    for name in &up.config.images.ready {
        if stop.is_cancelled() {
            return Ok(());
        }
        let Err(error) = build(up, name, stop).await else { continue };
        let manifest = up.layout.data().join("images").join(name.as_str()).join("manifest.json");
        if !manifest.exists() {
            return Err(error)
                .with_context(|| format!("the image {name} cannot be made ready (see above)"));
        }
        output::note(&format!("note: the image {name} stays as it was: {error:#}"));
    }
    Ok(())
}

async fn build(up: &Up<'_>, name: &ImageName, stop: &CancellationToken) -> anyhow::Result<()> {
    let program = up.install.program(host::PROGRAM)?;
    let mut command = Command::new(&program);
    command
        .args(["image", "build", name.as_str(), "--data", up.layout.data().as_str()])
        .args(["--parent", &std::process::id().to_string()])
        .env_clear()
        .envs(environment())
        .envs(resources(up)?)
        .stdin(Stdio::null())
        .process_group(0);
    let mut child = command.spawn().with_context(|| format!("start {program}"))?;
    let Some(ended) = stop.run_until_cancelled(child.wait()).await else {
        return end(child).await;
    };
    let status = ended.with_context(|| format!("wait for {program}"))?;
    if !status.success() {
        bail!("building it failed ({status})");
    }
    Ok(())
}

async fn end(mut child: tokio::process::Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(group) = pid.and_then(Pid::from_raw) else { return Ok(()) };
    // The whole group: a build runs other programs. It was not waited for, so the pid is its own.
    let signal = |signal| match kill_process_group(group, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("end the build of an image"),
    };
    signal(Signal::TERM)?;
    if timeout(END_PATIENCE, child.wait()).await.is_err() {
        signal(Signal::KILL)?;
        child.wait().await.context("end the build of an image")?;
    }
    Ok(())
}

/// Becomes the host agent's executable for `rigbox image …`.
///
/// # Errors
/// Where the data directory cannot be made or the executable is not there.
pub(crate) fn image(up: &Up<'_>, arguments: &[String]) -> anyhow::Result<Infallible> {
    let mut all = vec!["image".to_owned()];
    all.extend_from_slice(arguments);
    let asks_for_help = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    if !arguments.is_empty() && !asks_for_help {
        require_root("image")?;
        files::folder(up.layout.data(), 0o711, None)?;
        all.extend(["--data".to_owned(), up.layout.data().to_string()]);
    }
    host::become_agent(up.install, &all, &resources(up)?)
}

/// Where the host agent finds recipes and the guest's programs.
///
/// # Errors
/// Says where they were looked for.
pub(super) fn resources(up: &Up<'_>) -> anyhow::Result<[(&'static str, String); 2]> {
    Ok([
        ("RIGBOX_IMAGES", up.install.recipes(up.config)?.into_string()),
        ("RIGBOX_GUEST", up.install.guest(up.config)?.into_string()),
    ])
}
