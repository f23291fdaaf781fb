//! TLS as the edge speaks it: 1.2 and 1.3 on ring, certificates by name from the table, tickets under
//! keys that control gives. Invariants: a name without a certificate gets none of another name; early
//! data is never taken (a replay would reach an app); nothing is remembered of a session here.

mod challenge;
mod tickets;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rigbox_types::edge::EdgeCertificate;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

pub(crate) use challenge::ALPN as ACME_ALPN;
pub(crate) use tickets::Tickets;

use crate::table::Snapshot;

/// The longest chain that is served.
const CHAIN_MAX: usize = 8;

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("it is not in PEM")]
    Pem,
    #[error("it has no certificate, or more than {CHAIN_MAX}")]
    Chain,
    #[error("its key is of no use: {0}")]
    Key(rustls::Error),
}

/// Makes a certificate ready for use.
pub(crate) fn certified_key(told: &EdgeCertificate) -> Result<CertifiedKey, CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(told.chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Pem)?;
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        return Err(CertificateError::Chain);
    }
    let key = PrivateKeyDer::from_pem_slice(told.key_pem.as_bytes())
        .map_err(|_| CertificateError::Pem)?;
    // Also compares the key with the certificate.
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(CertificateError::Key)
}

/// The configuration of the listener. Certificates and keys of tickets are looked up anew at each
/// handshake, so it never has to be replaced.
pub(crate) fn config(
    table: Arc<ArcSwap<Snapshot>>,
    tickets: Arc<Tickets>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(table)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_ALPN.to_vec()];
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A browser uses one; each costs an encryption and 200 bytes.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

struct Resolver(Arc<ArcSwap<Snapshot>>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        let lower;
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        let table = self.0.load();
        let mut protocols = hello.alpn().into_iter().flatten();
        // An authority offers this protocol and no other.
        if protocols.next() == Some(ACME_ALPN) && protocols.next().is_none() {
            return challenge::certified_key(name, table.alpn_challenge(name)?).map(Arc::new);
        }
        table.certificate(name).map(|certificate| certificate.key.clone())
    }
}
