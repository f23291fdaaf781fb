//! The local CA, as OpenSSL and curl see it.

use std::{path::Path, process::Stdio};

use rcgen::{CertificateParams, Issuer, KeyPair};
use rigbox_certs::{LocalCa, LocalError};
use rigbox_types::Timestamp;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{pebble::epoch, world::now};

async fn verify(ca: &Path, name: Option<&str>, leaf: &Path) -> String {
    let said = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver"])
        .args(name.into_iter().flat_map(|name| ["-verify_hostname", name]))
        .arg("-CAfile")
        .args([ca, leaf])
        .output()
        .await
        .unwrap();
    String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
}

#[tokio::test]
async fn openssl_takes_its_certificates_for_its_domain_and_for_nothing_else() {
    let dir = TempDir::new().unwrap();
    let (ca, key) = LocalCa::make("rigbox.localhost", now()).unwrap();
    // As after a restart.
    let ca = LocalCa::open("rigbox.localhost", ca.certificate_pem(), &key).unwrap();
    let (root, path) = (dir.path().join("ca.pem"), dir.path().join("leaf.pem"));
    std::fs::write(&root, ca.certificate_pem()).unwrap();
    let issued = ca.issue(now()).unwrap();
    std::fs::write(&path, &issued.chain_pem).unwrap();
    for name in ["rigbox.localhost", "shop.rigbox.localhost"] {
        let said = verify(&root, Some(name), &path).await;
        assert!(said.contains(": OK"), "{name}: {said}");
    }
    let said = verify(&root, Some("a.b.rigbox.localhost"), &path).await;
    assert!(said.contains("hostname mismatch"), "{said}");
    // Whoever has the key can still sign for nothing else.
    let signer = KeyPair::from_pem(key.expose_secret()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(ca.certificate_pem(), signer).unwrap();
    for name in ["example.com", "127.0.0.1", "::1"] {
        let leaf_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&leaf_key, &issuer).unwrap();
        std::fs::write(&path, leaf.pem()).unwrap();
        let said = verify(&root, None, &path).await;
        assert!(said.contains("subtree violation"), "{name}: {said}");
    }
}

#[tokio::test]
async fn curl_takes_it() {
    let dir = TempDir::new().unwrap();
    let (ca, _) = LocalCa::make("rigbox.localhost", now()).unwrap();
    let issued = ca.issue(now()).unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("ca.pem"), ca.certificate_pem()).unwrap();
    std::fs::write(path("leaf.pem"), &issued.chain_pem).unwrap();
    std::fs::write(path("key.pem"), issued.key_pem.expose_secret()).unwrap();
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
        .arg(path("leaf.pem"))
        .arg("-key")
        .arg(path("key.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.rsplit(':').next().unwrap().to_owned();
        }
    };
    let said = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
        .arg(path("ca.pem"))
        .args(["--resolve", &format!("my-app.rigbox.localhost:{port}:127.0.0.1")])
        .arg(format!("https://my-app.rigbox.localhost:{port}/"))
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "200", "{said:?}");
    server.kill().await.unwrap();
}

#[test]
fn its_certificates_last_less_than_it_does() {
    let (ca, key) = LocalCa::make("rigbox.localhost", epoch()).unwrap();
    let end = ca.not_after().as_micros();
    let day = 24 * 3600 * 1_000_000;
    let at = |micros| Timestamp::from_micros(micros);
    assert_eq!(end, 3650 * day);
    assert_eq!(ca.issue(epoch()).unwrap().leaf.not_after, at(90 * day));
    assert_eq!(ca.issue(at(end - day)).unwrap().leaf.not_after, ca.not_after());
    assert!(matches!(ca.issue(at(end)), Err(LocalError::Ended(_))));
    let (other, _) = LocalCa::make("rigbox.localhost", epoch()).unwrap();
    let opened = LocalCa::open("rigbox.localhost", other.certificate_pem(), &key);
    assert!(matches!(opened, Err(LocalError::Key)));
}
