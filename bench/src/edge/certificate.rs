//! The certificate that all sides serve, and clients that trust it and nothing else.
//! Does not last: made anew for each run.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::product::DOMAIN;

/// A wildcard's, self-signed, with a P-256 key.
pub(super) struct Certificate {
    pub(super) chain_pem: String,
    pub(super) key_pem: String,
    /// Both in one file, and each in its own.
    pub(super) both: Utf8PathBuf,
    pub(super) chain: Utf8PathBuf,
    pub(super) key: Utf8PathBuf,
}

impl Certificate {
    /// Makes one and writes it below `folder`.
    pub(super) fn make(folder: &Utf8Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([format!("*.{DOMAIN}")])
            .context("make a certificate")?;
        let (chain_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        let [both, chain, key] = ["both.pem", "chain.pem", "key.pem"].map(|at| folder.join(at));
        std::fs::write(&both, format!("{chain_pem}{key_pem}")).context("write the certificate")?;
        std::fs::write(&chain, &chain_pem).context("write the certificate")?;
        std::fs::write(&key, &key_pem).context("write the key")?;
        Ok(Self { chain_pem, key_pem, both, chain, key })
    }

    /// What a client is made with that offers this protocol.
    pub(super) fn client(&self, alpn: &str, resumes: bool) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()) {
            roots.add(certificate.context("read the certificate")?).context("trust it")?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("a TLS client")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

/// A new connection, its handshake done.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    to: SocketAddr,
    name: &str,
) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).context("a server's name")?;
    TlsConnector::from(config).connect(name, stream).await.context("shake hands")
}
