//! The local CA: signs for the platform's own domain where no public authority does.
//! Invariants: it can sign for the platform's domain and names below it and for nothing else,
//! whoever has its key: that is in its certificate, and programs that trust it check it; no
//! certificate of it outlives it.
//! Does not keep its key: whoever calls does, encrypted.

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use rigbox_types::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use time::Duration;

use crate::{Issued, Leaf, LeafError, date};

/// A person installs it by hand on each machine, so it lasts.
const CA_VALIDITY: Duration = Duration::days(10 * 365);

/// Below what every browser still accepts of a CA that a person has installed (825 days at most),
/// and as short as public ones, so that renewal is no rare event.
const LEAF_VALIDITY: Duration = Duration::days(90);

/// A certificate is good a little before it was made: clocks of machines differ.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// Characters of the CA's name that tell it from another platform's with the same domain.
const MARK_CHARS: usize = 8;

/// The CA of one domain.
pub struct LocalCa {
    domain: String,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_after: Timestamp,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// It could not be made.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
    /// What was made or kept is of no use.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The CA's key is not that of its certificate.
    #[error("the key of the local CA is not that of its certificate")]
    Key,
    /// The CA has ended.
    #[error("the local CA ended at {0}")]
    Ended(Timestamp),
}

impl LocalCa {
    /// Makes the CA of a domain, which signs for it and for what is below it.
    ///
    /// # Errors
    /// Where the domain cannot be in a certificate.
    pub fn make(domain: &str, now: Timestamp) -> Result<(Self, SecretString), LocalError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("Rigbox local CA {domain} {}", mark(&key)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // A permitted DNS name says nothing of addresses, so these are excluded all.
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
        let now = date(now);
        params.not_before = now.saturating_sub(CLOCK_SKEW);
        params.not_after = now.saturating_add(CA_VALIDITY);
        let certificate_pem = params.self_signed(&key)?.pem();
        let key_pem = SecretString::from(key.serialize_pem());
        Ok((Self::open(domain, &certificate_pem, &key_pem)?, key_pem))
    }

    /// Opens one that was kept.
    ///
    /// # Errors
    /// Where it cannot be read, or its key belongs to another one.
    pub fn open(
        domain: &str,
        certificate_pem: &str,
        key_pem: &SecretString,
    ) -> Result<Self, LocalError> {
        let key = KeyPair::from_pem(key_pem.expose_secret())?;
        let leaf = Leaf::read(certificate_pem)?;
        // A CA has no names of its own.
        leaf.check(&[], &key, leaf.not_before).map_err(|_| LocalError::Key)?;
        Ok(Self {
            domain: domain.to_owned(),
            certificate_pem: certificate_pem.to_owned(),
            issuer: Issuer::from_ca_cert_pem(certificate_pem, key)?,
            not_after: leaf.not_after,
        })
    }

    /// Its certificate, in PEM: what people install.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// When it ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Makes a key and signs for the domain and everything one label below it.
    ///
    /// # Errors
    /// Where the CA has ended or a certificate cannot be made.
    pub fn issue(&self, now: Timestamp) -> Result<Issued, LocalError> {
        let mut names = vec![self.domain.clone()];
        // A wildcard right below a top-level domain is taken by nobody, and spoils what is beside it.
        if self.domain.contains('.') {
            names.push(format!("*.{}", self.domain));
        }
        let end = date(now).saturating_add(LEAF_VALIDITY).min(date(self.not_after));
        if self.not_after <= now {
            return Err(LocalError::Ended(self.not_after));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&self.domain);
        for name in &names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date(now).saturating_sub(CLOCK_SKEW);
        params.not_after = end;
        let key = KeyPair::generate()?;
        let chain_pem = params.signed_by(&key, &self.issuer)?.pem();
        let leaf = Leaf::read(&chain_pem)?;
        leaf.check(&names, &key, now)?;
        Ok(Issued { chain_pem, key_pem: key.serialize_pem().into(), leaf })
    }
}

/// Part of the key's fingerprint.
fn mark(key: &KeyPair) -> String {
    use rcgen::PublicKeyData as _;
    let digest = rustls::crypto::ring::default_provider()
        .cipher_suites
        .iter()
        .find_map(|suite| suite.tls13())
        .map(|suite| suite.common.hash_provider.hash(&key.subject_public_key_info()));
    let bytes = digest.as_ref().map(AsRef::as_ref).unwrap_or_default();
    bytes.iter().take(MARK_CHARS / 2).map(|byte| format!("{byte:02x}")).collect()
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
