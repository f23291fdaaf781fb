//! Opens a connection to a server, plain or with TLS.
//! Trust comes from the system's certificates, or from one file alone where the user names one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::net::sockopt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{ClientError, Scheme, ServerUrl};
use crate::error::io_reason;

/// Longest wait for a connection, handshake included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Silence after which the kernel asks the other side whether it is still there: a stream may be
/// silent for hours, but must not outlive its server.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Between two of these questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered questions after which the connection is over.
const KEEPALIVE_COUNT: u32 = 3;

/// Bytes in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens a connection.
pub(crate) async fn connect(
    server: &ServerUrl,
    authorities: Option<&PathBuf>,
) -> Result<Box<dyn Io>, ClientError> {
    match timeout(CONNECT_LIMIT, open(server, authorities)).await {
        Ok(opened) => opened,
        Err(_) => Err(unreachable(server, "no answer to the connection request in 10 s")),
    }
}

async fn open(
    server: &ServerUrl,
    authorities: Option<&PathBuf>,
) -> Result<Box<dyn Io>, ClientError> {
    let stream = TcpStream::connect((server.host(), server.port()))
        .await
        .map_err(|error| unreachable(server, &io_reason(&error)))?;
    settle(&stream).map_err(|error| unreachable(server, &io_reason(&error)))?;
    match server.scheme() {
        Scheme::Http => Ok(Box::new(stream)),
        Scheme::Https => {
            let insecure =
                |reason: String| ClientError::Insecure { server: server.clone(), reason };
            let config = tls(authorities.map(PathBuf::as_path)).map_err(insecure)?;
            let name = ServerName::try_from(server.host().to_owned())
                .map_err(|_| insecure("its name cannot be in a certificate".to_owned()))?;
            let stream = TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await
                .map_err(|error| insecure(error.to_string()))?;
            Ok(Box::new(stream))
        }
    }
}

fn settle(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Ok(())
}

fn tls(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = match authorities {
        Some(file) => roots_of(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots_of(file: &Path) -> Result<RootCertStore, String> {
    let name = file.display();
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| format!("{name}: {error}"))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("{name}: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{name}: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{name} has no certificate")) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine has no certificates to trust; name a file with --ca".to_owned());
    }
    Ok(roots)
}

fn unreachable(server: &ServerUrl, reason: &str) -> ClientError {
    ClientError::Unreachable { server: server.clone(), reason: reason.to_owned() }
}
