//! Handshakes: names, certificates, tickets, and what an authority asks.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use rigbox_types::{
    Timestamp,
    edge::{Challenge, EdgeEvent, TicketKey},
};
use rustls::HandshakeKind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use crate::world::{World, app, certificate, echo, raw_app};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_gets_its_own_certificate_before_a_wildcard_and_no_other() {
    let mut world = World::new().await;
    let own = certificate("own", &["own.apps.example"]);
    world.authority.push_str(&own.chain_pem);
    world.control.tell([EdgeEvent::Certificate(Box::new(own.clone()))]).await;
    let shown = async |name: &str| {
        let config = Arc::new(world.tls(&["h2"]));
        let stream = world.shake(config, name).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap();
        Ok::<_, std::io::Error>(chain[0].as_ref().to_vec())
    };
    let wildcard = shown("any.apps.example").await.unwrap();
    assert_eq!(shown("ANY.apps.example").await.unwrap(), wildcard);
    assert_ne!(shown("own.apps.example").await.unwrap(), wildcard);
    for name in ["a.b.apps.example", "elsewhere.example", "example"] {
        assert!(shown(name).await.is_err(), "{name}");
    }
    world.control.tell([EdgeEvent::CertificateGone { id: "own".to_owned() }]).await;
    assert_eq!(shown("own.apps.example").await.unwrap(), wildcard);
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_shakes_hands_with_1_2_and_1_3_and_with_nothing_older() {
    let world = World::new().await;
    for (version, works) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &world.https.to_string(), version])
            .args(["-servername", "a.apps.example", "-alpn", "h2,http/1.1"])
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.contains("ALPN protocol: h2"), works, "{version}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_name_than_the_handshakes_is_misdirected() {
    let world = World::new().await;
    world.host.port(3_000, raw_app(echo).await);
    world.routes([app(1, "a", 3_000), app(2, "b", 3_000)]).await;
    let text = "GET / HTTP/1.1\r\nHost: b.apps.example\r\nConnection: close\r\n\r\n";
    let answer = world.say("a.apps.example", text.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    // A browser would send it over this connection, since the certificate is for both.
    let mut h2 = world.h2::<Empty<Bytes>>("a.apps.example").await;
    for (name, expected) in [
        ("b.apps.example", StatusCode::MISDIRECTED_REQUEST),
        ("a.apps.example", StatusCode::OK),
        ("apps.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let request = Request::get(format!("https://{name}/")).body(Empty::new()).unwrap();
        assert_eq!(h2.send_request(request).await.unwrap().status(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_a_restart_and_ends_with_its_key() {
    let mut world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = world.tls(&["http/1.1"]);
        let fresh = rustls::ClientConfig::builder_with_provider(config.crypto_provider().clone())
            .with_protocol_versions(&[version])
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject as _;
        let pem = world.authority.as_bytes();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        config = fresh.with_root_certificates(roots).with_no_client_auth();
        let config = Arc::new(config);
        let visit = async |world: &World| {
            let mut stream = world.shake(config.clone(), "a.apps.example").await.unwrap();
            let text = b"GET / HTTP/1.1\r\nHost: a.apps.example\r\nConnection: close\r\n\r\n";
            stream.write_all(text).await.unwrap();
            // The ticket comes with the answer.
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            stream.get_ref().1.handshake_kind()
        };
        assert_eq!(visit(&world).await, Some(HandshakeKind::Full));
        assert_eq!(visit(&world).await, Some(HandshakeKind::Resumed));
        world.kill().await;
        world.start().await;
        assert_eq!(visit(&world).await, Some(HandshakeKind::Resumed), "{version:?}");
        let key = |byte: &str| TicketKey {
            secret: byte.repeat(32),
            created_at: Timestamp::from_micros(0),
        };
        world.control.tell([EdgeEvent::TicketKeys { keys: vec![key("77")] }]).await;
        assert_eq!(visit(&world).await, Some(HandshakeKind::Full), "{version:?}");
        world.control.tell([EdgeEvent::TicketKeys { keys: vec![key("5a")] }]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_answered_in_the_handshake_and_over_http() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    let name = "a.apps.example";
    world
        .control
        .tell([EdgeEvent::Challenges {
            challenges: vec![
                Challenge::TlsAlpn { name: "own.example".to_owned(), digest: "ab".repeat(32) },
                Challenge::Http {
                    name: name.to_owned(),
                    token: "tok".to_owned(),
                    key_authorization: "tok.print".to_owned(),
                },
            ],
        }])
        .await;
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "openssl s_client -connect {} -servername own.example -alpn acme-tls/1 </dev/null \
             | openssl x509 -noout -text",
            world.https
        ))
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("DNS:own.example") && text.contains("1.3.6.1.5.5.7.1.31: critical"),
        "{text}"
    );
    let path = "/.well-known/acme-challenge/";
    let plain = async |path: String| {
        let mut stream = tokio::net::TcpStream::connect(world.http).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(plain(format!("{path}tok")).await.ends_with("tok.print"));
    assert!(world.ask(name, &format!("{path}tok"), &[]).await.ends_with("tok.print"));
    let to = format!("location: https://{name}:{}{path}other?x=1\r\n", world.https.port());
    let answer = plain(format!("{path}other?x=1")).await;
    assert!(answer.starts_with("HTTP/1.1 308") && answer.contains(&to), "{answer}");
    let passed = world.ask(name, &format!("{path}other"), &[]).await;
    assert!(passed.contains("GET /.well-known/acme-challenge/other"), "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_nobody_is_sent_to_a_name_that_is_not_served() {
    let world = World::new().await;
    for host in ["evil.example", "unknown.apps.example", "x/y", "apps.example@evil"] {
        let mut stream = tokio::net::TcpStream::connect(world.http).await.unwrap();
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("location"), "{answer}");
    }
}
