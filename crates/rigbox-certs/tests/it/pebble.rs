//! A Pebble of its own for each test.

use std::{collections::BTreeMap, process::Stdio};

use rcgen::{CertificateParams, Issuer, KeyPair};
use rigbox_certs::{Authority, LocalCa};
use rigbox_test_ports::free;
use rigbox_types::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::world::{World, now};

/// What a Pebble is started with.
#[derive(Default)]
pub(crate) struct Options {
    /// Requests in a hundred whose nonce is refused.
    pub(crate) nonces_refused: u8,
    /// Authorizations in a hundred that are used again.
    pub(crate) proofs_reused: u8,
    /// Keys of external accounts; with one, each account must have one.
    pub(crate) external: BTreeMap<String, String>,
}

pub(crate) struct Pebble {
    dir: TempDir,
    child: Child,
    pub(crate) directory: String,
    ca: String,
}

impl Pebble {
    /// Starts one that asks `world` for names, pages and handshakes.
    pub(crate) async fn start(world: &World, options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let own = Own::make();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("chain.pem"), &own.chain).unwrap();
        std::fs::write(path("key.pem"), &own.key).unwrap();
        let (port, management) = (free().unwrap(), free().unwrap());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("chain.pem"),
            "privateKey": path("key.pem"),
            "httpPort": world.http.port(),
            "tlsPort": world.tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !options.external.is_empty(),
            "externalAccountMACKeys": options.external,
            "retryAfter": { "authz": 1, "order": 1 },
        }});
        std::fs::write(path("config.json"), config.to_string()).unwrap();
        let mut child = Command::new("pebble")
            .args(["-config", &path("config.json"), "-strict"])
            .args(["-dnsserver", &world.dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_VA_ALWAYS_VALID", "0")
            .env("PEBBLE_WFE_NONCEREJECT", options.nonces_refused.to_string())
            .env("PEBBLE_AUTHZREUSE", options.proofs_reused.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("pebble (Debian package pebble) is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("ACME directory available") {
                break;
            }
        }
        // It says so a moment before.
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "pebble has ended");
            tokio::task::yield_now().await;
        }
        // It writes a line for each thing it does, which somebody has to read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let directory = format!("https://localhost:{port}/dir");
        Self { dir, child, directory, ca: own.ca }
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority {
            directory: self.directory.clone(),
            roots: Some(self.ca.clone().into_bytes()),
            email: Some("operator@example.com".to_owned()),
            terms_agreed: true,
            external: None,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.unwrap();
        self.dir.close().unwrap();
    }
}

/// The certificate of a server on this machine, and the CA that has signed it.
pub(crate) struct Own {
    pub(crate) ca: String,
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Own {
    pub(crate) fn make() -> Self {
        let (ca, key) = LocalCa::make("localhost", now()).unwrap();
        let signer = KeyPair::from_pem(key.expose_secret()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(ca.certificate_pem(), signer).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let chain = params.signed_by(&key, &issuer).unwrap().pem();
        Self { ca: ca.certificate_pem().to_owned(), chain, key: key.serialize_pem() }
    }
}

/// Long ago.
pub(crate) fn epoch() -> Timestamp {
    Timestamp::from_micros(0)
}
