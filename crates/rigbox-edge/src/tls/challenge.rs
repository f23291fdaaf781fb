//! The certificate that answers a `tls-alpn-01` challenge (RFC 8737): self-signed, for one name, with
//! the digest of the key authorization. Keeps nothing.

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

/// The protocol that an authority asks for.
pub(crate) const ALPN: &[u8] = b"acme-tls/1";

/// Length of a SHA-256 digest.
const DIGEST_LEN: usize = 32;

/// Makes the certificate; none where the digest is none.
pub(super) fn certified_key(name: &str, digest: &str) -> Option<CertifiedKey> {
    let digest = super::tickets::unhex::<DIGEST_LEN>(digest)?;
    let make = || -> Result<CertifiedKey, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let pair = KeyPair::generate()?;
        let certificate = params.self_signed(&pair)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let chain = vec![certificate.der().clone()];
        // Not `from_der`: nothing here has to be compared.
        Ok(CertifiedKey::new(chain, ring::default_provider().key_provider.load_private_key(key)?))
    };
    make().inspect_err(|error| tracing::warn!(%name, %error, "challenge cannot be answered")).ok()
}
