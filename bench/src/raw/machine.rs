//! A raw QEMU that runs.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rigbox_guest::client::{Agent, bridge};
use rigbox_types::guest::ShutdownKind;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Place, Recipe};

/// How long a guest that does not boot or end is watched.
const LIMIT: Duration = Duration::from_secs(300);

/// A guest whose agent has said hello. Dropping it ends QEMU.
#[derive(Debug)]
pub(crate) struct Machine {
    vmm: Child,
    agent: Agent,
    cancel: CancellationToken,
    bridge: JoinHandle<()>,
}

impl Machine {
    /// Boots one, and says how long it took from the start of the process to the agent's hello.
    ///
    /// # Errors
    /// When it does not boot, with QEMU's words.
    pub(crate) async fn boot(place: &Place) -> Result<(Self, Duration)> {
        let words = place.file("words");
        let stderr = fs::File::create(&words).with_context(|| format!("make {words}"))?;
        let mut command = Command::from(place.command());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
        let (serial, channel) = (place.file("agent.sock"), place.file("guest.sock"));
        let cancel = CancellationToken::new();

        let begin = Instant::now();
        let vmm = command.spawn().context("start nsenter")?;
        let carry = {
            let (channel, cancel) = (channel.clone(), cancel.clone());
            // Whatever ends it, the guest is silent then.
            async move { bridge(&serial, &channel, cancel).await.unwrap_or_default() }
        };
        let bridge = tokio::spawn(carry);
        let mut machine = Self { vmm, agent: Agent::new(channel), cancel, bridge };
        let ended = tokio::select! {
            hello = machine.agent.hello_within(LIMIT) => hello.map(drop).context("no hello"),
            status = machine.vmm.wait() => status.context("wait for QEMU").and_then(|status| {
                bail!("QEMU ended: {status}")
            }),
        };
        let took = begin.elapsed();
        ended.with_context(|| fs::read_to_string(&words).unwrap_or_default())?;
        Ok((machine, took))
    }

    /// Its pid: `nsenter` has become QEMU.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.vmm.id().context("the raw QEMU has ended")
    }

    /// Tells the guest what the product tells its own, and says how long that took.
    ///
    /// # Errors
    /// When it does not listen.
    pub(crate) async fn tell(&self, recipe: &Recipe) -> Result<Duration> {
        let begin = Instant::now();
        self.agent.setup(&recipe.setup).await.context("tell the guest what it is")?;
        Ok(begin.elapsed())
    }

    /// Shuts the guest down, and says how long it took until the process was gone.
    ///
    /// # Errors
    /// When it does not end.
    pub(crate) async fn shut_down(mut self) -> Result<Duration> {
        let begin = Instant::now();
        self.agent.shutdown(ShutdownKind::Reboot).await.context("ask the guest to shut down")?;
        let ended = timeout(LIMIT, self.vmm.wait()).await.context("the guest does not end")?;
        let took = begin.elapsed();
        ended.context("wait for QEMU")?;
        self.let_go().await;
        Ok(took)
    }

    /// Ends QEMU at once.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.vmm.kill().await.context("end QEMU")?;
        self.let_go().await;
        Ok(())
    }

    /// The next QEMU of the place has a bridge of its own.
    async fn let_go(self) {
        self.cancel.cancel();
        // A task that panicked is over as well.
        self.bridge.await.ok();
    }
}
