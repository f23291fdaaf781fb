//! Control in a process of its own.

use std::sync::Arc;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::{CertificateConfig, Config, EdgeConfig, SshGateway};
use rigbox_fabric::{Address, ClientAuth, ServerAuth};
use rigbox_store::SystemClock;
use rigbox_types::rate::RateLimits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    output::data,
    process::{Process, until_input_ends},
};

/// What control is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// Directory of its own.
    folder: Utf8PathBuf,
    /// The database.
    database: String,
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
            ssh: SshGateway {
                host: None,
                domain: "bench.test".to_owned(),
                port: 22,
                enabled: false,
                internal: None,
                uid: None,
                dial_socket: None,
            },
            rates: RateLimits {
                authentication: PLENTY,
                workspaces: PLENTY,
                apps: PLENTY,
                open: PLENTY,
            },
            audit_kept: std::time::Duration::from_secs(396 * 24 * 3600),
            trusted_proxies: Vec::new(),
            oidc: Vec::new(),
            certificates: CertificateConfig::default(),
            patience: rigbox_control::Patience::default(),
            edge: EdgeConfig::local(&format!("http://{address}")),
            clock: Arc::new(SystemClock),
        };
        let shutdown = CancellationToken::new();
        data(&address.to_string());
        until_input_ends(shutdown.clone());
        rigbox_control::run(config, listener, shutdown).await.context("serve")
    })
}
