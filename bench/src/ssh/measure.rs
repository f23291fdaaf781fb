//! What is measured of each side.
//!
//! - `bulk.<cipher>.<down|up>`: MB/s of one transfer, `n` counts its MiB; `.cpu`: time that what is
//!   between client and server was executed for it.
//! - `echo`: a byte there and back in a terminal; each one is a row.
//! - `connect`: a connection, a command that does nothing, and the end; `connect.rate`: several at once.
//! - `idle`: memory of what is between, with `n` sessions that do nothing.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout},
    task::JoinSet,
};

use super::{
    Options,
    place::{CIPHERS, Place, Side},
};
use crate::rows::Rows;

/// The cipher where transfers are not what is measured.
const CIPHER: &str = "aes";
/// Connections at once.
const AT_ONCE: usize = 4;
/// Sessions that begin at once.
const BEGINNING: usize = 8;
/// Sessions before it is counted what each takes.
const FIRST: u64 = 10;
/// How long it may take until nothing is left of sessions.
const END_LIMIT: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
const BLOCK: usize = 256 * 1024;

/// What a run measures with.
pub(super) struct Stage<'a> {
    pub(super) options: &'a Options,
    pub(super) place: &'a Place,
    pub(super) rows: &'a mut Rows,
}

impl Stage<'_> {
    /// All sides in turns, so that what disturbs one disturbs the others; the order turns too.
    fn turns(&self) -> Vec<Side> {
        let rounds = usize::try_from(self.options.rounds).unwrap_or(usize::MAX);
        let all = Side::ALL;
        (0..rounds)
            .flat_map(|round| all.into_iter().cycle().skip(round % all.len()).take(all.len()))
            .collect()
    }

    /// Much of one way.
    pub(super) async fn bulk(&mut self) -> Result<()> {
        for (cipher, _) in CIPHERS {
            for side in self.turns() {
                for way in [Way::Down, Way::Up] {
                    let bytes = self.options.mib * MIB;
                    let (took, executed) = self.transfer((side, cipher), way, bytes).await?;
                    let name = format!("bulk.{cipher}.{}", way.name());
                    let (side, mib) = (side.name(), self.options.mib);
                    self.rows.speed(&name, side, mib, (bytes, took));
                    self.rows.time(&format!("{name}.cpu"), side, mib, executed);
                }
            }
        }
        Ok(())
    }

    async fn transfer(
        &self,
        (side, cipher): (Side, &str),
        way: Way,
        bytes: u64,
    ) -> Result<(Duration, Duration)> {
        // The server says when it begins; it stays until it is ended, so that its time can be read.
        let command = match way {
            Way::Down => format!("echo; head -c {bytes} /dev/zero; exec sleep 1000"),
            Way::Up => format!("echo; head -c {bytes} >/dev/null; echo; exec sleep 1000"),
        };
        let mut ssh = self.place.ssh(side, cipher);
        let (_ssh, mut input, mut output) = talk(ssh.arg(command))?;
        output.read_u8().await.context("the beginning of a transfer")?;
        let (began, before) = (Instant::now(), self.place.executed(side)?);
        let mut block = vec![0; BLOCK];
        let mut left = bytes;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
            let part = block.get_mut(..size).context("a block")?;
            let moved = match way {
                Way::Down => output.read(part).await.context("read")?,
                Way::Up => input.write(part).await.context("write")?,
            };
            ensure!(moved > 0, "a transfer by {} has ended", side.name());
            left -= u64::try_from(moved)?;
        }
        if way == Way::Up {
            output.read_u8().await.context("the end of a transfer")?;
        }
        Ok((began.elapsed(), self.place.executed(side)?.saturating_sub(before)))
    }

    /// A key after the other.
    pub(super) async fn echo(&mut self) -> Result<()> {
        for side in self.turns() {
            let mut ssh = self.place.ssh(side, CIPHER);
            // Options may follow the host.
            ssh.args(["-tt", "--", "stty raw -echo; printf b; exec cat"]);
            let (_ssh, mut input, mut output) = talk(&mut ssh)?;
            ensure!(output.read_u8().await.context("the terminal")? == b'b', "no terminal");
            for key in 0..self.options.keys {
                let key = b'a' + u8::try_from(key % 26)?;
                let began = Instant::now();
                input.write_all(&[key]).await.context("press a key")?;
                let came = output.read_u8().await.context("see a key")?;
                self.rows.time("echo", side.name(), 1, began.elapsed());
                ensure!(came == key, "another key came back");
            }
        }
        Ok(())
    }

    /// Connections that do nothing.
    pub(super) async fn connections(&mut self) -> Result<()> {
        let count = self.options.connections;
        for side in self.turns() {
            for _ in 0..count {
                let began = Instant::now();
                connect(self.place.ssh(side, CIPHER)).await?;
                self.rows.time("connect", side.name(), 1, began.elapsed());
            }
            let began = Instant::now();
            let mut running = JoinSet::new();
            for _ in 0..count {
                if running.len() == AT_ONCE {
                    running.join_next().await.context("no connection")???;
                }
                running.spawn(connect(self.place.ssh(side, CIPHER)));
            }
            while let Some(done) = running.join_next().await {
                done??;
            }
            let rate = f64::from(count) / began.elapsed().as_secs_f64();
            self.rows.rate("connect.rate", side.name(), u64::try_from(AT_ONCE)?, rate);
        }
        Ok(())
    }

    /// Sessions that do nothing.
    pub(super) async fn idle(&mut self) -> Result<()> {
        for side in [Side::Gateway, Side::Jump] {
            // What the first of all need is nobody's in particular.
            let held = self.place.held(side)?;
            drop(self.sessions(side, FIRST).await?);
            self.ended(side, held).await?;
            self.rows.size("idle", side.name(), 0, self.place.memory(side)?);
            let open = self.sessions(side, self.options.idle).await?;
            self.rows.size("idle", side.name(), self.options.idle, self.place.memory(side)?);
            drop(open);
            self.ended(side, held).await?;
        }
        Ok(())
    }

    /// Waits until nothing is left of sessions.
    async fn ended(&self, side: Side, held: usize) -> Result<()> {
        let until = Instant::now() + END_LIMIT;
        while self.place.held(side)? > held {
            ensure!(Instant::now() < until, "sessions by {} do not end", side.name());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn sessions(&self, side: Side, count: u64) -> Result<Vec<Child>> {
        let (mut open, mut beginning) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            if beginning.len() == BEGINNING {
                open.push(beginning.join_next().await.context("no session")???);
            }
            let mut ssh = self.place.ssh(side, CIPHER);
            ssh.args(["-T", "echo; exec sleep 1000"]);
            beginning.spawn(async move {
                let (ssh, _, mut output) = talk(&mut ssh)?;
                output.read_u8().await.context("the beginning of a session")?;
                anyhow::Ok(ssh)
            });
        }
        while let Some(begun) = beginning.join_next().await {
            open.push(begun??);
        }
        Ok(open)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Down,
    Up,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// Starts a client with which one can talk.
fn talk(ssh: &mut tokio::process::Command) -> Result<(Child, ChildStdin, ChildStdout)> {
    let ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut ssh = ssh.spawn().context("start ssh")?;
    let input = ssh.stdin.take().context("ssh's input")?;
    let output = ssh.stdout.take().context("ssh's output")?;
    Ok((ssh, input, output))
}

async fn connect(mut ssh: tokio::process::Command) -> Result<()> {
    let done = ssh.arg("true").stdin(Stdio::null()).status().await.context("start ssh")?;
    ensure!(done.success(), "ssh ended with {done}");
    Ok(())
}
