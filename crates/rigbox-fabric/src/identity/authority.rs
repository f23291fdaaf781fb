//! The platform's CA. Owns its key; lives in the control zone only.

use camino::Utf8Path;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rigbox_types::Timestamp;
use time::{Duration, OffsetDateTime};

use super::{CA_FILE, IdentityError, IssuedIdentity, PeerName, files};

const CA_KEY_FILE: &str = "ca.key";

/// The CA's certificate outlives every installation that is looked after at all.
const CA_VALIDITY: Duration = Duration::days(20 * 365);

/// An identity is issued anew at least this often.
const IDENTITY_VALIDITY: Duration = Duration::days(365);

/// A certificate is valid a little before it was made: clocks of machines differ.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// The CA that signs the identity of every part.
pub struct PlatformCa {
    key: KeyPair,
    certificate: String,
}

impl PlatformCa {
    /// Opens the CA in `dir`, or makes it. A key without certificate (the making was interrupted)
    /// gets one.
    ///
    /// # Errors
    /// Where a file cannot be read or written, or holds something else.
    pub fn open_or_create(dir: &Utf8Path, now: Timestamp) -> Result<Self, IdentityError> {
        let (key_path, certificate_path) = (dir.join(CA_KEY_FILE), dir.join(CA_FILE));
        if !key_path.exists() {
            let key = KeyPair::generate().map_err(IdentityError::Make)?;
            files::write(&key_path, key.serialize_pem().as_bytes())?;
        }
        let text = files::read_secret(&key_path)?;
        let key =
            KeyPair::from_pem(&String::from_utf8_lossy(&text)).map_err(IdentityError::Make)?;
        if !certificate_path.exists() {
            let mut params = ca_params();
            (params.not_before, params.not_after) = validity(now, CA_VALIDITY);
            let certificate = params.self_signed(&key).map_err(IdentityError::Make)?;
            files::write(&certificate_path, certificate.pem().as_bytes())?;
        }
        let certificate = files::read(&certificate_path)?;
        Ok(Self { key, certificate: String::from_utf8_lossy(&certificate).into_owned() })
    }

    /// Makes a key and signs a certificate for `name`.
    ///
    /// # Errors
    /// Where the certificate cannot be made.
    pub fn issue(&self, name: &PeerName, now: Timestamp) -> Result<IssuedIdentity, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Rigbox part");
        params.subject_alt_names =
            vec![SanType::URI(name.to_string().try_into().map_err(IdentityError::Make)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, IDENTITY_VALIDITY);
        let key = KeyPair::generate().map_err(IdentityError::Make)?;
        let issuer = Issuer::new(ca_params(), &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(IdentityError::Make)?;
        Ok(IssuedIdentity {
            certificate: certificate.pem(),
            key: key.serialize_pem().into(),
            ca: self.certificate.clone(),
        })
    }
}

/// What the CA's certificate says besides its dates; also what names it in the ones it signs.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Rigbox platform CA");
    // It signs parts, never another CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn validity(now: Timestamp, length: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let seconds = now.as_micros() / 1_000_000;
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (now.saturating_sub(CLOCK_SKEW), now.saturating_add(length))
}
