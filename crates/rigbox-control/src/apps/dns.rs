//! A question to a DNS resolver over UDP: where a name leads.
//! Invariants: an answer counts only with the question's id and name, from the socket that was asked;
//! a bounded number of names is followed, within a bounded time.
//! Does not cache.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{net::UdpSocket, time::timeout};

use crate::source::random;

/// How long one answer may take, and how often it is asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Names that are followed, one behind the other.
const CHAIN_MAX: usize = 8;

/// Largest answer over UDP without extensions (RFC 1035), and a bit.
const ANSWER_MAX_BYTES: usize = 4096;

const PORT: u16 = 53;

/// Where a name leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leads {
    /// The names, one behind the other, in lower case, without last dot.
    pub(super) names: Vec<String>,
    /// The addresses at the end.
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// The resolver of this machine.
pub(super) fn of_machine() -> SocketAddr {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let first = text.lines().find_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    SocketAddr::new(first.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), PORT)
}

/// Follows a name.
///
/// # Errors
/// Where the resolver does not answer, or says that it cannot.
pub(super) async fn follow(resolver: SocketAddr, name: &str) -> io::Result<Leads> {
    let mut leads = Leads::default();
    for kind in [RecordType::A, RecordType::AAAA] {
        let mut at = name.to_owned();
        for _ in 0..CHAIN_MAX {
            let answer = ask(resolver, &at, kind).await?;
            match take(&answer, at.clone(), &mut leads) {
                // A resolver that does not go on by itself.
                Some(next) if next != at => at = next,
                Some(_) | None => break,
            }
        }
    }
    Ok(leads)
}

/// Reads an answer; gives the name to go on with, where the answer ends at one.
fn take(answer: &Message, from: String, leads: &mut Leads) -> Option<String> {
    let mut at = from;
    let mut moved = false;
    for _ in 0..CHAIN_MAX {
        let records = answer.answers.iter().filter(|record| text(&record.name) == at);
        let (mut next, mut ends) = (None, false);
        for record in records {
            match &record.data {
                RData::CNAME(to) => next = Some(text(&to.0)),
                RData::A(address) => {
                    leads.addresses.insert(address.0.into());
                    ends = true;
                }
                RData::AAAA(address) => {
                    leads.addresses.insert(address.0.into());
                    ends = true;
                }
                _ => {}
            }
        }
        let Some(name) = next else { return (moved && !ends).then_some(at) };
        if !leads.names.contains(&name) {
            leads.names.push(name.clone());
        }
        (at, moved) = (name, true);
    }
    None
}

async fn ask(resolver: SocketAddr, name: &str, kind: RecordType) -> io::Result<Message> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let name = Name::from_ascii(format!("{name}.")).map_err(io::Error::other)?;
    for _ in 0..ATTEMPTS {
        // A port of its own for each question, so that an answer is hard to forge.
        let socket = UdpSocket::bind(any).await?;
        socket.connect(resolver).await?;
        let mut question = Message::query();
        question.metadata.id = u16::from_be_bytes(random::<2>().map_err(io::Error::other)?);
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(name.clone(), kind));
        socket.send(&question.to_vec().map_err(io::Error::other)?).await?;
        if let Ok(answer) = timeout(ANSWER_TIMEOUT, answer(&socket, &question)).await {
            return answer;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn answer(socket: &UdpSocket, question: &Message) -> io::Result<Message> {
    let mut buffer = vec![0; ANSWER_MAX_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Ok(answer) = Message::from_vec(buffer.get(..length).unwrap_or_default()) else {
            continue;
        };
        if answer.metadata.id != question.metadata.id || answer.queries != question.queries {
            continue;
        }
        return match answer.metadata.response_code {
            // That there is no such name is an answer.
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            code => Err(io::Error::other(format!("the resolver says {code}"))),
        };
    }
}

fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').map(str::to_owned).unwrap_or(text)
}
