//! The resolver that a workspace sees: passes questions on to the host's resolvers.
//!
//! With an allow-list of names, a question outside the list is refused, and the addresses of an
//! answer are let through the workspace's firewall before the guest reads the answer.
//! Invariants: questions under way, connections, message sizes and waits are bounded; an answer is
//! believed only from the resolver that was asked, with the random id and the question it was
//! asked with.
//! What only the host's own network is called is refused: a guest learns nothing of it.
//! Does not cache: the host's resolver does.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::RData,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use rigbox_fabric::task;

use super::next;

pub use policy::{InvalidPattern, NamePattern, NamePolicy};

mod inside;
mod policy;

#[cfg(test)]
mod tests;

/// Most UDP questions of one workspace under way; more are dropped, and the guest asks again.
const MAX_QUESTIONS: usize = 64;

/// Most TCP connections of one workspace.
const MAX_CONNECTIONS: usize = 16;

/// How long a TCP connection may say nothing (RFC 7766 asks for a few seconds).
const TCP_IDLE: Duration = Duration::from_secs(10);

/// How long one resolver may take before the next is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Most resolvers that are asked for one question: with [`ANSWER_TIMEOUT`] less than the 10 s
/// after which a guest's resolver gives up.
const MAX_ATTEMPTS: usize = 3;

/// Largest message over UDP: the most that EDNS clients announce in practice.
const UDP_MAX_BYTES: usize = 4096;

/// Length of a DNS header.
const HEADER_BYTES: usize = 12;

/// Least and most time an address of an answer is let through: long enough to connect after
/// reading it, short enough that the set stays small.
const ADMIT_MIN: Duration = Duration::from_secs(60);
/// See [`ADMIT_MIN`].
const ADMIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Most addresses of one answer that are let through.
const ADMIT_MAX_COUNT: usize = 64;

/// Lets addresses through a workspace's firewall.
#[async_trait]
pub trait AddressGate: Send + Sync {
    /// Lets each address through for its time, from before this returns.
    ///
    /// # Errors
    /// When the firewall could not be changed; the answer is then withheld.
    async fn admit(&self, addresses: &[(Ipv4Addr, Duration)]) -> io::Result<()>;
}

/// The resolver of one workspace.
pub struct DnsRelay {
    resolvers: Vec<SocketAddr>,
    policy: watch::Receiver<NamePolicy>,
    gate: Arc<dyn AddressGate>,
    questions: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl DnsRelay {
    /// A relay to `resolvers` (the first ones are tried) under a policy that may change.
    #[must_use]
    pub fn new(
        resolvers: Vec<SocketAddr>,
        policy: watch::Receiver<NamePolicy>,
        gate: Arc<dyn AddressGate>,
    ) -> Self {
        Self {
            resolvers,
            policy,
            gate,
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Answers on both sockets until told to stop.
    pub async fn serve(self, udp: UdpSocket, tcp: TcpListener, stop: CancellationToken) {
        let relay = Arc::new(self);
        let datagrams = Arc::clone(&relay).serve_udp(Arc::new(udp), stop.clone());
        tokio::join!(datagrams, relay.serve_tcp(tcp, stop));
    }

    async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>, stop: CancellationToken) {
        let mut buffer = vec![0; UDP_MAX_BYTES];
        loop {
            let mut datagram = ReadBuf::new(&mut buffer);
            let received = next(&stop, |cx| socket.poll_recv_from(cx, &mut datagram));
            let Some(from) = received.await else { return };
            let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else { continue };
            let question = datagram.filled().to_vec();
            let (relay, socket) = (Arc::clone(&self), Arc::clone(&socket));
            task::spawn("relay.dns.question", async move {
                let _permit = permit;
                if let Some(answer) = relay.answer(&question, Transport::Udp).await {
                    // A guest that is gone does not read its answer.
                    socket.send_to(&answer, from).await.ok();
                }
            });
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        while let Some((stream, _)) = next(&stop, |cx| listener.poll_accept(cx)).await {
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
            let (relay, stop) = (Arc::clone(&self), stop.clone());
            task::spawn("relay.dns.connection", async move {
                let _permit = permit;
                tokio::select! {
                    () = stop.cancelled() => {}
                    result = relay.converse(stream) => drop(result),
                }
            });
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let length = timeout(TCP_IDLE, stream.read_u16()).await??;
            let mut question = vec![0; usize::from(length)];
            timeout(TCP_IDLE, stream.read_exact(&mut question)).await??;
            let Some(answer) = self.answer(&question, Transport::Tcp).await else { return Ok(()) };
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            timeout(TCP_IDLE, stream.write_u16(length)).await??;
            timeout(TCP_IDLE, stream.write_all(&answer)).await??;
        }
    }

    /// The answer to one question; none where the bytes are no question at all.
    async fn answer(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let Ok(message) = Message::from_vec(question) else {
            return malformed(question);
        };
        if message.metadata.message_type != MessageType::Query {
            return None;
        }
        let refuse = |code| reply(&message, code);
        if message.metadata.op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        let [asked] = message.queries.as_slice() else { return refuse(ResponseCode::FormErr) };
        let policy = self.policy.borrow().clone();
        if !policy.allows(&asked.name) || inside::asks(asked) {
            return refuse(ResponseCode::Refused);
        }
        let Some((answer, parsed)) = self.ask(question, &message, transport).await else {
            return refuse(ResponseCode::ServFail);
        };
        if parsed.answers.iter().chain(&parsed.additionals).any(inside::tells) {
            return refuse(ResponseCode::Refused);
        }
        if matches!(policy, NamePolicy::Listed(_)) && self.admit(&parsed).await.is_err() {
            return refuse(ResponseCode::ServFail);
        }
        Some(answer)
    }

    async fn ask(
        &self,
        question: &[u8],
        asked: &Message,
        transport: Transport,
    ) -> Option<(Vec<u8>, Message)> {
        for resolver in self.resolvers.iter().cycle().take(MAX_ATTEMPTS) {
            let Ok(id) = random_id() else { return None };
            let sent = with_id(question, id);
            let exchange = async {
                match transport {
                    Transport::Udp => ask_udp(*resolver, &sent, id, asked).await,
                    Transport::Tcp => ask_tcp(*resolver, &sent, id, asked).await,
                }
            };
            if let Ok(Ok((answer, parsed))) = timeout(ANSWER_TIMEOUT, exchange).await {
                return Some((with_id(&answer, asked.metadata.id), parsed));
            }
        }
        None
    }

    async fn admit(&self, answer: &Message) -> io::Result<()> {
        let addresses: Vec<_> = answer
            .answers
            .iter()
            .filter_map(|record| match record.data {
                RData::A(address) => {
                    let time = Duration::from_secs(u64::from(record.ttl));
                    Some((address.0, time.clamp(ADMIT_MIN, ADMIT_MAX)))
                }
                _ => None,
            })
            .take(ADMIT_MAX_COUNT)
            .collect();
        if addresses.is_empty() { Ok(()) } else { self.gate.admit(&addresses).await }
    }
}

/// How a question came and is passed on.
#[derive(Clone, Copy)]
enum Transport {
    Udp,
    Tcp,
}

/// Asks over a socket of its own, so that its port is random and only `resolver` can answer.
async fn ask_udp(
    resolver: SocketAddr,
    question: &[u8],
    id: u16,
    asked: &Message,
) -> io::Result<(Vec<u8>, Message)> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; UDP_MAX_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        // Anything else is an answer to somebody else's question, or a forgery: keep listening.
        if let Some(parsed) = believed(answer, id, asked) {
            return Ok((answer.to_vec(), parsed));
        }
    }
}

async fn ask_tcp(
    resolver: SocketAddr,
    question: &[u8],
    id: u16,
    asked: &Message,
) -> io::Result<(Vec<u8>, Message)> {
    let mut stream = TcpStream::connect(resolver).await?;
    stream.write_u16(u16::try_from(question.len()).map_err(io::Error::other)?).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let parsed = believed(&answer, id, asked)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "answer to another question"))?;
    Ok((answer, parsed))
}

fn believed(answer: &[u8], id: u16, asked: &Message) -> Option<Message> {
    let parsed = Message::from_vec(answer).ok()?;
    let ours = parsed.metadata.id == id
        && parsed.metadata.message_type == MessageType::Response
        && parsed.queries == asked.queries;
    ours.then_some(parsed)
}

fn reply(question: &Message, code: ResponseCode) -> Option<Vec<u8>> {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.response_code = code;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.queries.clone_from(&question.queries);
    answer.to_vec().ok()
}

/// `FORMERR` where at least the header is there, so that the guest does not wait for nothing.
fn malformed(question: &[u8]) -> Option<Vec<u8>> {
    let header = question.get(..HEADER_BYTES)?;
    let id = u16::from_be_bytes([*header.first()?, *header.get(1)?]);
    // The first bit of the flags says "answer": answering answers would make a loop.
    if header.get(2)? & 0x80 != 0 {
        return None;
    }
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

fn with_id(message: &[u8], id: u16) -> Vec<u8> {
    id.to_be_bytes().into_iter().chain(message.iter().skip(2).copied()).collect()
}

fn random_id() -> Result<u16, getrandom::Error> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}
