//! Who a part is, to parts on other machines: a certificate of the platform's own CA whose only
//! name is a URI, `rigbox://control` or `rigbox://host/<id>`.
//! Invariant: a peer counts as known only when its certificate chains to our CA and carries exactly
//! one such name; names of machines prove nothing. TLS 1.3 only. Key files have mode 0600.
//! Does not decide what a peer may do (see `listen::Accepts` and the handlers).

mod authority;
mod files;
mod verify;

use std::{fmt, str::FromStr, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::HostId;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

pub use authority::PlatformCa;
pub(crate) use verify::peer_name;

const CERTIFICATE_FILE: &str = "identity.crt";
const KEY_FILE: &str = "identity.key";
const CA_FILE: &str = "ca.crt";

/// The name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerName {
    /// The control plane.
    Control,
    /// A host.
    Host(HostId),
}

/// A URI that is no name of one of our parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a part of this platform")]
pub struct InvalidPeerName(String);

/// What went wrong with a certificate, a key or their files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("identity file {path}")]
    File {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A private key can be read by others.
    #[error("key file {path} has mode {mode:o}; it must be 0600")]
    Exposed {
        /// Which file.
        path: Utf8PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file holds no certificate or no key.
    #[error("{what} cannot be read")]
    Pem {
        /// What it should have been.
        what: &'static str,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate could not be made.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
    /// Certificate and key are of no use for TLS.
    #[error("use certificate and key")]
    Tls(#[source] rustls::Error),
    /// The CA is of no use for checking peers.
    #[error("use the platform's CA")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("rigbox://control"),
            Self::Host(id) => write!(f, "rigbox://host/{id}"),
        }
    }
}

impl FromStr for PeerName {
    type Err = InvalidPeerName;

    fn from_str(uri: &str) -> Result<Self, InvalidPeerName> {
        if uri == "rigbox://control" {
            return Ok(Self::Control);
        }
        uri.strip_prefix("rigbox://host/")
            .and_then(|id| id.parse().ok())
            .map(Self::Host)
            .ok_or_else(|| InvalidPeerName(uri.to_owned()))
    }
}

/// A certificate with its key and the CA that peers are checked against.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ca: CertificateDer<'static>,
}

/// A new identity as text, to be saved where it will be used.
pub struct IssuedIdentity {
    /// Certificate, PEM.
    pub certificate: String,
    /// Private key, PEM.
    pub key: secrecy::SecretString,
    /// Certificate of the CA, PEM.
    pub ca: String,
}

impl IssuedIdentity {
    /// Writes the three files into `dir`, each one whole or not at all; the certificate last, so
    /// that an identity that can be found is complete.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn save(&self, dir: &Utf8Path) -> Result<(), IdentityError> {
        use secrecy::ExposeSecret as _;
        files::write(&dir.join(CA_FILE), self.ca.as_bytes())?;
        files::write(&dir.join(KEY_FILE), self.key.expose_secret().as_bytes())?;
        files::write(&dir.join(CERTIFICATE_FILE), self.certificate.as_bytes())
    }
}

impl Identity {
    /// Reads what [`IssuedIdentity::save`] wrote.
    ///
    /// # Errors
    /// Where a file is missing, open to others, or no PEM.
    pub fn load(dir: &Utf8Path) -> Result<Self, IdentityError> {
        let certificate = files::read(&dir.join(CERTIFICATE_FILE))?;
        let key = files::read_secret(&dir.join(KEY_FILE))?;
        let ca = files::read(&dir.join(CA_FILE))?;
        Self::from_pem(&certificate, &key, &ca)
    }

    /// Reads the three PEM texts.
    ///
    /// # Errors
    /// Where one is no PEM.
    pub fn from_pem(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Self, IdentityError> {
        let pem = |what| move |source| IdentityError::Pem { what, source };
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(pem("private key"))?;
        let ca = CertificateDer::from_pem_slice(ca).map_err(pem("certificate of the CA"))?;
        Ok(Self { chain, key, ca })
    }

    pub(crate) fn client_config(
        &self,
        expect: &PeerName,
    ) -> Result<Arc<ClientConfig>, IdentityError> {
        let verifier = verify::ServerByName::new(self.roots()?, expect.clone());
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(IdentityError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(IdentityError::Tls)?;
        Ok(Arc::new(config))
    }

    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let roots = Arc::new(self.roots()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(IdentityError::Verifier)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(IdentityError::Tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(IdentityError::Tls)?;
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).map_err(IdentityError::Tls)?;
        Ok(roots)
    }
}

/// The one crypto backend, named so that no process-wide default is needed.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
