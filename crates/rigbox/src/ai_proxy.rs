//! The role `ai-proxy`: reads its file and the keys of providers, gives root up and serves calls.
//! It becomes the user that control becomes: both are of the control zone, and write the same database.
//! Invariant: no thread is started and no byte of a workspace is read before root is given up.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_ai_proxy::{Config, Prices, ProviderConfig, ProviderSettings};
use rigbox_control::SystemClock;
use rigbox_fabric::{ServerAuth, descriptors};
use serde::{Deserialize, Serialize};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::{control::store_url, role};

/// The file that `rigbox up` writes for this role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AiProxyFile {
    /// The user that the role becomes.
    pub(crate) uid: u32,
    /// Where hosts reach it.
    pub(crate) listen: String,
    /// Directory of the installation's own secrets.
    pub(crate) secrets: Utf8PathBuf,
    /// Directory of the journal of calls.
    pub(crate) journal: Utf8PathBuf,
    /// The embedded database.
    pub(crate) database: Utf8PathBuf,
    /// File with the URL of a PostgreSQL database, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database_url_file: Option<Utf8PathBuf>,
    /// Prices over those that are compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prices_file: Option<Utf8PathBuf>,
    /// Names of models that stand for others.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, String>,
    /// Providers, by name.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, ProviderSettings>,
}

/// Runs the role until SIGTERM. SIGHUP has it read its prices again.
///
/// # Errors
/// Says which step of the start failed, or why it ended.
pub(crate) fn run(config: &Utf8Path, parent: Option<u32>) -> anyhow::Result<()> {
    role::follow(parent)?;
    descriptors::raise_limit().context("raise the limit of open files")?;
    let text = std::fs::read_to_string(config).with_context(|| format!("read {config}"))?;
    let file: AiProxyFile = toml::from_str(&text).with_context(|| format!("read {config}"))?;
    // Read as root: files of secrets need not be readable for the role's user.
    let store = store_url(&file.database, file.database_url_file.as_deref())?;
    let providers = file.providers.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
    role::give_root_up("the AI proxy", file.uid, &[])?;
    // Becoming another user undoes it.
    role::follow(parent)?;
    /// Calls are passed on by few instructions each, and many at once.
    const THREADS_MAX: usize = 64;
    role::serve(THREADS_MAX, async |shutdown| {
        let reload = Arc::new(Notify::new());
        let mut hang_up = signal(SignalKind::hangup()).context("watch for SIGHUP")?;
        let asked = reload.clone();
        let watching = tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                asked.notify_one();
            }
        });
        let config = Config {
            store,
            clock: Arc::new(SystemClock),
            secrets: file.secrets,
            journal: file.journal,
            listen: file.listen.parse().context("listen")?,
            // Root, which the host agent is, may always come.
            auth: ServerAuth::Local { peer_uid: None },
            providers,
            aliases: file.aliases,
            prices: Prices { file: file.prices_file, reload },
        };
        let ran = Box::pin(rigbox_ai_proxy::run(config, shutdown)).await;
        watching.abort();
        ran.context("run the AI proxy")
    })
}

/// A provider with what its files hold.
fn provider((name, settings): (&String, &ProviderSettings)) -> anyhow::Result<ProviderConfig> {
    let read = |path: &Utf8PathBuf| std::fs::read(path).with_context(|| format!("read {path}"));
    Ok(ProviderConfig {
        name: name.parse().with_context(|| format!("ai.providers.{name}"))?,
        settings: settings.clone(),
        key: settings.key_file.as_deref().map(role::secret).transpose()?,
        authorities: settings.ca_file.as_ref().map(read).transpose()?,
    })
}
