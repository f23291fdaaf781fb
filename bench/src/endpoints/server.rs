//! Servers in processes of their own: this executable again, with another subcommand. A server says
//! its address on standard output when it serves, and ends when its standard input does.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::{CertificateConfig, Config, EdgeConfig, SshGateway};
use rigbox_fabric::{Address, ClientAuth, ServerAuth};
use rigbox_store::SystemClock;
use rigbox_types::rate::RateLimits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::output::data;

/// What control is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// Directory of its own.
    folder: Utf8PathBuf,
    /// The database.
    database: String,
}

/// A server's process.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Process {
    /// Starts this executable with these words and waits until it serves.
    pub(crate) fn start(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("find this executable")?);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start a server")?;
        let output = child.stdout.take().context("the server's output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address).context("read the server's address")?;
        ensure!(!address.is_empty(), "the server {words:?} has ended");
        Ok(Self { child, address: address.trim().to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it politely.
    pub(crate) fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().context("wait for a server")?;
        ensure!(status.success(), "a server ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Control, for the operator.
pub(crate) struct Control {
    pub(crate) process: Process,
    pub(crate) key: String,
}

impl Control {
    /// Starts it and reads its key.
    pub(crate) async fn start(folder: &Utf8Path, database: &str) -> Result<Self> {
        let process = Process::start(&["serve-control", folder.as_str(), database])?;
        // The listener queues what comes before control serves; then the key is there.
        let mut stranger = crate::api::Api::new(&process.address, "none");
        stranger.get("/capacity").await.context("ask control for the first time")?;
        let key = tokio::fs::read_to_string(folder.join("admin.key")).await;
        let key = key.context("read the operator's key")?.trim().to_owned();
        Ok(Self { process, key })
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Result<()> {
        self.process.end()
    }
}

/// Control until standard input ends: the same parts as in `rigbox control`, without what makes it
/// another user.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn serve(options: Serve) -> Result<()> {
    /// More than anybody can ask.
    const PLENTY: u32 = 1_000_000_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        let folder = options.folder;
        let config = Config {
            store: options.database.parse()?,
            secrets: folder.join("secrets"),
            admin_key_file: Some(folder.join("admin.key")),
            internal: Address::Unix(folder.join("c.sock")),
            internal_auth: ServerAuth::Local { peer_uid: None },
            host_auth: ClientAuth::Local,
            region: "local".parse()?,
            api_url: format!("http://{address}"),
            ssh: SshGateway { domain: "bench.test".to_owned(), port: 22, enabled: false },
            rates: RateLimits {
                authentication: PLENTY,
                workspaces: PLENTY,
                apps: PLENTY,
                open: PLENTY,
            },
            trusted_proxies: Vec::new(),
            oidc: Vec::new(),
            certificates: CertificateConfig::default(),
            edge: EdgeConfig::local(&format!("http://{address}")),
            clock: Arc::new(SystemClock),
        };
        let shutdown = CancellationToken::new();
        data(&address.to_string());
        until_input_ends(shutdown.clone());
        rigbox_control::run(config, listener, shutdown).await.context("serve")
    })
}

/// Cancels when standard input ends, so that a server never outlives the run.
pub(crate) fn until_input_ends(shutdown: CancellationToken) {
    std::thread::spawn(move || {
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
        shutdown.cancel();
    });
}
