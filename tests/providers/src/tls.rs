//! The certificate that the simulator serves: made for it, with an authority of its own, or given.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// How connections are secured.
#[derive(Debug, Clone, Default)]
pub enum Tls {
    /// Not at all.
    #[default]
    Plain,
    /// With a certificate for `localhost`, `127.0.0.1` and these names, made at the start.
    Made(Vec<String>),
    /// With this one.
    Given {
        /// The certificate, and those that lead to its authority.
        chain_pem: String,
        /// Its key.
        key_pem: String,
    },
}

/// What serves, and the authority that clients have to trust if it was made.
pub(crate) struct Ready {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) authority_pem: Option<String>,
}

impl Tls {
    /// # Errors
    /// When what was given is no certificate with its key.
    pub(crate) fn ready(&self) -> anyhow::Result<Option<Ready>> {
        let (chain_pem, key_pem, authority_pem) = match self {
            Self::Plain => return Ok(None),
            Self::Given { chain_pem, key_pem } => (chain_pem.clone(), key_pem.clone(), None),
            Self::Made(names) => {
                let (chain, key, authority) = make(names)?;
                (chain, key, Some(authority))
            }
        };
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).context("read the key")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.context("read the certificate")?, key)
            .context("serve the certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Ready { config: Arc::new(config), authority_pem }))
    }
}

/// A certificate, its key, and its authority.
fn make(names: &[String]) -> anyhow::Result<(String, String, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    // Where both had rcgen's own name, OpenSSL would take the certificate for its own authority.
    params.distinguished_name.push(DnType::CommonName, "simulator authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("make an authority")?;
    let names = ["localhost", "127.0.0.1"].map(str::to_owned).into_iter().chain(names.to_vec());
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(names.collect::<Vec<_>>())?;
    let leaf = leaf.signed_by(&key, &authority).context("make a certificate")?;
    Ok((leaf.pem(), key.serialize_pem(), authority.pem()))
}
