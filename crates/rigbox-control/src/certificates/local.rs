//! The local CA, kept in the database, and what it signs.

use rigbox_certs::{Issued, LocalCa};
use rigbox_store::certificates::LocalCaRow;
use secrecy::ExposeSecret as _;

use super::{CertificateError, Certificates, Use};

impl Certificates {
    /// Has the local CA sign for the platform's domain; makes it where there is none or it has ended.
    pub(super) async fn sign_locally(&self) -> Result<Issued, CertificateError> {
        let now = self.now();
        let store = self.store.certificates();
        if let Some(row) = store.local_ca(&self.domain).await? {
            let ca = self.open_ca(&row)?;
            if ca.not_after() > now {
                return Ok(ca.issue(now)?);
            }
            tracing::warn!("the local CA has ended; whoever trusts it has to install the new one");
            store.remove_local_ca(&self.domain, &row).await?;
        }
        let (ca, key) = LocalCa::make(&self.domain, now)?;
        let key = key.expose_secret().as_bytes();
        let made = LocalCaRow {
            certificate: ca.certificate_pem().to_owned(),
            sealed_key: self.sealer.seal(Use::Ca, &self.domain, key)?,
        };
        // Another process may have been faster.
        let kept = store.keep_local_ca(&self.domain, &made).await?;
        Ok(self.open_ca(&kept)?.issue(now)?)
    }

    fn open_ca(&self, row: &LocalCaRow) -> Result<LocalCa, CertificateError> {
        let key = self.sealer.unseal(Use::Ca, &self.domain, &row.sealed_key)?;
        Ok(LocalCa::open(&self.domain, &row.certificate, &key.into())?)
    }
}
