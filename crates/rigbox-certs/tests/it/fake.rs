//! An authority that says what Pebble does not: limits, times, and nonsense.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rigbox_certs::{AcmeError, Authority, Kind, LocalCa, OrderRequest, Window};
use rigbox_types::Timestamp;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    pebble::Own,
    world::{World, now},
};

/// What it answers to a method and path: status, further header lines, body.
type Answer = (u16, String, String);

struct Fake {
    authority: Authority,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn start(answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let own = Own::make();
        let chain = CertificateDer::from_pem_slice(own.chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (seen, own_base) = (asked.clone(), base.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                let (seen, base) = (seen.clone(), own_base.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(acceptor.accept(stream).await?);
                    let mut first = String::new();
                    stream.read_line(&mut first).await?;
                    let asked = first.trim_end_matches(" HTTP/1.1\r\n").to_owned();
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        stream.read_line(&mut line).await?;
                        if let Some(value) = line.strip_prefix("content-length: ") {
                            length = value.trim().parse().unwrap();
                        }
                        if line.trim().is_empty() {
                            break;
                        }
                    }
                    stream.read_exact(&mut vec![0; length]).await?;
                    seen.lock().unwrap().push(asked.clone());
                    let (status, more, body) =
                        answer(&asked).or_else(|| usual(&asked, &base)).unwrap();
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nReplay-Nonce: abc\r\nContent-Length: {}\r\n{more}\r\n",
                        body.len()
                    );
                    let body = if asked.starts_with("HEAD") { "" } else { &body };
                    stream.write_all(format!("{head}{body}").as_bytes()).await?;
                    stream.flush().await
                });
            }
        });
        let authority = Authority {
            directory: format!("{base}/dir"),
            roots: Some(own.ca.into_bytes()),
            email: None,
            terms_agreed: true,
            external: None,
        };
        Self { authority, asked }
    }

    fn asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.as_str() == what).count()
    }
}

fn usual(asked: &str, base: &str) -> Option<Answer> {
    let directory = json!({
        "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
        "newOrder": format!("{base}/order"), "renewalInfo": format!("{base}/renewal"),
    });
    match asked {
        "GET /dir" => Some((200, String::new(), directory.to_string())),
        "HEAD /nonce" => Some((200, String::new(), String::new())),
        "POST /account" => Some((201, format!("Location: {base}/me\r\n"), "{}".to_owned())),
        _ => None,
    }
}

fn problem(kind: &str, detail: &str) -> String {
    json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }).to_string()
}

async fn order_at(fake: &Fake) -> AcmeError {
    let world = World::start().await;
    let (account, _) = fake.authority.account(None).await.unwrap();
    let names = ["shop.example.com".to_owned()];
    let request = OrderRequest {
        names: &names,
        kinds: &[Kind::TlsAlpn, Kind::Http],
        replaces: None,
        dns_alias: None,
        now: now(),
    };
    account.order(&request, &world).await.err().unwrap()
}

#[tokio::test]
async fn a_limit_is_told_with_its_time_and_not_tried_again() {
    let fake = Fake::start(|asked| {
        let body = problem("rateLimited", "too many certificates (5)\nretry after a while");
        (asked == "POST /order").then(|| (429, "Retry-After: 3600\r\n".to_owned(), body))
    })
    .await;
    let refused = order_at(&fake).await;
    assert!(refused.is_rate_limited());
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(3600)));
    assert!(refused.line().contains("too many certificates (5) retry after a while (rateLimited)"));
    assert_eq!(fake.asked("POST /order"), 1);
}

#[tokio::test]
async fn a_storm_of_refused_nonces_ends() {
    let fake = Fake::start(|asked| {
        (asked == "POST /order").then(|| (400, String::new(), problem("badNonce", "no such nonce")))
    })
    .await;
    let refused = order_at(&fake).await;
    assert!(refused.to_string().contains("no such nonce"), "{refused}");
    assert_eq!(fake.asked("POST /order"), 30);
}

#[tokio::test]
async fn an_answer_that_is_no_document_is_told_by_its_status() {
    let fake = Fake::start(|asked| {
        (asked == "POST /order").then(|| (503, String::new(), "<html>busy</html>".to_owned()))
    })
    .await;
    let line = order_at(&fake).await.line();
    assert!(line.contains("answered 503 Service Unavailable without saying why"), "{line}");
    let fake = Fake::start(|asked| {
        (asked == "POST /order").then(|| (200, String::new(), "x".repeat(300_000)))
    })
    .await;
    let line = order_at(&fake).await.line();
    assert!(line.contains("length limit exceeded"), "{line}");
}

#[tokio::test]
async fn a_suggestion_of_when_to_renew_is_read() {
    let window = json!({ "suggestedWindow": {
        "start": "2026-12-01T00:00:00Z", "end": "2026-12-03T00:00:00Z"
    }});
    let fake = Fake::start(move |asked| {
        let is = asked.starts_with("GET /renewal/") && asked.contains('.');
        is.then(|| (200, "Retry-After: 21600\r\n".to_owned(), window.to_string()))
    })
    .await;
    let (account, _) = fake.authority.account(None).await.unwrap();
    let (ca, _) = LocalCa::make("example.com", now()).unwrap();
    let leaf = ca.issue(now()).unwrap().leaf;
    let at = now();
    let window = account.renewal(&leaf, at).await.unwrap().unwrap();
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let Window { start, end, ask_again_at } = window;
    assert_eq!((start, end), (time("2026-12-01T00:00:00Z"), time("2026-12-03T00:00:00Z")));
    let hours = (ask_again_at.as_micros() - at.as_micros()) / 3_600_000_000;
    assert!((5..=6).contains(&hours), "{hours}");
}
