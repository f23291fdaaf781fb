//! What a certificate says: its names, its time, and by what its authority knows it.
//! Does not check who signed it: the authority was asked over a connection that was checked.

use instant_acme::CertificateIdentifier;
use rcgen::{KeyPair, PublicKeyData as _};
use rigbox_types::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::{date, moment};

/// Most bytes of a chain: three certificates have some 6 KiB.
const CHAIN_MAX_BYTES: usize = 64 * 1024;

/// The first certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The DNS names it is for, in lower case, sorted.
    pub names: Vec<String>,
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// By what its authority knows it in renewal information and in `replaces`; none where it
    /// names no key of its authority.
    pub id: Option<String>,
    spki: Vec<u8>,
}

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// It is no certificate.
    #[error("the chain holds no certificate that can be read: {0}")]
    Form(String),
    /// It is for other names than were asked for.
    #[error("the certificate is for {found:?}, not for {wanted:?}")]
    Names {
        /// What it is for.
        found: Vec<String>,
        /// What was asked for.
        wanted: Vec<String>,
    },
    /// It is not good yet or not any longer.
    #[error("the certificate is good from {not_before} to {not_after}, which is not now")]
    Time {
        /// From when.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
    },
    /// It is for another key.
    #[error("the certificate is not for the key that was made for it")]
    Key,
}

impl Leaf {
    /// Reads the first certificate of a chain in PEM.
    ///
    /// # Errors
    /// Where there is none or it cannot be read.
    pub fn read(chain_pem: &str) -> Result<Self, LeafError> {
        if chain_pem.len() > CHAIN_MAX_BYTES {
            return Err(LeafError::Form(format!("it has more than {CHAIN_MAX_BYTES} bytes")));
        }
        let der = CertificateDer::from_pem_slice(chain_pem.as_bytes())
            .map_err(|error| LeafError::Form(error.to_string()))?;
        let (_, parsed) =
            parse_x509_certificate(&der).map_err(|error| LeafError::Form(error.to_string()))?;
        let alternative =
            parsed.subject_alternative_name().map_err(|e| LeafError::Form(e.to_string()))?;
        let mut names: Vec<String> = alternative
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        let validity = parsed.validity();
        Ok(Self {
            names,
            not_before: moment(validity.not_before.to_datetime()),
            not_after: moment(validity.not_after.to_datetime()),
            id: CertificateIdentifier::try_from(&der).ok().map(|id| id.to_string()),
            spki: parsed.public_key().raw.to_vec(),
        })
    }

    /// Whether it is what was asked for: these names, this key, good now.
    ///
    /// # Errors
    /// Says which of it is not so.
    pub fn check(&self, names: &[String], key: &KeyPair, now: Timestamp) -> Result<(), LeafError> {
        let mut wanted = names.to_vec();
        wanted.sort();
        wanted.dedup();
        if wanted != self.names {
            return Err(LeafError::Names { found: self.names.clone(), wanted });
        }
        if key.subject_public_key_info() != self.spki {
            return Err(LeafError::Key);
        }
        // An authority's clock may be somewhat ahead of ours.
        let ahead = date(now).saturating_add(time::Duration::hours(1));
        if self.not_before > moment(ahead) || self.not_after <= now {
            let (not_before, not_after) = (self.not_before, self.not_after);
            return Err(LeafError::Time { not_before, not_after });
        }
        Ok(())
    }
}
