//! The simulator as a program, for measurements and for clients that are no tests of ours. Prints one
//! line of JSON with its address when it serves, and serves until it is ended.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use clap::Parser;
use rigbox_test_providers::{Behaviour, Options, Providers, Tls};

/// Simulates the AI providers.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The only key that is accepted. Any is if this is absent.
    #[arg(long)]
    key: Option<String>,
    /// The default behaviour, as JSON.
    #[arg(long)]
    behaviour: Option<String>,
    /// Serve TLS with a certificate made for localhost, and write its authority to this file.
    #[arg(long, conflicts_with = "tls_certificate")]
    tls_authority_out: Option<Utf8PathBuf>,
    /// Another name of that certificate.
    #[arg(long)]
    tls_name: Vec<String>,
    /// Serve TLS with this certificate.
    #[arg(long, requires = "tls_key")]
    tls_certificate: Option<Utf8PathBuf>,
    /// The key of that certificate.
    #[arg(long)]
    tls_key: Option<Utf8PathBuf>,
    /// How many threads serve.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

impl Arguments {
    fn tls(&self) -> anyhow::Result<Tls> {
        match (&self.tls_authority_out, &self.tls_certificate, &self.tls_key) {
            (Some(_), _, _) => Ok(Tls::Made(self.tls_name.clone())),
            (None, Some(certificate), Some(key)) => Ok(Tls::Given {
                chain_pem: std::fs::read_to_string(certificate).context("read the certificate")?,
                key_pem: std::fs::read_to_string(key).context("read the key")?,
            }),
            _ => Ok(Tls::Plain),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let behaviour: Behaviour = match &arguments.behaviour {
        Some(text) => serde_json::from_str(text).context("read the behaviour")?,
        None => Behaviour::default(),
    };
    let options = Options {
        listen: arguments.listen,
        tls: arguments.tls()?,
        key: arguments.key.clone(),
        behaviour,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(arguments.threads.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let providers = Providers::start(options).await?;
        if let (Some(path), Some(pem)) = (&arguments.tls_authority_out, providers.authority_pem()) {
            std::fs::write(path, pem).with_context(|| format!("write {path}"))?;
        }
        let ready = serde_json::json!({ "address": providers.address().to_string() });
        writeln!(std::io::stdout(), "{ready}")?;
        tokio::signal::ctrl_c().await.context("wait for an interrupt")
    })
}
