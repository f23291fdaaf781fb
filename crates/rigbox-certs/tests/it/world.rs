//! What an authority sees of us: DNS where every name leads here, pages, and handshakes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use hickory_proto::{
    op::{Message, MessageType, OpCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rigbox_certs::{Kind, PublishError, Publisher};
use rigbox_dns::{Records, Responder, Zone};
use rigbox_types::{Timestamp, edge::Challenge};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// Challenges that are up, and which kinds of them are answered.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    up: Vec<Challenge>,
    broken: Vec<Kind>,
    published: Vec<Kind>,
}

pub(crate) struct World {
    shown: Arc<Mutex<Shown>>,
    records: Records,
    pub(crate) dns: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) tls: SocketAddr,
    _serving: DropGuard,
}

impl World {
    /// Answers for the names below `example.com`.
    pub(crate) async fn start() -> Self {
        let shown = Arc::<Mutex<Shown>>::default();
        let records = Records::default();
        let zone = Zone::new("_acme-challenge.example.com", "ns.example.com").unwrap();
        let responder = Responder::new(vec![zone], records.clone());
        let (udp, tcp) = (bind_udp().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let authoritative = udp.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(responder.serve(udp, tcp, shutdown.clone()));
        let resolver = bind_udp().await;
        let dns = resolver.local_addr().unwrap();
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(resolve(resolver, authoritative)));
        let pages = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = pages.local_addr().unwrap();
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(serve_pages(pages, shown.clone())));
        let handshakes = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = handshakes.local_addr().unwrap();
        let shaking = shake_hands(handshakes, shown.clone());
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(shaking));
        Self { shown, records, dns, http, tls, _serving: shutdown.drop_guard() }
    }

    /// From now on nothing answers challenges of this kind.
    pub(crate) fn breaks(&self, kind: Kind) {
        self.shown.lock().unwrap().broken.push(kind);
    }

    /// The kinds of the challenges that were put up, in order; forgets them.
    pub(crate) fn take_published(&self) -> Vec<Kind> {
        std::mem::take(&mut self.shown.lock().unwrap().published)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.shown.lock().unwrap().up.is_empty()
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.lock().unwrap();
        change(&mut shown);
        let is_broken = shown.broken.contains(&Kind::Dns);
        let records = shown.up.iter().filter_map(|challenge| match challenge {
            Challenge::Dns { name, value } if !is_broken => Some((name.as_str(), value.as_str())),
            _ => None,
        });
        self.records.replace(records);
    }
}

#[async_trait]
impl Publisher for World {
    async fn publish(&self, challenges: &[Challenge]) -> Result<(), PublishError> {
        self.show(|shown| {
            shown.up.extend_from_slice(challenges);
            shown.published.extend(challenges.iter().map(kind));
        });
        Ok(())
    }

    async fn withdraw(&self, challenges: &[Challenge]) {
        self.show(|shown| shown.up.retain(|up| !challenges.contains(up)));
    }
}

fn kind(challenge: &Challenge) -> Kind {
    match challenge {
        Challenge::Dns { .. } => Kind::Dns,
        Challenge::TlsAlpn { .. } => Kind::TlsAlpn,
        Challenge::Http { .. } => Kind::Http,
    }
}

async fn bind_udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Texts come from our own server; every name leads to this machine.
async fn resolve(socket: UdpSocket, authoritative: SocketAddr) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(asked) = Message::from_vec(&buffer[..length]) else { continue };
        let query = asked.queries[0].clone();
        if query.query_type == RecordType::TXT {
            let upstream = bind_udp().await;
            upstream.send_to(&buffer[..length], authoritative).await.unwrap();
            let length = upstream.recv(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..length], from).await.unwrap();
            continue;
        }
        let mut told = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        told.metadata.recursion_available = true;
        if query.query_type == RecordType::A {
            let address = RData::A(A::new(127, 0, 0, 1));
            told.add_answer(Record::from_rdata(query.name.clone(), 1, address));
        }
        told.add_query(query);
        socket.send_to(&told.to_vec().unwrap(), from).await.unwrap();
    }
}

async fn serve_pages(listener: TcpListener, shown: Arc<Mutex<Shown>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shown = shown.clone();
        tokio::spawn(async move { page(stream, &shown).await });
    }
}

async fn page(stream: TcpStream, shown: &Mutex<Shown>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut path, mut host) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim() {
            "" => break,
            line if line.starts_with("GET ") => {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            line => {
                if let Some(value) = line.strip_prefix("Host: ") {
                    host = value.split(':').next().unwrap_or_default().to_owned();
                }
            }
        }
    }
    let found = {
        let shown = shown.lock().unwrap();
        let found = shown.up.iter().find_map(|challenge| match challenge {
            Challenge::Http { name, token, key_authorization }
                if *name == host && path == format!("/.well-known/acme-challenge/{token}") =>
            {
                Some(key_authorization.clone())
            }
            _ => None,
        });
        found.filter(|_| !shown.broken.contains(&Kind::Http))
    };
    let answer = match found {
        Some(text) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    stream.write_all(answer.as_bytes()).await
}

#[derive(Debug)]
struct Proofs(Arc<Mutex<Shown>>);

impl ResolvesServerCert for Proofs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name()?;
        let shown = self.0.lock().unwrap();
        let digest = shown.up.iter().find_map(|challenge| match challenge {
            Challenge::TlsAlpn { name, digest } if name == asked => Some(digest.clone()),
            _ => None,
        })?;
        if shown.broken.contains(&Kind::TlsAlpn) {
            return None;
        }
        let digest: Vec<u8> = (0..digest.len() / 2)
            .map(|at| u8::from_str_radix(&digest[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([asked.to_owned()]).unwrap();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        Some(Arc::new(CertifiedKey::new(vec![certificate], key)))
    }
}

async fn shake_hands(listener: TcpListener, shown: Arc<Mutex<Shown>>) {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Proofs(shown)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move { acceptor.accept(stream).await.map(|_| ()) });
    }
}
