//! The relay against a resolver of the test's own, over real sockets.

use std::sync::Mutex;

use hickory_proto::{
    op::Query,
    rr::{Name, Record, RecordType, rdata::A},
};

use super::*;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const INNER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);

#[derive(Default)]
struct Admitted(Mutex<Vec<Ipv4Addr>>);

#[async_trait]
impl AddressGate for Admitted {
    async fn admit(&self, addresses: &[(Ipv4Addr, Duration)]) -> io::Result<()> {
        self.0.lock().unwrap().extend(addresses.iter().map(|(address, _)| *address));
        Ok(())
    }
}

fn question(name: &str) -> Message {
    let mut message = Message::query();
    message.metadata.id = 7;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message
}

/// A resolver that first sends two forgeries, then the answer.
async fn resolver() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; UDP_MAX_BYTES];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(asked.metadata.id, OpCode::Query);
            answer.queries = asked.queries.clone();
            let name = asked.queries[0].name.clone();
            let is_inner = name.to_ascii().starts_with("inner.");
            let address = if is_inner { INNER } else { ADDRESS };
            answer.add_answer(Record::from_rdata(name, 300, RData::A(A(address))));
            let forged_id = with_id(&answer.to_vec().unwrap(), asked.metadata.id.wrapping_add(1));
            let mut other = answer.clone();
            other.queries = question("forged.example.").queries;
            for bytes in [forged_id, other.to_vec().unwrap(), answer.to_vec().unwrap()] {
                socket.send_to(&bytes, from).await.unwrap();
            }
        }
    });
    address
}

/// What a guest gets for a name under a policy, and what was let through for it.
async fn check(policy: NamePolicy, name: &str, expected: ResponseCode, admitted: &[Ipv4Addr]) {
    let gate = Arc::new(Admitted::default());
    let (_keep, policy) = watch::channel(policy);
    let relay = DnsRelay::new(vec![resolver().await], policy, Arc::clone(&gate) as _);
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = udp.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(relay.serve(udp, tcp, stop.clone()));

    let guest = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    guest.connect(at).await.unwrap();
    guest.send(&question(name).to_vec().unwrap()).await.unwrap();
    let mut buffer = vec![0; UDP_MAX_BYTES];
    let length = guest.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, 7, "the guest's own id comes back");
    assert_eq!(answer.metadata.response_code, expected, "{name}");
    assert_eq!(answer.queries, question(name).queries);
    assert_eq!(*gate.0.lock().unwrap(), admitted, "{name}");
    stop.cancel();
    serving.await.unwrap();
}

fn listed(pattern: &str) -> NamePolicy {
    NamePolicy::Listed(Arc::new([pattern.parse().unwrap()]))
}

#[tokio::test]
async fn a_question_is_answered_and_forgeries_are_not_believed() {
    check(NamePolicy::All, "a.example.", ResponseCode::NoError, &[]).await;
}

#[tokio::test]
async fn a_listed_name_opens_the_firewall_before_it_is_answered() {
    check(listed("a.example"), "A.Example.", ResponseCode::NoError, &[ADDRESS]).await;
    check(listed("*.example"), "a.b.example.", ResponseCode::NoError, &[ADDRESS]).await;
}

#[tokio::test]
async fn a_name_outside_the_policy_is_refused_and_opens_nothing() {
    check(listed("a.example"), "b.a.example.", ResponseCode::Refused, &[]).await;
    check(listed("*.example"), "example.", ResponseCode::Refused, &[]).await;
    check(NamePolicy::Nothing, "a.example.", ResponseCode::Refused, &[]).await;
}

#[tokio::test]
async fn what_the_hosts_own_network_is_called_is_refused() {
    check(NamePolicy::All, "_gateway.", ResponseCode::Refused, &[]).await;
    check(NamePolicy::All, "inner.example.", ResponseCode::Refused, &[]).await;
    check(listed("inner.example"), "inner.example.", ResponseCode::Refused, &[]).await;
    check(NamePolicy::All, "7.1.168.192.in-addr.arpa.", ResponseCode::Refused, &[]).await;
}

#[test]
fn bytes_that_are_no_question_get_an_error_or_nothing() {
    assert!(malformed(b"short").is_none());
    let answer = malformed(&[0xab, 0xcd, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0xff]).unwrap();
    let parsed = Message::from_vec(&answer).unwrap();
    assert_eq!(
        (parsed.metadata.id, parsed.metadata.response_code),
        (0xabcd, ResponseCode::FormErr)
    );
    assert!(malformed(&[0, 0, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0]).is_none(), "never answer answers");
}

#[test]
fn a_pattern_is_a_host_name() {
    for bad in ["", "*", "*.", "a b", "a/b", "https://a", "*.*.a", "a..b"] {
        assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
    }
}
