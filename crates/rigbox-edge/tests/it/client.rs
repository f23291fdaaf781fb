//! Clients: bytes over TLS, curl, and HTTP/2 by hyper.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::world::World;

pub(crate) type Tls = TlsStream<TcpStream>;

pub(crate) type Sender<B> = hyper::client::conn::http2::SendRequest<B>;

impl World {
    pub(crate) fn tls(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.authority.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    pub(crate) async fn shake(
        &self,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> std::io::Result<Tls> {
        let tcp = TcpStream::connect(self.https).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(config).connect(name, tcp).await
    }

    /// An HTTP/1.1 connection for a name.
    pub(crate) async fn connect(&self, name: &str) -> Tls {
        self.shake(Arc::new(self.tls(&["http/1.1"])), name).await.unwrap()
    }

    /// Sends bytes and reads until the edge closes.
    pub(crate) async fn say(&self, name: &str, bytes: &[u8]) -> String {
        let mut stream = self.connect(name).await;
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    /// Asks for a path with lines of headers, as HTTP/1.1, once.
    pub(crate) async fn ask(&self, name: &str, path: &str, lines: &[&str]) -> String {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n");
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        self.say(name, text.as_bytes()).await
    }

    pub(crate) async fn h2<B>(&self, name: &str) -> Sender<B>
    where
        B: http_body::Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.shake(Arc::new(self.tls(&["h2"])), name).await.unwrap();
        let made = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, driver) = made.unwrap();
        tokio::spawn(driver);
        sender
    }

    /// What curl gets; its first argument is a URL's path.
    pub(crate) async fn curl(&self, name: &str, path: &str, args: &[&str]) -> String {
        let port = self.https.port();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert"])
            .arg(self.folder.join("ca.pem"))
            .arg("--resolve")
            .arg(format!("{name}:{port}:127.0.0.1"))
            .args(args)
            .arg(format!("https://{name}:{port}{path}"))
            .output()
            .await
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Everything up to the end, however it comes about.
pub(crate) async fn rest(stream: &mut Tls) -> String {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads up to a text.
pub(crate) async fn up_to(stream: &mut Tls, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await;
        bytes.push(
            byte.unwrap_or_else(|error| {
                panic!("{error} after {}", String::from_utf8_lossy(&bytes))
            }),
        );
    }
    String::from_utf8(bytes).unwrap()
}

pub(crate) async fn text(body: hyper::body::Incoming) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
