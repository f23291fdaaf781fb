//! `rigbox up`: from whatever state the data directory is in to a platform that works, with its
//! first workspace running; then keeps the roles running until it is told to end.
//! Invariant: every step finds what an earlier, interrupted `up` left and goes on from there.
//! Starts no micro-VM itself and stops none: workspaces outlive it.

mod configs;
mod context;
mod detach;
mod first;
mod images;
mod panel;
mod ready;

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    backup,
    config::Config,
    data, files,
    layout::{Install, Layout, Role},
    listen, output,
    process::Identity,
    state::{self, Lock, Phase, State, Takeovers},
    supervise::{Keeper, Needs, Recorder},
};

pub(crate) use configs::{write_backup as write_backup_config, write_host as write_host_config};
pub(crate) use images::image;

/// What was asked for on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Go to the background once everything runs.
    pub(crate) detach: bool,
    /// This is the process in the background.
    pub(crate) background: bool,
}

/// A platform and what it is made of.
pub(crate) struct Up<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) install: &'a Install,
    pub(crate) config: &'a Config,
}

/// Brings the platform up and stays until it is told to end.
///
/// # Errors
/// Names the step that failed and what to do about it.
pub(crate) fn run(up: &Up<'_>, options: Options) -> anyhow::Result<ExitCode> {
    require_root("up")?;
    backup::refuse_half_restored(up.layout)?;
    rigbox_fabric::descriptors::raise_limit().context("raise the limit of open files")?;
    files::folder(up.layout.data(), 0o711, None)?;
    files::folder(&up.layout.run(), 0o711, None)?;
    if options.detach {
        return detach::run(up);
    }
    if options.background {
        detach::leave_the_terminal()?;
    }
    let lock = Lock::take(up.layout)?;
    files::sweep(up.layout.data())?;
    files::sweep(&up.layout.run())?;
    let leftovers = state::running_roles(up.layout)?;
    if !leftovers.is_empty() {
        output::note("ending the roles of a supervisor that is gone; workspaces keep running");
        state::end_roles(&leftovers)?;
    }
    let platform = data::prepare(up.layout, up.config)?;
    let sockets = Sockets::bind(up)?;
    let address = sockets.api.local_addr().context("the API's address")?;
    configs::write(up, &platform, &sockets)?;
    let recorder = Recorder::new(
        up.layout,
        State {
            supervisor: Identity::own().context("the identity of this process")?,
            phase: Phase::Starting,
            api: format!("http://{address}"),
            roles: Vec::new(),
            takeovers: Takeovers::default(),
        },
    )?;
    // One thread: the kernel ties a role to the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let done = runtime.block_on(Box::pin(stay(up, &sockets, &recorder)));
    files::remove(&up.layout.state())?;
    drop(lock);
    done.map(|()| ExitCode::SUCCESS)
}

/// Refuses to go on as anybody but root.
///
/// # Errors
/// Says what root is needed for.
pub(crate) fn require_root(verb: &str) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "`rigbox {verb}` needs root: it makes network namespaces, mounts and cgroups\n\
             hint: sudo rigbox {verb}"
        );
    }
    Ok(())
}

/// The sockets on which roles serve.
struct Sockets {
    api: TcpListener,
    https: TcpListener,
    http: Option<TcpListener>,
    ssh: TcpListener,
}

impl Sockets {
    fn bind(up: &Up<'_>) -> anyhow::Result<Self> {
        let (config, file) = (up.config, up.layout.config());
        let http = config.edge.http.map(|http| listen::bind("edge.http", http, &file));
        if let Some(dns) = config.edge.dns {
            listen::check_free("edge.dns", dns, &file)?;
        }
        Ok(Self {
            api: listen::bind(listen::API, config.api.listen, &file)?,
            https: listen::bind("edge.listen", config.edge.listen, &file)?,
            http: http.transpose()?,
            ssh: listen::bind("ssh.listen", config.ssh.listen, &file)?,
        })
    }

    /// The port that visitors see.
    fn https_port(&self, up: &Up<'_>) -> anyhow::Result<u16> {
        let own = self.https.local_addr().context("the edge's address")?;
        Ok(up.config.edge.https_port.unwrap_or_else(|| own.port()))
    }
}

async fn stay(up: &Up<'_>, sockets: &Sockets, recorder: &Recorder) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(watch_signals(stop.clone())?);
    images::ensure(up, &stop).await?;
    if stop.is_cancelled() {
        return Ok(());
    }
    let parts = (up.layout, up.install);
    let control = Needs {
        log_filter: &up.config.control.log,
        listener: Some(&sockets.api),
        ..Needs::default()
    };
    let ai_proxy = Needs { log_filter: &up.config.ai.log, ..Needs::default() };
    let answers_at = up.layout.edge_metrics();
    let edge = Needs {
        log_filter: &up.config.edge.log,
        answers_at: Some(&answers_at),
        listener: Some(&sockets.https),
        second: sockets.http.as_ref(),
        ..Needs::default()
    };
    let ssh =
        Needs { log_filter: &up.config.ssh.log, listener: Some(&sockets.ssh), ..Needs::default() };
    let host = Needs {
        log_filter: &up.config.host.log,
        resources: images::resources(up)?.to_vec(),
        ..Needs::default()
    };
    let control = Keeper::new(Role::Control, parts, recorder, control);
    let ai_proxy = Keeper::new(Role::AiProxy, parts, recorder, ai_proxy);
    let host = Keeper::new(Role::Host, parts, recorder, host);
    let edge = Keeper::new(Role::Edge, parts, recorder, edge);
    let ssh = Keeper::new(Role::Ssh, parts, recorder, ssh);
    let mut succession = signal(SignalKind::user_defined1()).context("watch for SIGUSR1")?;
    let succeed = async {
        while succession.recv().await.is_some() {
            edge.succeed();
        }
    };
    let address = sockets.api.local_addr().context("the API's address")?;
    let https_port = sockets.https_port(up)?;
    let bring_up = async {
        let roles = [&control, &ai_proxy, &host, &edge, &ssh];
        let done = bring_up(up, (address, https_port), roles, &stop).await;
        if done.is_err() {
            stop.cancel();
        }
        done.map(|phase| recorder.change(|state| state.phase = phase))
    };
    let keep = futures_util::future::join_all(
        [&control, &ai_proxy, &host, &edge, &ssh].map(|role| Box::pin(role.keep(&stop))),
    );
    let (ended, brought_up) = tokio::select! {
        ended = async { tokio::join!(keep, bring_up) } => ended,
        () = succeed => bail!("signals come no more"),
    };
    output::note(&format!(
        "the platform has ended; its workspaces keep running. `{}` takes them over again, `{}` \
         ends them",
        up.layout.command("up"),
        up.layout.command("down"),
    ));
    ended.into_iter().fold(brought_up, Result::and)
}

async fn bring_up(
    up: &Up<'_>,
    (address, https_port): (SocketAddr, u16),
    roles: [&Keeper<'_>; 5],
    stop: &CancellationToken,
) -> anyhow::Result<Phase> {
    let works = ready::wait(up, address, roles, stop).await?;
    let Some(api) = works else { return Ok(Phase::Starting) };
    let rig = context::write(up, address).await;
    let setup = panel::setup_link(&api).await.unwrap_or_else(|error| {
        // The platform works all the same, and `rigbox user set-password` makes a link as well.
        output::error(&anyhow::Error::from(error).context("make the setup link"));
        None
    });
    panel::show(up, (address, https_port), rig.as_deref(), setup.as_deref());
    // A first workspace that fails leaves a platform that works: it can be looked into and tried
    // again, so it is said and not an end.
    if let Err(error) = first::ensure(up, (&api, address), stop).await {
        output::error(&error);
        return Ok(Phase::ReadyWithoutFirst);
    }
    Ok(Phase::Ready)
}

/// The first SIGINT or SIGTERM asks the platform to end; ending has time limits of its own.
fn watch_signals(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("watch for SIGHUP")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        output::note("ending the platform");
        stop.cancel();
    })
}
