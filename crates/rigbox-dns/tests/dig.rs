//! The responder as `dig` sees it, over both ways.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::net::SocketAddr;

use rigbox_dns::{Records, Responder, Zone};
use tokio::{
    net::{TcpListener, UdpSocket},
    process::Command,
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct World {
    address: SocketAddr,
    records: Records,
    _serving: DropGuard,
}

async fn world() -> World {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let records = Records::default();
    let zone = Zone::new("_acme-challenge.example.com", "ns.example.com").unwrap();
    let responder = Responder::new(vec![zone], records.clone());
    let shutdown = CancellationToken::new();
    tokio::spawn(responder.serve(udp, tcp, shutdown.clone()));
    World { address, records, _serving: shutdown.drop_guard() }
}

async fn dig(world: &World, arguments: &[&str]) -> String {
    let said = Command::new("dig")
        .args(["@127.0.0.1", "-p", &world.address.port().to_string(), "+tries=1", "+time=5"])
        .args(arguments)
        .output()
        .await
        .expect("dig (Debian package bind9-dnsutils) is installed");
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}");
    text
}

#[tokio::test]
async fn dig_reads_what_was_put_up() {
    let world = world().await;
    world.records.replace([
        ("_acme-challenge.example.com", "a-value"),
        ("_ACME-challenge.example.com", "b"),
    ]);
    let name = "_acme-challenge.Example.com";
    for way in ["+notcp", "+tcp"] {
        let said = dig(&world, &["+short", way, "TXT", name]).await;
        assert_eq!(said, "\"a-value\"\n\"b\"\n");
    }
    world.records.replace([]);
    let said = dig(&world, &["TXT", name]).await;
    assert!(said.contains("status: NOERROR") && said.contains("ANSWER: 0, AUTHORITY: 1"), "{said}");
    assert!(said.contains("flags: qr aa rd;"), "{said}");
}

#[tokio::test]
async fn dig_goes_on_over_tcp_where_the_answer_is_long() {
    let world = world().await;
    let values: Vec<String> = (0..20).map(|n| format!("{n:0>120}")).collect();
    let name = "_acme-challenge.example.com";
    assert_eq!(world.records.replace(values.iter().map(|value| (name, value.as_str()))), 0);
    let said = dig(&world, &["TXT", name]).await;
    assert!(said.contains("Truncated, retrying in TCP mode"), "{said}");
    assert!(said.contains("ANSWER: 20"), "{said}");
    let said = dig(&world, &["+ignore", "+noedns", "TXT", name]).await;
    assert!(said.contains(" tc ") && said.contains("ANSWER: 0"), "{said}");
}

#[tokio::test]
async fn dig_is_told_where_the_zone_ends() {
    let world = world().await;
    for (name, kind, status) in [
        ("nothing._acme-challenge.example.com", "TXT", "NXDOMAIN"),
        ("example.com", "TXT", "REFUSED"),
        ("_acme-challenge.example.com", "ANY", "REFUSED"),
        ("_acme-challenge.example.com", "SOA", "NOERROR"),
    ] {
        let said = dig(&world, &[kind, name]).await;
        assert!(said.contains(&format!("status: {status}")), "{name} {kind}: {said}");
    }
    let said =
        dig(&world, &["+edns=1", "+noednsnegotiation", "TXT", "_acme-challenge.example.com"]);
    assert!(said.await.contains("status: BADVERS"));
}
